//! What changed inside a file, or why that is not known.

use std::fmt;

use serde_json::{Map, Value, json};
use tensorgate_verify::{Error, Rejection};

use crate::failure::Failure;

/// What changed inside a file, for people and for programs.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub(super) lines: Vec<String>,
    pub(super) json: Map<String, Value>,
}

/// Why the inside of one version of a file cannot be compared: it is refused, or not looked at.
#[derive(Debug)]
pub(super) struct Closed {
    /// The rule that refuses it, and the file, tensor or key that it refuses.
    refused: Option<(Rejection, String)>,
    why: String,
}

impl Detail {
    /// Neither side is compared, since one of them, or both, cannot be.
    pub(super) fn closed(a: Option<Closed>, b: Option<Closed>) -> Self {
        let mut detail = Self::default();
        let mut sides = Vec::new();
        for (side, closed) in [("A", a), ("B", b)] {
            if let Some(closed) = closed {
                detail.lines.push(format!("in {side}: {closed}"));
                sides.push(closed.json(side));
            }
        }
        detail.json.insert("refused".into(), sides.into());
        detail
    }
}

impl Closed {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self {
            refused: None,
            why: why.into(),
        }
    }

    /// What is refused is part of what there is to tell; what could not be read ends the command.
    pub(super) fn or_failure<T>(failure: Failure) -> Result<Result<T, Self>, Failure> {
        let Failure::Rejected(all) = &failure else {
            return Err(failure);
        };
        match all.first() {
            None => Err(failure),
            Some(found) => Ok(Err(Self {
                refused: Some((found.rejection, found.subject.clone())),
                why: found.detail.clone(),
            })),
        }
    }

    pub(super) fn or_error<T>(error: Error) -> Result<Result<T, Self>, Failure> {
        Self::or_failure(error.into())
    }

    pub(super) fn json(&self, side: &str) -> Value {
        let refused = self.refused.as_ref();
        let (code, subject) = refused
            .map(|(code, subject)| (code.code(), subject))
            .unzip();
        json!({
            "side": side.to_lowercase(),
            "code": code,
            "subject": subject,
            "detail": self.why,
        })
    }

    /// Whether nothing is wrong: there is only no manifest.
    pub(super) fn is_missing_manifest(&self) -> bool {
        let missing = Rejection::ManifestMissing;
        matches!(self.refused, Some((rejection, _)) if rejection == missing)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            Some((rejection, subject)) => write!(f, "{rejection}: {subject:?}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}
