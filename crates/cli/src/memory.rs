//! The memory against rollback, as far as there is one.

use std::io::{self, ErrorKind};
use std::path::Path;

use jiff::Timestamp;
use tensorgate_store::{State, Store, StoreError};
use tensorgate_verify::{
    Accepted, Context, Error, Evidence, History, RepoId, RepoType, RevocationEvidence, Revocations,
    Sha256, SignedRevocations, TrustPolicy, Verified,
};

use crate::disk;
use crate::failure::Failure;

/// The releases accepted before; none where none is kept and none may be.
#[derive(Debug)]
pub(crate) enum Memory {
    /// In a directory of its own.
    State(State),
    /// In the store.
    Store(Store),
    /// Nothing was ever remembered there, and this process may not begin to.
    None(StoreError),
}

impl Memory {
    /// Opens the memory at `given`, or the store's; `waiting` is told of a lock to be waited for.
    ///
    /// # Errors
    /// There is one and it cannot be used: nothing can be said of a rollback then.
    pub(crate) fn open(
        given: Option<&Path>,
        waiting: impl Fn(&Path) + Send + Sync + 'static,
    ) -> Result<Self, Failure> {
        let (path, opened) = match given {
            Some(path) => {
                let state = State::open(path).map(|state| Self::State(state.on_wait(waiting)));
                (path.to_owned(), state)
            }
            None => {
                let place = Store::default_location().map_err(|error| {
                    Failure::from(error).hint("set TENSORGATE_STORE, or give --state DIR")
                })?;
                let store = Store::open(&place).map(|store| Self::Store(store.on_wait(waiting)));
                (place.join("state"), store)
            }
        };
        match opened {
            Err(error) if denied(&error) && is_absent(&path) => Ok(Self::None(error)),
            other => Ok(other?),
        }
    }

    /// Remembers what was accepted, once everything was checked. Returns what is to be said of it:
    /// that it may not be written, or that nothing was there before.
    ///
    /// # Errors
    /// It should have been written and was not: an old release could come back.
    pub(crate) fn record(&self, evidence: &Evidence) -> Result<Option<String>, Failure> {
        let state = match self.state() {
            Ok(state) => state,
            Err(error) => return Ok(Some(not_remembered(error))),
        };
        match record(state, evidence) {
            Err(error) if denied(&error) => Ok(Some(not_remembered(&error))),
            other => Ok(other?),
        }
    }

    /// The list of revocations that is in force: the one given, which is remembered from then on if
    /// `remember`, else the one remembered.
    ///
    /// # Errors
    /// What the list is refused for; it is older than the one remembered; it is lost.
    pub(crate) fn revocations(
        &self,
        given: Option<&Path>,
        trust: &TrustPolicy,
        context: &Context<'_>,
        remember: bool,
    ) -> Result<Option<Verified<Revocations, RevocationEvidence>>, Failure> {
        let Some(given) = given else {
            return Ok(match self.state() {
                Ok(state) => state.revocations(trust, context)?,
                Err(_) => None,
            });
        };
        let bytes = disk::read_at_most(given, trust.limits().manifest_bytes)
            .map_err(|error| Failure::io("read the list of revocations", given, &error))?;
        let signed = SignedRevocations::parse(&bytes, trust.limits())?;
        let Ok(state) = self.state() else {
            return Ok(Some(trust.authenticate_revocations(&signed, context)?));
        };
        let list = state.successor(&signed, trust, context)?;
        if !remember {
            return Ok(Some(list));
        }
        match state.record_revocations(&list) {
            Err(error) if !denied(&error) => Err(error.into()),
            _ => Ok(Some(list)),
        }
    }

    /// Whether a release of this repository was accepted.
    ///
    /// # Errors
    /// One was, and the record of it is lost or damaged.
    pub(crate) fn has_accepted(&self, repo_type: RepoType, repo: &RepoId) -> Result<bool, Failure> {
        let subject = "rollback state".into();
        match self.last_accepted(repo_type, repo) {
            Ok(accepted) => Ok(accepted.is_some()),
            Err(source) => Err(Error::Io { subject, source }.into()),
        }
    }

    fn state(&self) -> Result<&State, &StoreError> {
        match self {
            Self::State(state) => Ok(state),
            Self::Store(store) => Ok(store.state()),
            Self::None(error) => Err(error),
        }
    }
}

/// Remembers a release. Whoever names a wrong place has no protection from the right one, so the
/// first release at a place is told.
fn record(state: &State, evidence: &Evidence) -> Result<Option<String>, StoreError> {
    let is_new = state.is_new()?;
    state.record_accepted(evidence)?;
    Ok(is_new.then(|| first_at(state)))
}

pub(crate) fn first_at(state: &State) -> String {
    let place = state.path();
    format!("first release remembered in {place:?}: none before it could be a rollback")
}

impl History for Memory {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        match self.state() {
            Ok(state) => History::last_accepted(state, repo_type, repo),
            Err(_) => Ok(None),
        }
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        self.state().map_or(Ok(None), History::clock_floor)
    }

    fn is_ready(&self) -> io::Result<bool> {
        self.state().map_or(Ok(false), History::is_ready)
    }

    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        let state = self.state();
        state.map_or(Ok(false), |state| state.is_revoked(manifest))
    }
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
