//! What a Hub says when it says no.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::HeaderMap;

use crate::config::token::Token;
use crate::error::{FetchError, without_query};
use crate::http::rate;

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
    /// When that is over, by this machine's clock.
    pub retry_at: Option<Timestamp>,
}

/// What an error status of the Hub means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The repository was closed.
    Disabled,
    /// The file is not in this commit.
    FileNotFound,
    /// The owner decides who may have the files.
    Gated,
    /// The token does not allow it.
    Forbidden,
    /// A law keeps it from being given.
    Legal,
    /// There is nothing at this address, which a Hub would have said otherwise.
    NotFound,
    /// The proxy wants a name and a password.
    ProxyAuthentication,
    /// The server to which the Hub has led does not give it; what it says are not the Hub's words.
    NotFromThere,
    /// Too many requests.
    RateLimited,
    /// There is no such repository, or it is private.
    RepoNotFound,
    /// The repository has no such commit, branch or tag.
    RevisionNotFound,
    /// A token is needed, or the one given does not count.
    Unauthorized,
    /// The server, or one before it, has trouble of its own.
    Unavailable,
    /// The file is in Xet storage, and the Hub does not give it by plain HTTP.
    XetOnly,
    /// Anything else.
    Other,
}

impl Refused {
    /// What the headers of an error say; its body is not read.
    pub(crate) fn of_answer(
        answer: &reqwest::Response,
        is_hub: bool,
        token: Option<&Token>,
    ) -> Self {
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let words = |name| {
            let text = header(name)?;
            Some(token.map_or_else(|| short(text), |token| short(&token.hidden_in(text))))
        };
        let status = answer.status().as_u16();
        let now = Timestamp::now();
        let wait = matches!(status, 429 | 503)
            .then(|| rate::wait(answer.headers(), now))
            .flatten();
        Self {
            reason: Reason::new(status, is_hub, answer.headers()),
            status,
            url: without_query(answer.url().as_str()),
            message: words("x-error-message"),
            request_id: words("x-request-id"),
            retry_after: wait,
            retry_at: wait.and_then(|wait| whole_second_after(now, wait)),
        }
    }

    /// A proxy that opens no tunnel for a stranger. `url` may be shown.
    pub(crate) fn by_proxy(url: &str) -> Self {
        Self {
            reason: Reason::ProxyAuthentication,
            status: 407,
            url: url.into(),
            message: None,
            request_id: None,
            retry_after: None,
            retry_at: None,
        }
    }

    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match (self.reason, self.status) {
            (Reason::Gated, 401) => {
                "ask for access on the repository's page, then give a token that may read it"
            }
            (Reason::Gated, _) => {
                "the token's owner has no access yet: ask for it on the repository's page"
            }
            (Reason::Forbidden, _) => "give a token that may read this repository",
            (Reason::RateLimited, _) => {
                "wait; a token raises the limit, and a fleet is better served by a mirror"
            }
            (Reason::RepoNotFound, _) => {
                "check the id; a private repository needs a token that may read it"
            }
            (Reason::RevisionNotFound, _) => {
                "check the commit; squashing a history on the Hub destroys the old commits"
            }
            (Reason::Unauthorized, _) => {
                "give a token, or another one; HF_TOKEN is for the endpoint of HF_ENDPOINT alone"
            }
            (Reason::Disabled, _) => "ask its owner; a policy that is in the store stays usable",
            (Reason::Legal, _) => "ask the Hub's support, with the request's id",
            (Reason::NotFound, _) => "check the endpoint: a Hub, or a mirror, must be there",
            (Reason::NotFromThere, _) => {
                "fetch it again: where a Hub leads to holds for a time, by its clock; a proxy may refuse, too"
            }
            (Reason::ProxyAuthentication, _) => {
                "write HTTP_PROXY and HTTPS_PROXY as http://NAME:PASSWORD@HOST:PORT"
            }
            (Reason::Unavailable, _) => {
                "try again later; behind a proxy, the trouble may also be the proxy's"
            }
            (Reason::XetOnly, _) => "fetch it from a mirror that serves whole files",
            (Reason::Other, _) => {
                "check that the endpoint is a Hub, and that nobody answers in its place"
            }
            (Reason::FileNotFound, _) => return None,
        })
    }
}

impl Reason {
    fn new(status: u16, is_hub: bool, headers: &HeaderMap) -> Self {
        let header = |name| headers.get(name)?.to_str().ok();
        if !is_hub && matches!(status, 400..=499) && !matches!(status, 407 | 408 | 429 | 451) {
            return Self::NotFromThere;
        }
        match (header("x-error-code"), status) {
            (Some("GatedRepo"), _) => Self::Gated,
            (Some("RepoNotFound"), _) => Self::RepoNotFound,
            (Some("RevisionNotFound"), _) => Self::RevisionNotFound,
            (Some("EntryNotFound"), _) => Self::FileNotFound,
            (Some("DisabledRepo"), _) => Self::Disabled,
            _ if header("x-error-message") == Some(DISABLED) => Self::Disabled,
            (_, 401) => Self::Unauthorized,
            (_, 403) => Self::Forbidden,
            (_, 407) => Self::ProxyAuthentication,
            (_, 429) => Self::RateLimited,
            (_, 451) => Self::Legal,
            (_, 400..=499) if headers.contains_key("x-xet-hash") => Self::XetOnly,
            (_, 404 | 410) => Self::NotFound,
            (_, 500..=599) => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

/// By these words clients know a closed repository; it has no code of its own.
const DISABLED: &str = "Access to this resource is disabled.";

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            Reason::Disabled => "the repository is disabled",
            Reason::FileNotFound => "this commit has no such file",
            Reason::Gated => "the repository is gated",
            Reason::Forbidden => "access is forbidden",
            Reason::Legal => "unavailable for legal reasons",
            Reason::NotFound => "not found",
            Reason::ProxyAuthentication => "the proxy wants a login",
            Reason::RateLimited => "rate-limited: too many requests",
            Reason::NotFromThere => "the server to which the Hub has led does not give it",
            Reason::RepoNotFound => "there is no such repository, or it is private",
            Reason::RevisionNotFound => "the repository has no such revision",
            Reason::Unauthorized => "authentication is needed",
            Reason::Unavailable => "the Hub, or a server before it, is unavailable",
            Reason::XetOnly => "the Hub has the file in Xet storage and does not give it whole",
            Reason::Other => "the Hub answers with an error",
        })?;
        if let Some(wait) = self.retry_after {
            write!(f, ", come back in {} s", wait.as_secs())?;
        }
        if let Some(at) = self.retry_at {
            write!(f, ", at {at}")?;
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

impl From<Refused> for FetchError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// Strangers' words, no more than a line of them.
pub(crate) fn short(text: &str) -> Box<str> {
    text.chars().take(200).collect::<String>().into()
}

/// `None` where no calendar reaches.
fn whole_second_after(now: Timestamp, wait: Duration) -> Option<Timestamp> {
    let seconds = i64::try_from(wait.as_secs()).ok()?;
    Timestamp::from_second(now.as_second().checked_add(seconds)?).ok()
}
