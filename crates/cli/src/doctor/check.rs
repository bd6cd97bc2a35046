//! One line of the doctor's.

use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It keeps something from working, or from being as it should.
    Fail,
    /// Nobody asked for it, or nothing can be said.
    Skipped,
}

/// What was seen of one thing.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// What was seen.
    pub(super) detail: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::of(name, Status::Ok, detail)
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>) -> Self {
        Self::of(name, Status::Warn, detail)
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>) -> Self {
        Self::of(name, Status::Fail, detail)
    }

    pub(super) fn skipped(name: &'static str, detail: impl Into<String>) -> Self {
        Self::of(name, Status::Skipped, detail)
    }

    /// The same with what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What another part of the command says of a failure.
    pub(super) fn failed(name: &'static str, failure: crate::failure::Failure) -> Self {
        let (detail, hint) = failure.told();
        Self {
            hint,
            ..Self::fail(name, detail)
        }
    }

    fn of(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        let (detail, hint) = (detail.into(), None);
        Self {
            name,
            status,
            detail,
            hint,
        }
    }
}
