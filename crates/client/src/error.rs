//! Why a message was not taken: refused by the proof, or by the rules of this receiver.

use std::fmt;

use tensorgate_verify::Rejection;

/// Why a message was not taken, or a policy given up. The policy that runs stays; so does what arrived of the next, but
/// where it could not be completed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The signature, a digest or the content was refused, or could not be checked.
    Verify(tensorgate_verify::Error),
    /// The announcement breaks a rule of the receiver.
    Refused {
        /// The rule.
        rejection: Rejection,
        /// The field that breaks it.
        subject: &'static str,
        /// What was expected and what was found.
        detail: Box<str>,
    },
    /// What was being received did not arrive in time.
    Overdue {
        /// Fragments that are missing.
        missing: usize,
        /// Of how many.
        of: usize,
    },
}

/// The result of taking a message.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The rule that refused, or `None` where it could not be checked (out of memory, an
    /// unreadable history, fragments that did not arrive).
    pub fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Verify(error) => error.rejection(),
            Self::Refused { rejection, .. } => Some(*rejection),
            Self::Overdue { .. } => None,
        }
    }

    /// The file, tensor or field that was refused, as found: quote it before showing it.
    pub fn subject(&self) -> &str {
        match self {
            Self::Verify(tensorgate_verify::Error::Rejected(all)) => &all.first().subject,
            Self::Verify(tensorgate_verify::Error::Io { subject, .. }) => subject,
            Self::Verify(_) => "policy",
            Self::Refused { subject, .. } => subject,
            Self::Overdue { .. } => "fragments",
        }
    }

    /// What was expected and what was found.
    pub fn detail(&self) -> String {
        match self {
            Self::Verify(tensorgate_verify::Error::Rejected(all)) => {
                all.first().detail.clone().into()
            }
            Self::Verify(tensorgate_verify::Error::Io { source, .. }) => source.to_string(),
            Self::Verify(error) => error.to_string(),
            Self::Refused { detail, .. } => detail.clone().into(),
            Self::Overdue { missing, of } => format!("{missing} of {of} did not arrive"),
        }
    }

    pub(crate) fn refused(
        rejection: Rejection,
        subject: &'static str,
        detail: impl fmt::Display,
    ) -> Self {
        Self::Refused {
            rejection,
            subject,
            detail: detail.to_string().into(),
        }
    }
}

impl From<tensorgate_verify::Error> for Error {
    fn from(error: tensorgate_verify::Error) -> Self {
        Self::Verify(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verify(error) => error.fmt(f),
            Self::Refused {
                rejection,
                subject,
                detail,
            } => write!(f, "rejected: {rejection}: {subject:?}: {detail}"),
            Self::Overdue { .. } => write!(f, "given up: fragments: {}", self.detail()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Verify(error) => error.source(),
            Self::Refused { .. } | Self::Overdue { .. } => None,
        }
    }
}
