//! How the gate does, as a diagnostic. No ROS entities in here.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use r2r::diagnostic_msgs::msg::{DiagnosticStatus, KeyValue};
use tensorgate_verify::Sha256;

use crate::announce::{Announcement, Delivery, ros_string};
use crate::status::{Named, Reason, State};

const OK: u8 = DiagnosticStatus::OK as u8;
const WARN: u8 = DiagnosticStatus::WARN as u8;
const ERROR: u8 = DiagnosticStatus::ERROR as u8;

/// A name or a line from outside takes no more than this many characters.
const LONGEST: usize = 256;
/// A channel that was silent for so many intervals is not followed.
const MISSED: u32 = 3;

/// What the gate knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) state: State,
    pub(crate) session_id: [u8; 16],
    /// What is held, whether announced or not.
    pub(crate) policy: Option<About>,
    /// Since when it is announced.
    pub(crate) announced: Option<Instant>,
    pub(crate) lease: Duration,
    pub(crate) channel: Option<Channel>,
    /// The newest refusal, and when that was.
    pub(crate) last_rejection: Option<(Instant, String)>,
}

/// What a policy is.
#[derive(Clone, Debug)]
pub(crate) struct About {
    repo: String,
    revision: String,
    sequence: u64,
    digest: Sha256,
    signers: String,
    hold: String,
    bytes: u64,
    fragments: usize,
    delivery: Delivery,
    expires: Timestamp,
}

/// Where newer releases and revocations are looked for.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) name: String,
    /// How often, if not at loads alone.
    pub(crate) interval: Option<Duration>,
    /// When it last answered.
    pub(crate) polled: Option<Instant>,
}

/// What the node sees of others.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    /// Matched readers of `~/manifest`.
    pub(super) subscribers: Option<usize>,
    /// Nodes that publish on it, by their full names, ourselves included; empty where the topic
    /// has another name.
    pub(super) publishers: Vec<String>,
}

impl About {
    pub(crate) fn of(announcement: &Announcement) -> Self {
        let policy = announcement.policy();
        let evidence = policy.evidence();
        let signers = evidence.signers.iter().map(|signer| signer.name.as_str());
        let mut holds: Vec<String> = policy
            .tensor_files()
            .map(|file| file.hold().holding().to_string())
            .collect();
        holds.sort_unstable();
        holds.dedup();
        Self {
            repo: evidence.repo.to_string(),
            revision: evidence.revision.to_string(),
            sequence: evidence.sequence,
            digest: evidence.manifest,
            signers: signers.collect::<Vec<_>>().join(", "),
            hold: holds.join("; "),
            bytes: announcement.weights_size(),
            fragments: announcement.fragment_count(),
            delivery: announcement.delivery(),
            expires: evidence.until,
        }
    }
}

impl Health {
    pub(super) fn status(&self, name: &str, graph: &Graph, now: Instant) -> DiagnosticStatus {
        let (level, message) = self.judge(graph, now);
        DiagnosticStatus {
            level,
            name: name.to_owned(),
            message,
            hardware_id: self
                .policy
                .as_ref()
                .map_or_else(String::new, |policy| ros_string(&policy.repo)),
            values: self.values(graph, now),
        }
    }

    /// What is wrong counts more than what is unusual.
    fn judge(&self, graph: &Graph, now: Instant) -> (u8, String) {
        let (level, message) = self.stands();
        if level == ERROR {
            return (level, message);
        }
        let announced = matches!(self.state, State::Ready(_));
        let unusual = graph
            .warning()
            .or_else(|| self.refused_later().filter(|_| announced))
            .or_else(|| self.overdue(now).filter(|_| announced));
        match unusual {
            Some(warning) => (WARN, format!("{message}; {warning}")),
            None => (level, message),
        }
    }

    /// That nothing is announced, on request, is no fault, as an inactive node of nav2 is none
    /// (`LifecycleManager::CreateDiagnostic`). STALE is for who is silent: of a group with one such
    /// member diagnostic_aggregator makes an ERROR (`GenericAnalyzerBase`).
    fn stands(&self) -> (u8, String) {
        let rejected = |what: &str, code: &str| (ERROR, format!("{what}: {code}"));
        match self.state {
            State::NoPolicy => (OK, "no policy is announced".into()),
            State::Loading => (WARN, "a policy is being fetched or verified".into()),
            State::Ready(_) => (OK, "a verified policy is announced".into()),
            State::Rejected(rejection) => rejected("the policy was refused", rejection.code()),
            State::Failed => (ERROR, "the policy could not be checked".into()),
            State::Withdrawn(_, Reason::Asked) => (OK, "the policy was taken back".into()),
            State::Withdrawn(_, Reason::Rejected(rejection)) => {
                rejected("the policy was withdrawn", rejection.code())
            }
            State::Withdrawn(_, Reason::CouldNotCheck) => (
                ERROR,
                "the policy was withdrawn: it could not be kept".into(),
            ),
            State::Revoked(_, rejection) => rejected("the policy was revoked", rejection.code()),
        }
    }

    /// A load failed while this policy was in force.
    fn refused_later(&self) -> Option<String> {
        let (when, what) = self.last_rejection.as_ref()?;
        let later = self.announced.is_some_and(|announced| *when > announced);
        later.then(|| format!("a later one was refused: {}", shown(what)))
    }

    fn overdue(&self, now: Instant) -> Option<String> {
        let channel = self.channel.as_ref()?;
        let answered = channel.polled.or(self.announced)?;
        let silent = now.saturating_duration_since(answered);
        (silent > channel.interval?.saturating_mul(MISSED))
            .then(|| format!("the channel has not answered for {} s", silent.as_secs()))
    }

    fn values(&self, graph: &Graph, now: Instant) -> Vec<KeyValue> {
        let policy = self.policy.as_ref();
        let of = |text: fn(&About) -> String| policy.map_or_else(String::new, text);
        let named = self.state.named();
        let seconds = |then: Option<Instant>| {
            let age = then.map(|then| now.saturating_duration_since(then));
            age.map_or_else(String::new, |age| age.as_secs().to_string())
        };
        let channel = self.channel.as_ref();
        let pairs = [
            ("state", self.state.name().to_owned()),
            ("repo", of(|it| it.repo.clone())),
            ("revision", of(|it| it.revision.clone())),
            ("sequence", of(|it| it.sequence.to_string())),
            ("digest", of(|it| it.digest.to_string())),
            ("signers", of(|it| it.signers.clone())),
            ("hold", of(|it| it.hold.clone())),
            ("session", hex(&self.session_id)),
            ("epoch", named.map_or(0, |it: Named| it.epoch).to_string()),
            ("bytes", of(|it| it.bytes.to_string())),
            ("fragments", of(|it| it.fragments.to_string())),
            ("delivery", of(|it| it.delivery.name().to_owned())),
            ("subscribers", count(graph.subscribers)),
            ("publishers", count(graph.count())),
            ("lease_ms", self.lease.as_millis().to_string()),
            (AGE, seconds(self.announced)),
            ("expires", of(|it| it.expires.to_string())),
            (
                "channel",
                channel.map_or_else(String::new, |it| it.name.clone()),
            ),
            (LAST_POLL, seconds(channel.and_then(|it| it.polled))),
            (
                "last_rejection",
                self.last_rejection
                    .as_ref()
                    .map_or_else(String::new, |it| it.1.clone()),
            ),
        ];
        pairs
            .into_iter()
            .map(|(key, value)| pair(key, &value))
            .collect()
    }
}

/// Seconds since the policy was announced.
const AGE: &str = "age_s";
/// Seconds since the channel last answered.
const LAST_POLL: &str = "last_poll_s";

/// Whether there is news: that time goes by is none.
pub(super) fn differ(one: &DiagnosticStatus, other: &DiagnosticStatus) -> bool {
    let clocks = |pair: &&KeyValue| pair.key != AGE && pair.key != LAST_POLL;
    one.level != other.level
        || one.message != other.message
        || !one
            .values
            .iter()
            .filter(clocks)
            .eq(other.values.iter().filter(clocks))
}

impl Graph {
    fn count(&self) -> Option<usize> {
        Some(self.publishers.len()).filter(|count| *count > 0)
    }

    /// Controllers go by signature and session; people should know all the same.
    fn warning(&self) -> Option<String> {
        (self.publishers.len() > 1).then(|| {
            let mut names = self.publishers.clone();
            names.sort_unstable();
            let names = shown(&names.join(", "));
            format!("{} publish on ~/manifest: {names}", self.publishers.len())
        })
    }
}

fn count(number: Option<usize>) -> String {
    number.map_or_else(|| "unknown".into(), |number| number.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: shown(value),
    }
}

fn shown(text: &str) -> String {
    ros_string(text).chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests;
