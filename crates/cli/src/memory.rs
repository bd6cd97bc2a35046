//! The memory against rollback, as far as there is one.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tensorgate_store::{State, Store, StoreError};
use tensorgate_verify::{Accepted, Evidence, History, RepoId, RepoType};

use crate::failure::Failure;

/// The releases accepted before; none where none is kept and none may be.
#[derive(Debug)]
pub(crate) enum Memory {
    Kept(State),
    /// Nothing was ever remembered there, and this process may not begin to.
    None(StoreError),
}

impl Memory {
    /// Opens the memory at `given`, or the store's.
    ///
    /// # Errors
    /// There is one and it cannot be used: nothing can be said of a rollback then.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, Failure> {
        let path = match given {
            Some(path) => path.to_owned(),
            None => default_location().map_err(|error| {
                Failure::from(error).hint("set TENSORGATE_STORE, or give --state DIR")
            })?,
        };
        match State::open(&path) {
            Ok(state) => Ok(Self::Kept(state)),
            Err(error) if denied(&error) && is_absent(&path) => Ok(Self::None(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Remembers what was accepted, once everything was checked. Returns what is to be said where
    /// it may not be written.
    ///
    /// # Errors
    /// It should have been written and was not: an old release could come back.
    pub(crate) fn record(&self, evidence: &Evidence) -> Result<Option<String>, Failure> {
        let error = match self {
            Self::None(error) => return Ok(Some(not_remembered(error))),
            Self::Kept(state) => match state.record_accepted(evidence) {
                Ok(_) => return Ok(None),
                Err(error) => error,
            },
        };
        if denied(&error) {
            return Ok(Some(not_remembered(&error)));
        }
        Err(error.into())
    }
}

impl History for Memory {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        match self {
            Self::Kept(state) => state
                .last_accepted(repo_type, repo)
                .map_err(io::Error::other),
            Self::None(_) => Ok(None),
        }
    }
}

fn default_location() -> Result<PathBuf, StoreError> {
    Store::default_location().map(|store| store.join("state"))
}

/// Whether this process may not write there, now or ever: not a passing trouble.
fn denied(error: &StoreError) -> bool {
    let StoreError::Io { source, .. } = error else {
        return false;
    };
    matches!(
        source.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
    )
}

/// Certainly not there; where the system does not say, there may be one.
fn is_absent(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound)
}

fn not_remembered(error: &StoreError) -> String {
    format!("not remembered, so a later rollback will not be noticed here: {error}")
}
