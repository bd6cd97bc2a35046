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
        /// The line of its entry.
        line: usize,
        /// The key's name in the trust policy.
        name: String,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// An entry of another section cannot be used.
    Entry {
        /// Its line.
        line: usize,
        /// The section.
        section: &'static str,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// A key's file cannot be read.
    KeyFile {
        /// The line of the entry that names it.
        line: usize,
        /// The file as the trust policy names it.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// More signatures are asked for than there are keys, or none.
    Threshold {
        /// Its line.
        line: usize,
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
            Self::Key { line, name, reason } => {
                write!(f, "line {line}: the key {name:?}: {reason}")
            }
            Self::KeyFile { line, file, source } => {
                write!(f, "line {line}: the file {file:?}: {source}")
            }
            Self::Entry {
                line,
                section,
                reason,
            } => write!(f, "line {line}: [[{section}]]: {reason}"),
            Self::Threshold {
                line, threshold: 0, ..
            } => write!(f, "line {line}: a threshold of 0 would trust everybody"),
            Self::Threshold {
                line,
                threshold,
                keys,
            } => {
                let plural = if *keys == 1 { "" } else { "s" };
                write!(
                    f,
                    "line {line}: a threshold of {threshold} cannot be met by {keys} key{plural}"
                )
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
