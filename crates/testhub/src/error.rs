use std::io;
use std::path::{Path, PathBuf};

/// Why a repository could not be built or the hub not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not free or may not be bound.
    #[error(
        "cannot listen on 127.0.0.1:{port}: {source}\nhint: choose another port, or 0 for a free one"
    )]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// The system's answer.
        source: io::Error,
    },
    /// A fault that the command does not know.
    #[error(
        "unknown fault {0:?}\nhint: flip:PATH[@N], cut:PATH[@N], stall:PATH[@N] or surplus:PATH[@N]"
    )]
    Fault(String),
    /// A fault that would never show.
    #[error("no file {path:?} with a byte {at} is served, so this fault would never show")]
    FaultNowhere {
        /// The file that the fault names.
        path: String,
        /// The offset that it names.
        at: u64,
    },
    /// A branch needs a commit to point to.
    #[error("branch {0:?} of a repository without a commit")]
    NoCommit(String),
    /// Git has no tree with this path: it is empty, or has an empty part,
    /// `.`, `..` or a NUL, or is a file and a directory at once.
    #[error("{0:?} cannot be a path in a git tree")]
    Path(String),
    /// A file or directory could not be read.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Not `OWNER/NAME` or `datasets/OWNER/NAME`.
    #[error(
        "{0:?} is not a repository id\nhint: OWNER/NAME or datasets/OWNER/NAME, of letters, digits, '.', '_' and '-'"
    )]
    RepoId(String),
    /// The runtime's threads could not be started.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// A directory to commit has something that is neither a file nor a directory.
    #[error("{0:?} is neither a regular file nor a directory")]
    Special(PathBuf),
}

impl Error {
    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        Self::Read { path, source }
    }
}
