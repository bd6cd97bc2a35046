//! The robot's disk: what was downloaded, what was verified, and what was accepted before.
//!
//! ```text
//! quarantine/model/OWNER/NAME/REVISION/…   downloads; nobody vouches for them, the node never reads them
//! objects/BLAKE3                           bytes of verified files, read-only, each once
//! policies/MANIFEST-SHA256/…               complete policies under the Hub's file names, and the manifest
//! state/                                   the newest release accepted per repository, and what was revoked
//! quota.json                               the operator's limit on all of it, where there is one
//! tmp/                                     what is on its way to the others, or out
//! ```
//! The only way from the first line to the others is [`Store::admit`], which takes a
//! [`Verified<Policy>`](tensorgate_verify::Verified) and writes the very bytes that were verified.
//!
//! Every step is: write under another name, flush, rename, flush the directory. A crash leaves the
//! old state or the new. One process writes to a place at a time; the others wait and say so.
//! Whoever reads a policy holds its directory, and [`Store::gc`] leaves that alone. A store on
//! read-only media is read like any other.
//!
//! ```
//! use tensorgate_store::Store;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store");
//!
//! let store = Store::open(&path)?;
//! let repo = "acme/walk".parse()?;
//! // Nothing was accepted yet, so no release can be a rollback.
//! assert_eq!(store.last_accepted(Default::default(), &repo)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod check;
mod downloads;
mod draft;
mod error;
mod folder;
mod gc;
mod layout;
mod lock;
mod part;
mod policies;
mod quarantine;
mod quota;
mod record;
mod revocations;
mod revoked;
mod state;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tensorgate_verify::{Evidence, RepoId, RepoType, Revision};

pub use check::{Checked, Damage, DamagedPolicy};
pub use downloads::Downloads;
pub use error::{Result, StoreError, is_unreadable};
pub use gc::{Fate, Found, Gc, Swept, What};
pub use part::{PartName, Stamp};
pub use policies::{PolicyDir, Stored, hold};
pub use quarantine::{Incoming, Quarantine};
pub use record::{Record, Recorded};
pub use state::{State, Unreadable};
pub use tensorgate_verify::Accepted;

use folder::Folder;

/// The store at one directory.
///
/// ```
/// use tensorgate_store::Store;
/// use tensorgate_verify::{Context, Proof, Rejection};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../verify/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// # let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path().join("store"))?;
///
/// // Only what was verified gets in; then the release is remembered.
/// let policy = example.policy()?;
/// let kept = store.admit(&policy)?;
/// store.record_accepted(policy.evidence())?;
/// assert!(kept.path().join("model.safetensors").exists());
///
/// // Whoever loads it proves it again, now against what is remembered.
/// let mut context = Context::new(example.now);
/// context.history = Some(store.state());
/// let manifest = example.trust.authenticate(&example.signed, &context)?;
/// manifest.open(&kept.directory()?, Proof::Tensors, example.trust.rules())?;
///
/// // An operator calls it back, here and without a signature.
/// store.state().revoke(&policy.evidence().manifest, "stumbles on gravel")?;
/// let error = example.trust.authenticate(&example.signed, &context).unwrap_err();
/// assert_eq!(error.rejection(), Some(Rejection::ManifestRevoked));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Store {
    root: Folder,
    quarantine: Folder,
    objects: Folder,
    policies: Folder,
    state: State,
    waiting: Waiting,
}

impl Store {
    /// Where the store is unless somebody says otherwise: `TENSORGATE_STORE`, else
    /// `/var/lib/tensorgate` for root, else `tensorgate` in the user's data directory.
    ///
    /// # Errors
    /// [`StoreError::NoPlace`].
    pub fn default_location() -> Result<PathBuf> {
        let named = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(place) = named("TENSORGATE_STORE") {
            return Ok(place.into());
        }
        if rustix::process::geteuid().is_root() {
            return Ok("/var/lib/tensorgate".into());
        }
        let data = named("XDG_DATA_HOME").map(PathBuf::from);
        let home = || named("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let data = data.or_else(home).ok_or(StoreError::NoPlace)?;
        Ok(data.join("tensorgate"))
    }

    /// Opens the store at `path`, making it on first use. One that is there is only read.
    ///
    /// # Errors
    /// [`StoreError::NotPrivate`] if others own it or may write to it, [`StoreError::Foreign`] if
    /// something is in it that no store has.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let root = Folder::at(path.as_ref())?;
        root.require_private()?;
        root.require_own(
            &["quarantine", "objects", "policies", "state"],
            &[policies::DRAFTS, policies::LOCK, quota::QUOTA],
        )?;
        let part = |name| {
            let folder = root.enter(name)?;
            folder.require_private()?;
            Ok(folder)
        };
        Ok(Self {
            quarantine: part("quarantine")?,
            objects: part("objects")?,
            policies: part("policies")?,
            state: State::in_folder(part("state")?)?,
            waiting: Waiting::default(),
            root,
        })
    }

    /// Calls `tell` with the lock file whenever another process has it and this one must wait.
    #[must_use]
    pub fn on_wait(mut self, tell: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.waiting = Waiting(Arc::new(tell));
        self.state = self.state.with_waiting(self.waiting.clone());
        self
    }

    /// Where the store is.
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The memory against rollback.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The newest release accepted for a repository; see [`State::last_accepted`].
    ///
    /// # Errors
    /// [`StoreError::State`] where it is known that there was one, and not which.
    pub fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> Result<Option<Accepted>> {
        self.state.last_accepted(repo_type, repo)
    }

    /// Remembers that a release was accepted; see [`State::record_accepted`].
    ///
    /// # Errors
    /// [`StoreError::Superseded`], as [`last_accepted`](Self::last_accepted), and whatever keeps
    /// it from being written.
    pub fn record_accepted(&self, evidence: &Evidence) -> Result<()> {
        self.state.record_accepted(evidence)
    }

    /// The downloads of one commit, for this process alone. Waits for another's download.
    ///
    /// # Errors
    /// Whatever keeps the directory from being made.
    pub fn quarantine(
        &self,
        repo_type: RepoType,
        repo: &RepoId,
        revision: &Revision,
    ) -> Result<Quarantine> {
        let parent = self.quarantine_of(repo_type, repo)?;
        let lock = parent.lock(&Quarantine::lock_name(revision), &*self.waiting.0)?;
        Quarantine::open(&parent, revision, lock, &self.root)
    }

    /// The same without waiting: `None` while another process downloads this commit.
    ///
    /// # Errors
    /// Whatever keeps the directory from being made.
    pub fn try_quarantine(
        &self,
        repo_type: RepoType,
        repo: &RepoId,
        revision: &Revision,
    ) -> Result<Option<Quarantine>> {
        let parent = self.quarantine_of(repo_type, repo)?;
        let lock = parent.try_lock(&Quarantine::lock_name(revision))?;
        lock.map(|lock| Quarantine::open(&parent, revision, lock, &self.root))
            .transpose()
    }

    fn quarantine_of(&self, repo_type: RepoType, repo: &RepoId) -> Result<Folder> {
        self.quarantine.reclaim(&format!("{repo_type}/{repo}"))
    }
}

/// Who is told that a lock is held by another process.
#[derive(Clone)]
struct Waiting(Arc<dyn Fn(&Path) + Send + Sync>);

impl Default for Waiting {
    fn default() -> Self {
        Self(Arc::new(|_| {}))
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}
