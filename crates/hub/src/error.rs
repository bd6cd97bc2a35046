//! Two ways to fail, never mixed up: *had and refused*, or *could not be had*.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;
use tensorgate_store::StoreError;
use tensorgate_verify::{FilePath, Rejection};

use crate::config::ConfigError;
use crate::config::token::Token;
use crate::http::refused::Refused;
use crate::http::retry::jittered;
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
    #[error("the connection to {url} failed: {cause}")]
    Unreachable {
        /// What was asked for, without its query.
        url: Box<str>,
        /// What the system said.
        cause: Box<str>,
    },
    /// Whoever answers has no certificate that counts.
    #[error("{url} is not trusted: {cause}")]
    NotTrusted {
        /// What was asked for, without its query.
        url: Box<str>,
        /// What is wrong with the certificate.
        cause: Box<str>,
        /// What a person can do about it.
        hint: &'static str,
    },
    /// Nothing, or too little, came in time.
    #[error("{url} was given up after {} s: {what}", waited.as_secs_f64())]
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
    /// A Hugging Face cache cannot be read, or does not have it.
    #[error("{path:?} cannot be imported from: {what}")]
    Cache {
        /// The place in the cache.
        path: PathBuf,
        /// What is wrong with it.
        what: Box<str>,
    },
    /// Nothing says what the bytes of a cached file should be.
    #[error("nothing in the cache says what the bytes of {:?} should be", path.as_str())]
    NoDigest {
        /// The file.
        path: FilePath,
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
            Self::Unreachable { .. } | Self::TimedOut { .. } => Some(
                "check the network, the proxy and the endpoint, as `tensorgate doctor` does; what came is kept, and what is in the store needs no network: HF_HUB_OFFLINE=1",
            ),
            Self::NotTrusted { hint, .. } => Some(hint),
            Self::Malformed { .. } => {
                Some("check that the endpoint is a Hub, and that nobody answers in its place")
            }
            Self::Offline { .. } => Some("fetch it once with the network, by its full commit id"),
            Self::Cache { .. } => {
                Some("`hf cache ls` says what a cache has; --cache DIR names another")
            }
            Self::NoDigest { .. } => Some(
                "give --manifest FILE, which says it, or import what `hf download` has brought",
            ),
            Self::NotATarget { .. } => {
                Some("for instance lerobot/act_aloha@ and the 40 digits of a commit, or a branch")
            }
            Self::Store(error) => error.hint(),
            Self::Config(error) => error.hint(),
            _ => None,
        }
    }

    /// Nothing of it is in the store.
    pub(crate) fn offline(target: &Target) -> Self {
        let (target, damaged) = (target.clone(), Vec::new());
        Self::Offline { target, damaged }
    }

    pub(crate) fn rejected(
        rejection: Rejection,
        subject: impl fmt::Display,
        detail: impl fmt::Display,
    ) -> Self {
        Self::Rejected {
            rejection,
            subject: bounded(subject),
            detail: bounded(detail),
        }
    }

    pub(crate) fn cache(path: &Path, what: impl fmt::Display) -> Self {
        Self::Cache {
            path: path.to_owned(),
            what: what.to_string().into(),
        }
    }

    pub(crate) fn malformed(url: &str, what: impl fmt::Display) -> Self {
        Self::Malformed {
            url: url.into(),
            what: bounded(what),
        }
    }

    /// `url` may be shown.
    pub(crate) fn timed_out(url: &str, what: &'static str, waited: Duration) -> Self {
        let url = url.into();
        Self::TimedOut { url, what, waited }
    }

    /// The same without the token, wherever a stranger has put it.
    pub(crate) fn hiding(mut self, token: Option<&Token>) -> Self {
        let Some(token) = token else {
            return self;
        };
        let hide = |text: &mut Box<str>| *text = token.hidden_in(text);
        match &mut self {
            Self::Rejected {
                subject, detail, ..
            } => [subject, detail].into_iter().for_each(hide),
            Self::Malformed { url, what } => [url, what].into_iter().for_each(hide),
            Self::NotTrusted { url, cause, .. } | Self::Unreachable { url, cause } => {
                [url, cause].into_iter().for_each(hide);
            }
            Self::TimedOut { url, .. } => hide(url),
            Self::TooLarge { what, .. } => hide(what),
            Self::Refused(refused) => hide(&mut refused.url),
            _ => {}
        }
        self
    }

    /// How long to wait before it is worth another try, or `None` where it never is.
    pub(crate) fn wait(&self, backoff: Duration, longest: Duration) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } => Some(backoff),
            Self::Refused(refused) => match (refused.status, refused.retry_after) {
                (429 | 503, Some(wait)) if wait <= longest => Some(later(wait, backoff)),
                (429 | 503, Some(_)) => None,
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

/// An eighth to a quarter later than asked, and a usual pause: a fleet that was told the same
/// second does not come back in it.
fn later(wait: Duration, pause: Duration) -> Duration {
    wait.saturating_add(jittered(wait / 4))
        .saturating_add(pause)
}

/// What a stranger may have lengthened, no more than a few lines of it.
fn bounded(text: impl fmt::Display) -> Box<str> {
    text.to_string()
        .chars()
        .take(500)
        .collect::<String>()
        .into()
}

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

fn shown(damaged: &[FilePath]) -> String {
    match damaged {
        [] => String::new(),
        [one] => format!(" ({:?} is damaged)", one.as_str()),
        [one, more @ ..] => format!(" ({:?} and {} more are damaged)", one.as_str(), more.len()),
    }
}
