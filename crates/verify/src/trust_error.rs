//! Why a trust policy is not used.

use std::fmt;
use std::io;

/// Why a trust policy cannot be used; never a verdict about a policy.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrustPolicyError {
    /// The file cannot be read, or others could write it.
    File(io::Error),
    /// The text is not a trust policy; line and column are in the message.
    Malformed(Box<str>),
    /// A key cannot be used.
    Key {
        /// The key's name in the trust policy.
        name: String,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// A key's file cannot be read.
    KeyFile {
        /// The file as the trust policy names it.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// More signatures are asked for than there are keys, or none.
    Threshold {
        /// The threshold.
        threshold: usize,
        /// The number of keys.
        keys: usize,
    },
}

impl fmt::Display for TrustPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(source) => source.fmt(f),
            Self::Malformed(why) => f.write_str(why.trim_end()),
            Self::Key { name, reason } => write!(f, "the key {name:?}: {reason}"),
            Self::KeyFile { file, source } => write!(f, "the key file {file:?}: {source}"),
            Self::Threshold { threshold: 0, .. } => {
                f.write_str("a threshold of 0 would trust everybody")
            }
            Self::Threshold { threshold, keys } => {
                write!(f, "a threshold of {threshold} cannot be met by {keys} keys")
            }
        }
    }
}

impl std::error::Error for TrustPolicyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(source) | Self::KeyFile { source, .. } => Some(source),
            _ => None,
        }
    }
}
