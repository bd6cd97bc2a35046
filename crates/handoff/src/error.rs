//! Why nothing was handed over.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why nothing was handed over. Nothing is left open then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandoffError {
    /// The socket's path cannot be used.
    #[error("the socket {}: {source}", path.display())]
    Place {
        /// Where it is, or should be.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The other end is not a user whom this end talks to.
    #[error("user {uid} at the other end, who is none of those expected")]
    Peer {
        /// Who it is, by the kernel's word.
        uid: u32,
    },
    /// The other end says why not.
    #[error("refused: {0}")]
    Refused(Refusal),
    /// The other end did not say all in time.
    #[error("the other end fell silent")]
    Silent,
    /// The other end breaks the protocol.
    #[error("not a hand-off: {0}")]
    Malformed(&'static str),
    /// The system's word.
    #[error("{step}: {source}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// What came of it.
        source: io::Error,
    },
}

/// Why a gate hands nothing over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no policy, for now.
    NothingOffered,
    /// It is not for this user.
    NotAdmitted,
    /// The gate could not seal the policy: no memory, or more files than are handed over.
    NotSealed,
}

impl Refusal {
    pub(crate) const ALL: [Self; 3] = [Self::NothingOffered, Self::NotAdmitted, Self::NotSealed];

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::NothingOffered => 1,
            Self::NotAdmitted => 2,
            Self::NotSealed => 3,
        }
    }

    pub(crate) fn of_number(number: u32) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|refusal| refusal.number() == number)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingOffered => "nothing is offered",
            Self::NotAdmitted => "not for this user",
            Self::NotSealed => "the policy could not be sealed",
        })
    }
}

impl HandoffError {
    pub(crate) fn io(step: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        Self::Io { step, source }
    }
}
