//! Two ways to fail, never mixed up: *had and refused*, or *could not be had*.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use hf_hub::HFError;
use reqwest::Url;
use tensorgate_store::StoreError;
use tensorgate_verify::{FilePath, Rejection};

use crate::ConfigError;
use crate::target::Target;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// What the Hub sent was refused.
    #[error("rejected: {rejection}: {subject:?}: {detail}")]
    Rejected {
        /// The rule that refused.
        rejection: Rejection,
        /// The file or name, as found.
        subject: Box<str>,
        /// What was expected and what was found.
        detail: Box<str>,
    },
    /// The Hub answered, and its answer is no.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// There is no connection, or it broke.
    #[error("{url} cannot be reached: {cause}")]
    Unreachable {
        /// What was asked for, without its query.
        url: Box<str>,
        /// What the system said.
        cause: Box<str>,
    },
    /// Nothing, or too little, came in time.
    #[error("{url} was given up after {} s: {what}", waited.as_secs())]
    TimedOut {
        /// What was asked for, without its query.
        url: Box<str>,
        /// What did not happen.
        what: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The answer is not one that a Hub gives.
    #[error("the answer of {url} cannot be used: {what}")]
    Malformed {
        /// What was asked for, without its query.
        url: Box<str>,
        /// What is wrong with it.
        what: Box<str>,
    },
    /// More than is taken from anybody.
    #[error("{what}: {value}, and the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: Box<str>,
        /// How large it is.
        value: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The network is not to be used, and the store does not have it.
    #[error(
        "{target} is not complete in the store, and the network is not to be used{}",
        shown(damaged)
    )]
    Offline {
        /// What was asked for.
        target: Target,
        /// Files that the store has, damaged.
        damaged: Vec<FilePath>,
    },
    /// Not `OWNER/NAME@REVISION`.
    #[error("{text:?} is not a target, which is OWNER/NAME@REVISION")]
    NotATarget {
        /// What was given.
        text: Box<str>,
    },
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// An answer with an error status, in the Hub's own terms.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refused {
    /// What it means.
    pub reason: Reason,
    /// The HTTP status.
    pub status: u16,
    /// What was asked for, without its query.
    pub url: Box<str>,
    /// What the server said; anything may stand here.
    pub message: Option<Box<str>>,
    /// The request's id at the Hub, for its support.
    pub request_id: Option<Box<str>>,
    /// How long to stay away.
    pub retry_after: Option<Duration>,
}

/// What an error status of the Hub means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The file is not in this commit.
    FileNotFound,
    /// The owner decides who may have the files.
    Gated,
    /// The token does not allow it.
    Forbidden,
    /// Too many requests.
    RateLimited,
    /// There is no such repository, or it is private.
    RepoNotFound,
    /// The repository has no such commit, branch or tag.
    RevisionNotFound,
    /// A token is needed, or the one given does not count.
    Unauthorized,
    /// Anything else.
    Other,
}

impl FetchError {
    /// The rule that refused, or `None` where it could not be had.
    pub const fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Rejected { rejection, .. } => Some(*rejection),
            _ => None,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refused) => refused.hint(),
            Self::Unreachable { .. } | Self::TimedOut { .. } => {
                Some("check the network and the endpoint; what was complete is kept")
            }
            Self::Offline { .. } => Some("fetch it once with the network, by its full commit id"),
            Self::NotATarget { .. } => {
                Some("for instance lerobot/act_aloha@ and the 40 digits of a commit, or a branch")
            }
            Self::Store(error) => error.hint(),
            Self::Config(ConfigError::TokenInClear { .. }) => Some("use https, or no token"),
            _ => None,
        }
    }

    pub(crate) fn rejected(
        rejection: Rejection,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self::Rejected {
            rejection,
            subject: subject.to_string().into(),
            detail: detail.to_string().into(),
        }
    }

    pub(crate) fn malformed(url: &str, what: impl fmt::Display) -> Self {
        Self::Malformed {
            url: url.into(),
            what: what.to_string().into(),
        }
    }

    /// An error of our own requests. `url` may be shown.
    pub(crate) fn of_request(url: &str, error: reqwest::Error, stall: Duration) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            let what = "no answer came";
            let (url, waited) = (url.into(), stall);
            return Self::TimedOut { url, what, waited };
        }
        if error.is_redirect() {
            return Self::malformed(url, deepest(&error));
        }
        Self::Unreachable {
            url: url.into(),
            cause: deepest(&error).into(),
        }
    }

    /// An error of the client that brings bodies. `url` may be shown.
    pub(crate) fn of_client(url: &str, error: HFError, stall: Duration) -> Self {
        let retry_after = match &error {
            HFError::RateLimited { retry_after, .. } => *retry_after,
            _ => None,
        };
        match error {
            HFError::Request { source, .. } => Self::of_request(url, source, stall),
            HFError::Http { context }
            | HFError::RateLimited { context, .. }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context }
            | HFError::RepoNotFound {
                context: Some(context),
                ..
            }
            | HFError::RevisionNotFound {
                context: Some(context),
                ..
            }
            | HFError::EntryNotFound {
                context: Some(context),
                ..
            } => {
                let said = Said {
                    code: context.error_code.as_deref(),
                    message: context.server_message.as_deref(),
                    request_id: context.request_id.as_deref(),
                    retry_after,
                };
                Refused::new(context.status.as_u16(), &context.url, said).into()
            }
            HFError::Xet { source, .. } => Self::Unreachable {
                url: url.into(),
                cause: deepest(&*source).into(),
            },
            other => Self::malformed(url, deepest(&other)),
        }
    }

    /// How long to wait before it is worth another try, or `None` where it never is.
    pub(crate) fn wait(&self, backoff: Duration, longest: Duration) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => Some(backoff),
            Self::Refused(refused) => match (refused.status, refused.retry_after) {
                (429 | 503, Some(wait)) => Some(wait).filter(|wait| *wait <= longest),
                (408 | 429 | 500 | 502 | 503 | 504, _) => Some(backoff),
                _ => None,
            },
            _ => None,
        }
    }
}

impl From<tensorgate_verify::Error> for FetchError {
    fn from(error: tensorgate_verify::Error) -> Self {
        use tensorgate_verify::Error as Checked;
        match error {
            Checked::Rejected(found) => {
                let first = found.first();
                Self::rejected(first.rejection, &first.subject, &first.detail)
            }
            Checked::Io { subject, source } => StoreError::Io {
                step: "check",
                path: subject.to_string().into(),
                source,
            }
            .into(),
            other => Self::malformed("the check", other),
        }
    }
}

impl From<Refused> for FetchError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// Headers of an error that mean something.
struct Said<'a> {
    code: Option<&'a str>,
    message: Option<&'a str>,
    request_id: Option<&'a str>,
    retry_after: Option<Duration>,
}

impl Refused {
    fn new(status: u16, url: &str, said: Said<'_>) -> Self {
        let reason = Reason::new(status, said.code);
        Self {
            reason,
            status,
            url: without_query(url),
            message: said.message.map(short),
            request_id: said.request_id.map(short),
            retry_after: said.retry_after,
        }
    }

    /// An answer to a request of our own.
    pub(crate) fn of_answer(answer: &reqwest::Response) -> Self {
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let seconds = match header("retry-after") {
            Some(text) => text.trim().parse().ok(),
            None => header("ratelimit").and_then(reset_of),
        };
        let status = answer.status().as_u16();
        let asked_to_wait = matches!(status, 429 | 503);
        let said = Said {
            code: header("x-error-code"),
            message: header("x-error-message"),
            request_id: header("x-request-id"),
            retry_after: seconds.filter(|_| asked_to_wait).map(Duration::from_secs),
        };
        Self::new(status, answer.url().as_str(), said)
    }

    fn hint(&self) -> Option<&'static str> {
        Some(match (self.reason, self.status) {
            (Reason::Gated, 401) => {
                "ask for access on the repository's page, then give a token (HF_TOKEN)"
            }
            (Reason::Gated, _) => {
                "the token's owner has no access yet: ask for it on the repository's page"
            }
            (Reason::Forbidden, _) => "give a token that may read this repository",
            (Reason::RateLimited, _) => {
                "wait; a token raises the limit, and a fleet is better served by a mirror"
            }
            (Reason::RepoNotFound, _) => {
                "check the id; a private repository needs a token that may read it (HF_TOKEN)"
            }
            (Reason::RevisionNotFound, _) => {
                "check the commit; squashing a history on the Hub destroys the old commits"
            }
            (Reason::Unauthorized, _) => "give a token (HF_TOKEN), or a valid one",
            (Reason::FileNotFound | Reason::Other, _) => return None,
        })
    }
}

impl Reason {
    fn new(status: u16, code: Option<&str>) -> Self {
        match (code, status) {
            (Some("GatedRepo"), _) => Self::Gated,
            (Some("RepoNotFound"), _) => Self::RepoNotFound,
            (Some("RevisionNotFound"), _) => Self::RevisionNotFound,
            (Some("EntryNotFound"), _) => Self::FileNotFound,
            (_, 401) => Self::Unauthorized,
            (_, 403) => Self::Forbidden,
            (_, 429) => Self::RateLimited,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Reason::FileNotFound => "this commit has no such file",
            Reason::Gated => "the repository is gated",
            Reason::Forbidden => "access is forbidden",
            Reason::RateLimited => "the Hub limits how often it is asked",
            Reason::RepoNotFound => "there is no such repository, or it is private",
            Reason::RevisionNotFound => "the repository has no such revision",
            Reason::Unauthorized => "the Hub wants to know who asks",
            Reason::Other => "the Hub answers with an error",
        })?;
        if let Some(wait) = self.retry_after {
            write!(f, ", come back in {} s", wait.as_secs())?;
        }
        write!(f, " ({} at {}", self.status, self.url)?;
        if let Some(message) = &self.message {
            write!(f, ", {message:?}")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, ", request {id:?}")?;
        }
        f.write_str(")")
    }
}

impl Error for Refused {}

/// A URL that may be shown: the query of a CDN's URL opens the file to whoever has it.
pub(crate) fn without_query(url: &str) -> Box<str> {
    let Ok(mut url) = Url::parse(url) else {
        return "…".into();
    };
    url.set_query(None);
    url.set_fragment(None);
    // Neither fails for a URL with a host, and one without has neither.
    let _ = (url.set_username(""), url.set_password(None));
    String::from(url).into()
}

/// The cause that says most: the last of the chain.
fn deepest(error: &dyn Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

/// Strangers' words, no more than a line of them.
fn short(text: &str) -> Box<str> {
    text.chars().take(200).collect::<String>().into()
}

/// `t` of `RateLimit: "resolvers";r=0;t=55` (draft-ietf-httpapi-ratelimit-headers).
fn reset_of(rate_limit: &str) -> Option<u64> {
    let mut items = rate_limit.split(';');
    items.find_map(|item| item.trim().strip_prefix("t=")?.parse().ok())
}

fn shown(damaged: &[FilePath]) -> String {
    match damaged {
        [] => String::new(),
        [one] => format!(" ({:?} is damaged)", one.as_str()),
        [one, more @ ..] => format!(" ({:?} and {} more are damaged)", one.as_str(), more.len()),
    }
}
