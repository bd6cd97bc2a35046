use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, HeaderName, header, request::Parts};

/// A request that arrived, written down before it was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Where it arrived.
    pub port: Port,
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Path and query as they were sent.
    pub target: String,
    /// The whole `Authorization` header.
    pub authorization: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
    /// The `User-Agent` header.
    pub user_agent: Option<String>,
}

impl Request {
    /// The token of `Authorization: Bearer TOKEN`.
    pub fn token(&self) -> Option<&str> {
        self.authorization.as_deref()?.strip_prefix("Bearer ")
    }

    pub(crate) fn new(port: Port, parts: &Parts) -> Self {
        Self {
            port,
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            authorization: text(&parts.headers, &header::AUTHORIZATION),
            range: text(&parts.headers, &header::RANGE),
            user_agent: text(&parts.headers, &header::USER_AGENT),
        }
    }
}

/// Which of the two ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the Hub has these two sides")]
pub enum Port {
    /// API and resolver: where a token belongs.
    Hub,
    /// Where LFS bodies come from: where no token belongs.
    Cdn,
}

#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Request>>);

impl Log {
    pub(crate) fn push(&self, request: Request) -> usize {
        let mut requests = self.lock();
        requests.push(request);
        requests.len()
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
