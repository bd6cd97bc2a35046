//! What operators ask of the gate: `~/load_policy`, `~/reload`, `~/revoke`, and how they are answered.

use r2r::std_srvs::srv::Trigger;
use r2r::tensorgate_msgs::action::LoadPolicy as LoadAction;
use r2r::tensorgate_msgs::srv::{LoadPolicy, RevokePolicy};
use r2r::{Node, QosProfile, ServiceRequest};
use tensorgate_verify::{Rejection, RepoId, Revision};

use crate::announce::ros_string;
use crate::load::{LoadError, Wanted};
use crate::parameters::Source;
use crate::rosout::Logger;
use crate::served::Served;

/// A request to load, reload or revoke, to be answered when its outcome is known.
pub(crate) type Load = ServiceRequest<LoadPolicy::Service>;
pub(crate) type Reload = ServiceRequest<Trigger::Service>;
pub(crate) type Revoke = ServiceRequest<RevokePolicy::Service>;

/// The services.
pub(crate) struct Requests {
    load: Served<LoadPolicy::Service>,
    reload: Served<Trigger::Service>,
    revoke: Served<RevokePolicy::Service>,
    logger: Logger,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// For people.
    pub(crate) message: String,
}

/// The constants `RESULT_*`, which are the same in all answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Ok,
    /// By this rule; `None` where the rule is not about policies.
    Rejected(Option<Rejection>),
    Failed,
    Busy,
    Canceled,
}

impl Requests {
    pub(crate) fn new(node: &mut Node, logger: Logger) -> r2r::Result<Self> {
        let qos = QosProfile::services_default;
        Ok(Self {
            load: Served::new(node, "~/load_policy", qos())?,
            reload: Served::new(node, "~/reload", qos())?,
            revoke: Served::new(node, "~/revoke", qos())?,
            logger,
        })
    }

    pub(crate) fn load(&mut self) -> Option<Load> {
        self.load.take()
    }

    pub(crate) fn reload(&mut self) -> Option<Reload> {
        self.reload.take()
    }

    pub(crate) fn revoke(&mut self) -> Option<Revoke> {
        self.revoke.take()
    }

    pub(crate) fn answer_load(&mut self, request: Load, answer: &Answer, epoch: u64) {
        let response = LoadPolicy::Response {
            result: answer.verdict.number(),
            code: answer.verdict.code(),
            message: ros_string(&answer.message),
            epoch,
        };
        self.load.respond(&self.logger, request, response);
    }

    pub(crate) fn answer_reload(&mut self, request: Reload, answer: &Answer) {
        let response = Trigger::Response {
            success: answer.verdict == Verdict::Ok,
            message: ros_string(&answer.message),
        };
        self.reload.respond(&self.logger, request, response);
    }

    pub(crate) fn answer_revoke(&mut self, request: Revoke, answer: &Answer, epoch: u64) {
        let response = RevokePolicy::Response {
            result: answer.verdict.number(),
            code: answer.verdict.code(),
            message: ros_string(&answer.message),
            epoch,
        };
        self.revoke.respond(&self.logger, request, response);
    }
}

impl Answer {
    pub(crate) fn new(verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            verdict,
            message: message.into(),
        }
    }

    /// The same for the action's result.
    pub(crate) fn result(&self, epoch: u64) -> LoadAction::Result {
        LoadAction::Result {
            result: self.verdict.number(),
            code: self.verdict.code(),
            message: ros_string(&self.message),
            epoch,
        }
    }
}

impl From<&LoadError> for Answer {
    fn from(error: &LoadError) -> Self {
        let verdict = match error.rejection {
            _ if error.is_canceled => Verdict::Canceled,
            Some(rejection) => Verdict::Rejected(Some(rejection)),
            None => Verdict::Failed,
        };
        Self::new(verdict, error.message.clone())
    }
}

impl Verdict {
    const fn number(self) -> u8 {
        match self {
            Self::Ok => LoadPolicy::Response::RESULT_OK as u8,
            Self::Rejected(_) => LoadPolicy::Response::RESULT_REJECTED as u8,
            Self::Failed => LoadPolicy::Response::RESULT_FAILED as u8,
            Self::Busy => LoadPolicy::Response::RESULT_BUSY as u8,
            Self::Canceled => LoadPolicy::Response::RESULT_CANCELED as u8,
        }
    }

    fn code(self) -> String {
        match self {
            Self::Rejected(Some(rejection)) => rejection.code().to_owned(),
            _ => String::new(),
        }
    }
}

/// What a request wants loaded.
pub(crate) fn wanted(policy: &str, repo: &str, revision: &str) -> Result<Wanted, LoadError> {
    let repo: Option<RepoId> = optional(repo).map_err(not_a_repo)?;
    let revision: Option<Revision> = optional(revision)?;
    let source = match (policy, &repo, &revision) {
        ("", Some(repo), Some(revision)) => Source::Store {
            repo: repo.clone(),
            revision: revision.clone(),
        },
        ("", ..) => {
            let hint = "give `policy`, or `repo_id` and `revision`";
            return Err(LoadError::could_not(format!(
                "no policy is named; hint: {hint}"
            )));
        }
        (policy, ..) => Source::parse(policy).map_err(LoadError::could_not)?,
    };
    Ok(Wanted {
        source,
        repo,
        revision,
    })
}

fn not_a_repo(error: impl std::fmt::Display) -> LoadError {
    LoadError::could_not(format!("`repo_id`: {error}"))
}

fn optional<T: std::str::FromStr>(text: &str) -> Result<Option<T>, T::Err> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some),
    }
}
