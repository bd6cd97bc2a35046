//! Why the inside of a file is not known.

use tensorgate_verify::{Error, Rejection};

use super::comparison::Closed;
use crate::failure::Failure;

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

    /// Whether nothing is wrong: there is only no manifest.
    pub(super) fn is_missing_manifest(&self) -> bool {
        let missing = Rejection::ManifestMissing;
        matches!(self.refused, Some((rejection, _)) if rejection == missing)
    }
}
