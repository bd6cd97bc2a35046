//! From a signed manifest to a policy in the store: authenticated, fetched, proven, kept, remembered.

use std::fmt;

use jiff::Timestamp;
use tensorgate_store::{PolicyDir, State, Store, StoreError, is_unreadable};
use tensorgate_verify::{
    Accepted, Context, Directory, Error, FilePath, LeaseHolder, Manifest, Policy, Proof, Rejected,
    Rejection, Repo, RepoId, RepoType, Revision, RevocationEvidence, Revocations, SignedManifest,
    SignedRevocations, TrustPolicy, Verified,
};

use crate::error::FetchError;
use crate::fetch::{Fetched, Request, fetch};
use crate::hub::Hub;
use crate::progress::Progress;
use crate::target::{At, Target, prefix};

/// What every release has to pass, wherever its manifest comes from.
#[derive(Clone, Copy)]
pub struct Gate<'a> {
    pub(crate) store: &'a Store,
    pub(crate) state: &'a State,
    pub(crate) hub: Option<&'a Hub>,
    pub(crate) trust: &'a TrustPolicy,
    pub(crate) now: Timestamp,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) holder: Option<&'a LeaseHolder>,
}

/// Of what a manifest has to be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Expected {
    /// Model or dataset.
    pub repo_type: RepoType,
    /// The repository.
    pub repo: RepoId,
    /// The commit, where it is not the manifest that names it.
    pub revision: Option<Revision>,
}

/// A release that passed: it is in the store, and accepted from now on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Admitted {
    /// Every byte of it, as it was proven.
    pub policy: Verified<Policy>,
    /// Where the store has it.
    pub directory: PolicyDir,
    /// Whether it was not accepted before, or was not whole in the store.
    pub is_new: bool,
    /// Whether nothing was ever accepted in this store before.
    pub is_first: bool,
    /// Whether all was there, read again and found right.
    pub from_store: bool,
    /// Bytes of files that were received now.
    pub received: u64,
    /// What the Hub lists besides, in path order; unknown where nothing was fetched.
    pub left_out: Vec<FilePath>,
    /// Why it lies on the disk twice, if it does.
    pub not_shared: Option<FetchError>,
}

/// Why a release was not admitted. What was accepted before stays what it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// Checked and refused, or what the check needs could not be read.
    #[error(transparent)]
    Check(#[from] Error),
    /// It could not be had, or what came was refused before it was complete.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// It could not be kept or remembered.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A list of revocations and the proof that it counts.
pub(crate) type Proven = Verified<Revocations, RevocationEvidence>;

impl<'a> Gate<'a> {
    /// The gate of a store. `hub` is `None` where the network is not to be used; `now` is the
    /// instant for which expiry is judged.
    pub const fn new(
        store: &'a Store,
        hub: Option<&'a Hub>,
        trust: &'a TrustPolicy,
        now: Timestamp,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            store,
            state: store.state(),
            hub,
            trust,
            now,
            progress,
            holder: None,
        }
    }

    /// The same gate, which holds weights without a copy, under leases that `holder` answers for.
    #[must_use]
    pub const fn guarded_by(self, holder: &'a LeaseHolder) -> Self {
        let holder = Some(holder);
        Self { holder, ..self }
    }

    /// The same gate, which remembers elsewhere than in the store what was accepted and called back.
    #[must_use]
    pub const fn remembering(self, state: &'a State) -> Self {
        Self { state, ..self }
    }

    /// The same gate, which tells somebody else how it goes.
    #[must_use]
    pub const fn telling(self, progress: &'a dyn Progress) -> Self {
        Self { progress, ..self }
    }

    /// Authenticates a manifest, fetches what it lists, proves every byte, keeps that and remembers
    /// it. What the store has whole is read again there, and nothing is sent. Files are read and proven
    /// on the calling thread.
    ///
    /// Whoever drops the future before it is ready finds nothing accepted that was not, and what came of
    /// a download is there for the next one. What was proven meanwhile may lie in the store already.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate) and [`fetch`]; what
    /// [`Verified::open`](Verified<Manifest>::open) refuses; [`StoreError::Superseded`] if a newer
    /// release was accepted meanwhile, and whatever else keeps it from being kept.
    pub async fn admit(
        &self,
        signed: &SignedManifest,
        expected: &Expected,
    ) -> Result<Admitted, AdmitError> {
        let manifest = self.authenticate(signed, expected)?;
        let accepted = Accepted::new(manifest.sequence, manifest.evidence().manifest);
        let (repo_type, repo) = (expected.repo_type, &expected.repo);
        let was_accepted = self.state.last_accepted(repo_type, repo)? == Some(accepted);
        let held = self.held(self.authenticate(signed, expected)?)?;
        let is_new = !was_accepted || held.is_none();
        let (policy, fetched) = match held {
            Some(policy) => (policy, None),
            None => self.obtain(manifest).await.map(|(p, f)| (p, Some(f)))?,
        };
        // Proving took its time: whoever gave up meanwhile is heard here.
        tokio::task::yield_now().await;
        self.progress.step("keeping", bytes_of(policy.manifest()));
        let directory = self.store.admit(&policy)?;
        tokio::task::yield_now().await;
        let is_first = self.state.is_new()?;
        self.state.record_accepted(policy.evidence())?;
        Ok(Admitted {
            policy,
            directory,
            is_new,
            is_first,
            from_store: fetched.as_ref().is_none_or(|fetched| fetched.from_store),
            received: fetched.as_ref().map_or(0, |fetched| fetched.bytes),
            // The policy is kept and accepted by now; sharing only saves room.
            not_shared: fetched
                .as_ref()
                .and_then(|fetched| fetched.share(self.store).err()),
            left_out: fetched.map_or_else(Vec::new, |fetched| fetched.left_out),
        })
    }

    /// Proves a manifest under the list of revocations that is kept, and nothing of its files;
    /// nothing is remembered.
    ///
    /// # Errors
    /// What [`TrustPolicy::authenticate`] and [`State::revocations`](tensorgate_store::State::revocations)
    /// refuse.
    pub fn authenticate(
        &self,
        signed: &SignedManifest,
        expected: &Expected,
    ) -> Result<Verified<Manifest>, AdmitError> {
        let list = self.state.revocations(self.trust, &self.context())?;
        self.authenticate_under(list.as_ref(), signed, expected)
    }

    pub(crate) fn authenticate_under(
        &self,
        list: Option<&Proven>,
        signed: &SignedManifest,
        expected: &Expected,
    ) -> Result<Verified<Manifest>, AdmitError> {
        let mut context = self.context();
        context.revocations = list;
        (context.repo_type, context.repo) = (expected.repo_type, Some(&expected.repo));
        context.revision = expected.revision.as_ref();
        Ok(self.trust.authenticate(signed, &context)?)
    }

    /// Proves a list that is to take the place of the one that is kept. `None` for one that is older:
    /// it changes nothing, and whoever sends it gains no more than by sending none.
    ///
    /// # Errors
    /// What [`State::successor`](tensorgate_store::State::successor) refuses besides.
    pub(crate) fn successor(
        &self,
        signed: &SignedRevocations,
    ) -> Result<Option<Proven>, AdmitError> {
        let (state, context) = (self.state, self.context());
        let refused = match state.successor(signed, self.trust, &context) {
            Ok(list) => return Ok(Some(list)),
            Err(error) => error,
        };
        // The signatures were found good before that is said.
        if refused.rejection() == Some(Rejection::ManifestRollback)
            && let Some(kept) = state.revocations(self.trust, &context)?
            && signed.untrusted(self.trust.limits())?.sequence < kept.sequence
        {
            return Ok(None);
        }
        Err(refused.into())
    }

    /// Keeps a list, which is on the disk then, and says so.
    pub(crate) fn keep(&self, list: &Proven) -> Result<(), AdmitError> {
        let state = self.state;
        // One that has expired is replaced like any other.
        let kept = state
            .revocations(self.trust, &self.context())
            .ok()
            .flatten();
        let known = kept.is_some_and(|kept| kept.evidence().list == list.evidence().list);
        state.record_revocations(list)?;
        let (number, entries) = (list.sequence, list.revoked.len());
        self.progress.notice(&match known {
            true => format!("list {number} of revocations is the one that is kept here"),
            false => format!("list {number} of revocations counts from now on; entries: {entries}"),
        });
        Ok(())
    }

    fn context(&self) -> Context<'_> {
        let mut context = Context::new(self.now);
        context.history = Some(self.state);
        context
    }

    /// The policy as the store has it, if it has all of it and all of it is right.
    fn held(&self, manifest: Verified<Manifest>) -> Result<Option<Verified<Policy>>, AdmitError> {
        let kept = match self.store.policy(&manifest.evidence().manifest) {
            // What is not the store's own is replaced.
            Err(StoreError::Foreign { .. }) => None,
            kept => kept?,
        };
        let Some(kept) = kept else { return Ok(None) };
        self.progress.step("reading again", bytes_of(&manifest));
        match self.open(manifest, kept.directory()?) {
            Err(Error::Rejected(found)) => {
                let (place, found) = (kept.path(), found.first());
                let text = format!("{place:?} is damaged, it is made again: {found}");
                self.progress.notice(&text);
                Ok(None)
            }
            Err(Error::Io { subject, source }) if is_unreadable(&source) => {
                let place = kept.path();
                let text = format!("{place:?} is made again: {subject:?} cannot be read: {source}");
                self.progress.notice(&text);
                Ok(None)
            }
            opened => Ok(Some(opened?)),
        }
    }

    async fn obtain(
        &self,
        manifest: Verified<Manifest>,
    ) -> Result<(Verified<Policy>, Fetched), AdmitError> {
        let Repo {
            repo_type,
            id,
            revision,
            ..
        } = &manifest.repo;
        let target = Target::new(*repo_type, id.clone(), At::Commit(revision.clone()));
        let request = Request::signed(&target, &manifest);
        let fetched = fetch(self.store, self.hub, request, self.progress).await?;
        self.progress.step("proving", bytes_of(&manifest));
        let policy = self.open(manifest, fetched.directory()?)?;
        Ok((policy, fetched))
    }

    fn open(
        &self,
        manifest: Verified<Manifest>,
        directory: Directory,
    ) -> Result<Verified<Policy>, Error> {
        let directory = match self.holder {
            Some(holder) => directory.guarded_by(holder),
            None => directory,
        };
        manifest.open(&directory, Proof::Tensors, self.trust.rules())
    }
}

impl Expected {
    /// Any commit of a repository: the manifest says which.
    pub const fn of(repo_type: RepoType, repo: RepoId) -> Self {
        Self {
            repo_type,
            repo,
            revision: None,
        }
    }

    /// The repository as people write it, `OWNER/NAME` or `datasets/OWNER/NAME`.
    pub fn name(&self) -> String {
        format!("{}{}", prefix(self.repo_type), self.repo)
    }
}

impl AdmitError {
    /// The rule that refused, or `None` where it could not be had or checked.
    pub fn rejection(&self) -> Option<Rejection> {
        match self {
            Self::Check(error) => error.rejection(),
            Self::Fetch(error) => error.rejection(),
            Self::Store(StoreError::Superseded { .. }) => Some(Rejection::ManifestRollback),
            Self::Store(_) => None,
        }
    }

    /// What it is about, without the times and numbers that are others in each attempt: of errors
    /// with one gist, one is enough to be told.
    pub fn gist(&self) -> String {
        match self {
            Self::Check(Error::Rejected(all)) => {
                let gist = |found: &Rejected| format!("{} {}", found.rejection, found.subject);
                all.iter().map(gist).collect::<Vec<_>>().join(", ")
            }
            Self::Fetch(FetchError::Rejected {
                rejection, subject, ..
            }) => format!("{rejection} {subject}"),
            Self::Fetch(FetchError::Refused(refused)) => {
                format!("{:?} {} {}", refused.reason, refused.status, refused.url)
            }
            Self::Fetch(FetchError::TimedOut { url, what, .. }) => format!("{url} {what}"),
            // A bad line breaks in many ways.
            Self::Fetch(FetchError::Unreachable { url, .. }) => format!("{url} unreachable"),
            Self::Store(StoreError::NoSpace { path, .. })
            | Self::Fetch(FetchError::Store(StoreError::NoSpace { path, .. })) => {
                format!("no space {}", path.display())
            }
            other => other.to_string(),
        }
    }
}

/// The bytes of all files, as they were signed.
fn bytes_of(manifest: &Manifest) -> u64 {
    let sizes = manifest.files.iter().map(|file| file.size);
    sizes.fold(0, u64::saturating_add)
}

impl fmt::Debug for Gate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("store", &self.store)
            .field("hub", &self.hub)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}
