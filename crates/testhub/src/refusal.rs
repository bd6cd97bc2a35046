use std::io;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::git::ObjectId;

pub(crate) const X_REPO_COMMIT: HeaderName = HeaderName::from_static("x-repo-commit");
const X_ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");
const X_ERROR_MESSAGE: HeaderName = HeaderName::from_static("x-error-message");

/// An answer that is not what was asked for, in the Hub's words.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// As the Hub says it for unknown and for private repositories alike.
    RepoNotFound,
    Gated {
        token_given: bool,
    },
    RevisionNotFound,
    EntryNotFound(ObjectId),
    /// Not an address that the hub serves.
    PageNotFound,
    /// A body that the Hub does not take.
    BadRequest(&'static str),
    /// The CDN without the signature of its URL.
    Unsigned,
    RangeNotSatisfiable {
        size: u64,
    },
    TooManyRequests {
        retry_after: u64,
    },
    Injected(StatusCode),
    /// The hub's own trouble: a file on disk that is gone, say.
    Internal(String),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::RepoNotFound | Self::Gated { token_given: false } => StatusCode::UNAUTHORIZED,
            Self::Gated { token_given: true } | Self::Unsigned => StatusCode::FORBIDDEN,
            Self::RevisionNotFound | Self::EntryNotFound(_) | Self::PageNotFound => {
                StatusCode::NOT_FOUND
            }
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Injected(status) => *status,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::RepoNotFound => Some("RepoNotFound"),
            Self::Gated { .. } => Some("GatedRepo"),
            Self::RevisionNotFound => Some("RevisionNotFound"),
            Self::EntryNotFound(_) => Some("EntryNotFound"),
            _ => None,
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Self::RepoNotFound => "Repository not found",
            Self::Gated { token_given: false } => "Access to this repository is restricted, log in",
            Self::Gated { token_given: true } => {
                "Access to this repository is restricted to others"
            }
            Self::RevisionNotFound => "Invalid rev id",
            Self::EntryNotFound(_) => "Entry not found",
            Self::PageNotFound => "Page not found",
            Self::BadRequest(message) => message,
            Self::Unsigned => "Access denied: the URL is not signed",
            Self::RangeNotSatisfiable { .. } => "Range not satisfiable",
            Self::TooManyRequests { .. } => "Rate limit reached",
            Self::Injected(_) => "This answer was injected",
            Self::Internal(_) => "The test hub failed",
        }
    }

    /// Headers beside code and message.
    fn headers(&self) -> Vec<(HeaderName, String)> {
        match self {
            Self::EntryNotFound(commit) => vec![(X_REPO_COMMIT, commit.to_string())],
            Self::RangeNotSatisfiable { size } => {
                vec![(header::CONTENT_RANGE, format!("bytes */{size}"))]
            }
            // The limits of an anonymous user, in the form of
            // draft-ietf-httpapi-ratelimit-headers that the Hub uses.
            Self::TooManyRequests { retry_after } => vec![
                (header::RETRY_AFTER, retry_after.to_string()),
                (
                    HeaderName::from_static("ratelimit"),
                    format!("\"resolvers\";r=0;t={retry_after}"),
                ),
                (
                    HeaderName::from_static("ratelimit-policy"),
                    "\"fixed window\";\"resolvers\";q=3000;w=300".to_owned(),
                ),
            ],
            _ => Vec::new(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let message = match &self {
            Self::Internal(detail) => detail.clone(),
            _ => self.message().to_owned(),
        };
        let body = Json(serde_json::json!({ "error": message }));
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(X_ERROR_MESSAGE, HeaderValue::from_static(self.message()));
        if let Some(code) = self.code() {
            headers.insert(X_ERROR_CODE, HeaderValue::from_static(code));
        }
        for (name, value) in self.headers() {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<axum::http::Error> for Refusal {
    fn from(error: axum::http::Error) -> Self {
        Self::Internal(error.to_string())
    }
}
