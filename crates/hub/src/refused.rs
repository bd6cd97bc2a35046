//! What a Hub says when it says no.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::error::{FetchError, without_query};
use crate::token::Token;

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

impl Refused {
    /// What the headers of an error say; its body is not read.
    pub(crate) fn of_answer(answer: &reqwest::Response, token: Option<&Token>) -> Self {
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let words = |name| {
            let text = header(name)?;
            Some(token.map_or_else(|| short(text), |token| short(&token.hidden_in(text))))
        };
        let seconds: Option<u64> = match header("retry-after") {
            Some(text) => text.trim().parse().ok(),
            None => header("ratelimit").and_then(reset_of),
        };
        let status = answer.status().as_u16();
        let asked_to_wait = matches!(status, 429 | 503);
        Self {
            reason: Reason::new(status, header("x-error-code")),
            status,
            url: without_query(answer.url().as_str()),
            message: words("x-error-message"),
            request_id: words("x-request-id"),
            retry_after: seconds.filter(|_| asked_to_wait).map(Duration::from_secs),
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
                "give a token, or a valid one; HF_TOKEN is for the endpoint of HF_ENDPOINT alone"
            }
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

impl From<Refused> for FetchError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

/// Strangers' words, no more than a line of them.
pub(crate) fn short(text: &str) -> Box<str> {
    text.chars().take(200).collect::<String>().into()
}

/// `t` of `RateLimit: "resolvers";r=0;t=55` (draft-ietf-httpapi-ratelimit-headers).
fn reset_of(rate_limit: &str) -> Option<u64> {
    let mut items = rate_limit.split(';');
    items.find_map(|item| item.trim().strip_prefix("t=")?.parse().ok())
}
