use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tensorgate_verify::Sha256;

/// Why the store could not do it. Never a verdict about a policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A step on the file system failed; what was there before is still there.
    #[error("could not {step} {path:?}: {source}")]
    Io {
        /// What was tried, a verb: `write`, `flush`, `rename`.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could change what is in this directory.
    #[error("{path:?} is {detail}: what lies there could be changed by others")]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Whose it is or who may write to it.
        detail: Box<str>,
    },
    /// What is known about accepted releases is damaged or lost, so a rollback could not be seen.
    #[error("the record of accepted releases at {path:?} is {detail}")]
    State {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        detail: Box<str>,
    },
    /// The disk has not enough room; nothing was begun.
    #[error("{path:?} needs {needed} bytes more, and the disk has {free} to spare")]
    NoSpace {
        /// What has no room.
        path: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that this user may still write, less a reserve for everything else.
        free: u64,
    },
    /// The operator allows the store no more of the disk; nothing was begun.
    #[error(
        "{path:?} needs {needed} bytes more, and {used} of its quota of {quota} bytes are in use"
    )]
    Quota {
        /// The store.
        path: PathBuf,
        /// Bytes that are still to be written.
        needed: u64,
        /// Bytes that it takes of the disk.
        used: u64,
        /// The most that it may take.
        quota: u64,
    },
    /// The operator's limit cannot be read, so nobody knows what is allowed.
    #[error("the quota at {path:?} is damaged: {detail}")]
    QuotaUnreadable {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        detail: Box<str>,
    },
    /// What counts as accepted is not what was to be: the proof is older than it.
    #[error(
        "release {sequence} was accepted meanwhile, and it is a newer one or another of the same number"
    )]
    Superseded {
        /// The number of the release that counts.
        sequence: u64,
        /// Its manifest.
        manifest: Sha256,
    },
    /// Something that is no file of the store stands where one belongs, or the directory that was
    /// named is not a store and not empty.
    #[error("{path:?} is {detail}")]
    Foreign {
        /// Where it stands.
        path: PathBuf,
        /// What it is.
        detail: Box<str>,
    },
    /// As many manifests are revoked at this place as can be; this one was not.
    #[error("{path:?} has {most} revocations already, and takes no more")]
    TooManyRevoked {
        /// Their file.
        path: PathBuf,
        /// How many there can be.
        most: usize,
    },
    /// There is no place for a store: neither a home nor a data directory is known.
    #[error("no place for a store is known: neither HOME nor XDG_DATA_HOME is set")]
    NoPlace,
}

/// The result of everything that touches the disk.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// Whether the disk, the user's quota on it, or the store's own is full.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::NoSpace { .. } | Self::Quota { .. })
            || self
                .errno()
                .is_some_and(|errno| matches!(errno, Errno::NOSPC | Errno::DQUOT))
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotPrivate { .. } => {
                Some("make it yours and run `chmod go-w` on it, or name another store")
            }
            Self::State { .. } => Some(
                "restore it from a backup; resetting it makes the robot accept old releases again",
            ),
            Self::QuotaUnreadable { .. } => {
                Some("set it again with `tensorgate store init --quota SIZE`, or `off`")
            }
            Self::NoPlace => Some("set TENSORGATE_STORE or give `--store DIR`"),
            Self::NoSpace { .. } | Self::Io { .. } if self.is_disk_full() => Some(
                "free some space, as `tensorgate store gc` does, and try again; nothing was lost",
            ),
            Self::Quota { .. } => Some(
                "run `tensorgate store gc`, or allow more with `tensorgate store init --quota SIZE`; nothing was lost",
            ),
            Self::Io { .. } => match self.errno()? {
                Errno::ROFS => Some(
                    "it is on a read-only file system, where nothing is fetched or removed; what was accepted can be remembered elsewhere: `--state DIR`, or the node's parameter `state`",
                ),
                Errno::ACCESS | Errno::PERM => Some(match self {
                    Self::Io {
                        step: "open" | "read" | "list" | "examine",
                        ..
                    } => "this user may not read it; run as its owner or name another store",
                    _ => "this user may not write to the store; run as its owner or name another",
                }),
                _ => None,
            },
            Self::Foreign { .. } => {
                Some("the store did not make it: move it away, or name an empty or new directory")
            }
            Self::Superseded { .. } => Some("verify again: it is judged by what is accepted now"),
            Self::TooManyRevoked { .. } => Some(
                "have it revoked by a signed list, `tensorgate trust revoke`, or take back what nobody can send any more: `tensorgate store unrevoke`",
            ),
            Self::NoSpace { .. } => None,
        }
    }

    pub(crate) fn io(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io {
            step,
            path: path.to_owned(),
            source: source.into(),
        }
    }

    pub(crate) fn state(path: &Path, detail: impl ToString) -> Self {
        Self::State {
            path: path.to_owned(),
            detail: detail.to_string().into(),
        }
    }

    pub(crate) fn foreign(path: &Path, detail: &str) -> Self {
        Self::Foreign {
            path: path.to_owned(),
            detail: detail.into(),
        }
    }

    /// Whether it is about a file that is there and cannot be read, today or ever.
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_unreadable(source),
            _ => false,
        }
    }

    pub(crate) fn is_absence(&self) -> bool {
        self.errno() == Some(Errno::NOENT)
    }

    fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io { source, .. } => Errno::from_io_error(source),
            _ => None,
        }
    }
}

/// Whether a file is beyond reading: its blocks are bad, its file system is damaged, or its mode
/// denies it. Whoever can have it again replaces it. A lack of memory or handles says nothing of it.
pub fn is_unreadable(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno.is_some_and(|errno| {
        matches!(
            errno,
            Errno::IO | Errno::UCLEAN | Errno::BADMSG | Errno::ACCESS | Errno::PERM
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_full_disk_is_recognised_and_a_closed_door_is_not() {
        let mut full = std::fs::File::create("/dev/full").unwrap();
        let source = full.write_all(b"x").unwrap_err();
        let error = StoreError::io("write", Path::new("objects/ab"), source);
        assert!(error.is_disk_full());
        assert!(error.hint().unwrap().contains("free some space"));
        assert!(error.to_string().contains("objects/ab"), "{error}");

        let error = StoreError::io("write", Path::new("objects/ab"), Errno::ACCESS);
        assert!(!error.is_disk_full());
        assert!(error.hint().unwrap().contains("may not write"));
        let error = StoreError::io("open", Path::new("objects/ab"), Errno::ACCESS);
        assert!(error.hint().unwrap().contains("may not read"));
    }
}
