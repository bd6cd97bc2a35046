//! The memory against rollback: which release was accepted last, per repository.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tensorgate_verify::{Accepted, Evidence, History, Memory, RepoId, RepoType, Sha256};

use crate::Waiting;
use crate::error::{Result, StoreError};
use crate::folder::Folder;
use crate::lock::Lock;
use crate::revocations::REVOCATIONS;
use crate::revoked::REVOKED;

/// The newest accepted release of every repository, at a directory of its own.
///
/// It never goes down, and it never forgets silently: a record that is damaged, or missing though
/// the index has its repository, is an error and not "nothing was accepted yet", and so is an index
/// that is missing beside records.
///
/// ```
/// use tensorgate_store::{State, StoreError};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../verify/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// # let folder = tempfile::tempdir()?;
/// let state = State::open(folder.path().join("state"))?;
/// assert!(state.is_new()?);
/// state.record_accepted(example.policy()?.evidence())?;
///
/// // A record that is gone is not "nothing was accepted yet".
/// std::fs::remove_file(state.path().join("rollback/model--acme--walk.json"))?;
/// let error = state.last_accepted(Default::default(), &"acme/walk".parse()?).unwrap_err();
/// assert!(matches!(error, StoreError::State { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct State {
    pub(crate) folder: Folder,
    records: Folder,
    pub(crate) waiting: Waiting,
}

/// What is known as a whole. That it is there says that the state was made ready.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Index {
    /// The repositories that have a record.
    repos: Vec<String>,
    /// The latest `issued` among all that was accepted, and never later than when that was: an
    /// instant that has passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clock_floor: Option<Timestamp>,
    /// The sequence of the list of revocations that lies beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revocations: Option<u64>,
    /// The sequence of what was revoked here, which lies beside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<u64>,
}

/// What a reset removed, because nobody could read it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The signed list of revocations.
    pub list: bool,
    /// What was revoked at this place.
    pub revoked: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AcceptedRecord {
    #[serde(rename = "type")]
    repo_type: RepoType,
    repo: RepoId,
    sequence: u64,
    manifest: Sha256,
}

const INDEX: &str = "index.json";
pub(crate) const LOST: &str = "lost: the index lists it";
const RECORDS: &str = "rollback";
const DRAFTS: &str = "tmp";
const LOCK: &str = "lock";
/// 16 MiB: an index of 80,000 repositories with the longest names.
pub(crate) const BYTES: u64 = 16 << 20;

impl State {
    /// Opens the state at `path`, making it on first use.
    ///
    /// # Errors
    /// [`StoreError::NotPrivate`] if others own it or may write to it, [`StoreError::Foreign`] if
    /// something is in it that no state has.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::in_folder(Folder::at(path.as_ref())?)
    }

    pub(crate) fn in_folder(folder: Folder) -> Result<Self> {
        folder.require_private()?;
        // An index without records is a state that lost them, which is for others to say.
        folder.require_own(&[RECORDS, INDEX, REVOCATIONS, REVOKED], &[DRAFTS, LOCK])?;
        let records = folder.enter(RECORDS)?;
        records.require_private()?;
        if folder.open(INDEX)?.is_none() {
            folder.flush()?;
        }
        Ok(Self {
            folder,
            records,
            waiting: Waiting::default(),
        })
    }

    /// Calls `tell` with the lock file whenever another process has it and this one must wait.
    #[must_use]
    pub fn on_wait(self, tell: impl Fn(&Path) + Send + Sync + 'static) -> Self {
        self.with_waiting(Waiting(Arc::new(tell)))
    }

    pub(crate) fn with_waiting(self, waiting: Waiting) -> Self {
        Self { waiting, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether nothing was ever accepted here, and nobody made it ready.
    ///
    /// # Errors
    /// [`StoreError::State`] if the index is damaged.
    pub fn is_new(&self) -> Result<bool> {
        Ok(self.index()?.is_none())
    }

    /// Makes it ready: from now on, knowing nothing of a repository means that nothing of it was
    /// accepted. A state that is in use stays as it is.
    ///
    /// # Errors
    /// [`StoreError::State`] if the index is damaged, and whatever keeps it from being written.
    pub fn make_ready(&self) -> Result<()> {
        let (_lock, drafts) = self.begin()?;
        self.begun_index(&drafts).map(drop)
    }

    /// Forgets the release accepted for one repository, or for all: then older ones are accepted
    /// again. The one way back from a state that is damaged; an operator's decision, never a
    /// program's. Revocations stay, signed ones and those of this place, unless they are damaged and all
    /// is forgotten: returns which were removed. With all, the floor of the clock is forgotten, too.
    ///
    /// # Errors
    /// [`StoreError::State`] if the index is damaged and only one repository is to be forgotten,
    /// and whatever keeps it from being written.
    pub fn reset(&self, only: Option<(RepoType, &RepoId)>) -> Result<Unreadable> {
        let (_lock, drafts) = self.begin()?;
        // The index first: a record that it does not list still counts.
        let Some((repo_type, repo)) = only else {
            // Revocations that lie there still count, and are listed when they are replaced.
            self.write_index(&Index::default(), &drafts)?;
            let removed = Unreadable {
                list: self.forget_unreadable_list()?,
                revoked: self.forget_unreadable_revoked()?,
            };
            self.records.clear()?;
            return self.records.flush().map(|()| removed);
        };
        let key = key(repo_type, repo);
        let mut index = self.index()?.unwrap_or_default();
        index.repos.retain(|listed| *listed != key);
        self.write_index(&index, &drafts)?;
        self.records.remove(format!("{key}.json"))?;
        self.records.flush().map(|()| Unreadable::default())
    }

    /// The repositories of which a release was accepted, as `TYPE OWNER/NAME`, with that release.
    ///
    /// # Errors
    /// As [`last_accepted`](Self::last_accepted).
    pub fn accepted(&self) -> Result<Vec<(RepoType, RepoId, Accepted)>> {
        let index = self.index()?.unwrap_or_default();
        let mut keys: BTreeSet<String> = index.repos.into_iter().collect();
        // A record that is not listed yet counts, too.
        for name in self.records.entries()? {
            let name = name?;
            keys.extend(name.to_str().and_then(key_of));
        }
        let record = |key: &String| {
            let name = format!("{key}.json");
            let path = self.records.path_of(&name);
            let bytes = self.records.read(&name, BYTES)?;
            let bytes = bytes.ok_or_else(|| StoreError::state(&path, LOST))?;
            let record: AcceptedRecord = parse(&path, &bytes)?;
            let accepted = Accepted::new(record.sequence, record.manifest);
            Ok((record.repo_type, record.repo, accepted))
        };
        keys.iter().map(record).collect()
    }

    /// The newest release that was accepted for a repository, or `None` if none ever was.
    ///
    /// # Errors
    /// [`StoreError::State`] if there was one and it is damaged or lost.
    pub fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> Result<Option<Accepted>> {
        let key = key(repo_type, repo);
        // The index is read first and written last, so whatever it lists has a record.
        let listed = self
            .index()?
            .is_some_and(|index| index.repos.contains(&key));
        let name = format!("{key}.json");
        let path = self.records.path_of(&name);
        let Some(bytes) = self.records.read(&name, BYTES)? else {
            return match listed {
                true => Err(StoreError::state(&path, LOST)),
                false => Ok(None),
            };
        };
        let record: AcceptedRecord = parse(&path, &bytes)?;
        if record.repo_type != repo_type || record.repo != *repo {
            let detail = format!("of another repository, {:?}", record.repo.as_str());
            return Err(StoreError::state(&path, detail));
        }
        Ok(Some(Accepted::new(record.sequence, record.manifest)))
    }

    /// Remembers the release that a proof rests on; it is on the disk then.
    ///
    /// # Errors
    /// [`StoreError::Superseded`] if a newer one, or another of the same number, was accepted
    /// after the proof was made. As [`last_accepted`](Self::last_accepted), and whatever keeps it
    /// from being written.
    pub fn record_accepted(&self, evidence: &Evidence) -> Result<()> {
        self.record_if(evidence, || true).map(drop)
    }

    /// The same where `wanted` still says so once no other process writes: waiting for one takes its
    /// time. Whether it did.
    ///
    /// # Errors
    /// As [`record_accepted`](Self::record_accepted).
    pub fn record_if(&self, evidence: &Evidence, wanted: impl FnOnce() -> bool) -> Result<bool> {
        let (_lock, drafts) = self.begin()?;
        let (repo_type, repo) = (evidence.repo_type, &evidence.repo);
        let (sequence, manifest) = (evidence.sequence, evidence.manifest);
        let last = self.last_accepted(repo_type, repo)?;
        let known = last == Some(Accepted::new(sequence, manifest));
        if let Some(last) = last.filter(|last| last.sequence >= sequence && !known) {
            let (sequence, manifest) = (last.sequence, last.manifest);
            return Err(StoreError::Superseded { sequence, manifest });
        }
        if !wanted() {
            return Ok(false);
        }
        let index = self.begun_index(&drafts)?;
        if !known {
            let record = AcceptedRecord {
                repo_type,
                repo: repo.clone(),
                sequence,
                manifest,
            };
            let name = format!("{}.json", key(repo_type, repo));
            write(&self.records, &name, &record, &drafts)?;
        }
        self.list(index, key(repo_type, repo), evidence, &drafts)?;
        Ok(true)
    }

    /// The lock, and an empty place for drafts.
    pub(crate) fn begin(&self) -> Result<(Lock, Folder)> {
        let lock = self.folder.lock(LOCK, &*self.waiting.0)?;
        let drafts = self.folder.reclaim(DRAFTS)?;
        drafts.require_private()?;
        drafts.clear()?;
        // Names that a crash left are there for good before anything rests on them.
        self.folder.flush()?;
        self.records.flush()?;
        Ok((lock, drafts))
    }

    /// Puts a repository into the index, and raises the floor of the clock.
    fn list(
        &self,
        mut index: Index,
        key: String,
        evidence: &Evidence,
        drafts: &Folder,
    ) -> Result<()> {
        let (listed, floor) = (index.repos.contains(&key), index.clock_floor);
        index.raise_floor(evidence.issued, evidence.now);
        if listed && index.clock_floor == floor {
            return Ok(());
        }
        if !listed {
            index.repos.push(key);
            index.repos.sort_unstable();
        }
        self.write_index(&index, drafts)
    }

    pub(crate) fn write_index(&self, index: &Index, drafts: &Folder) -> Result<()> {
        write(&self.folder, INDEX, index, drafts)
    }

    /// What is known as a whole, or `None` where nothing ever was.
    pub(crate) fn index(&self) -> Result<Option<Index>> {
        let path = self.folder.path_of(INDEX);
        let read = || self.folder.read(INDEX, BYTES);
        let bytes = match read()? {
            // Another process may have begun meanwhile; it wrote the index first.
            None if self.has_more()? => {
                let lost = || StoreError::state(&path, "lost: what it lists is there");
                Some(read()?.ok_or_else(lost)?)
            }
            found => found,
        };
        bytes.map(|bytes| parse(&path, &bytes)).transpose()
    }

    /// Whether there is anything that an index lists.
    fn has_more(&self) -> Result<bool> {
        let list = self.folder.open(REVOCATIONS)?;
        let revoked = self.folder.open(REVOKED)?;
        Ok(list.is_some() || revoked.is_some() || !self.records.names()?.is_empty())
    }

    /// The index, which is written first of all: a crash later leaves none without it.
    pub(crate) fn begun_index(&self, drafts: &Folder) -> Result<Index> {
        if let Some(index) = self.index()? {
            return Ok(index);
        }
        self.write_index(&Index::default(), drafts)?;
        Ok(Index::default())
    }
}

impl Index {
    /// Raises the floor of the clock to what was signed at `issued` and accepted at `now`. Signers'
    /// clocks may be ahead: else each release could lift the floor, and so the next one's `issued`,
    /// by as much once more.
    pub(crate) fn raise_floor(&mut self, issued: Timestamp, now: Timestamp) {
        self.clock_floor = self.clock_floor.max(Some(issued.min(now)));
    }
}

/// No part of a repository's id has `--`, so no two repositories have one key.
fn key(repo_type: RepoType, repo: &RepoId) -> String {
    format!("{repo_type}--{}--{}", repo.owner(), repo.name())
}

fn key_of(name: &str) -> Option<String> {
    name.strip_suffix(".json").map(str::to_owned)
}

pub(crate) fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::state(path, format!("damaged: {error}")))
}

pub(crate) fn write<T: Serialize>(
    folder: &Folder,
    name: &str,
    value: &T,
    drafts: &Folder,
) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| StoreError::io("write", &folder.path_of(name), error))?;
    folder.write(name, &bytes, drafts)
}

impl History for State {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        Self::last_accepted(self, repo_type, repo).map_err(io::Error::other)
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        let index = self.index().map_err(io::Error::other)?;
        Ok(index.and_then(|index| index.clock_floor))
    }

    fn is_ready(&self) -> io::Result<bool> {
        Ok(self.index().map_err(io::Error::other)?.is_some())
    }

    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        self.has_revoked(manifest)
    }
}

impl Memory for State {
    fn record(&mut self, release: &Evidence) -> io::Result<()> {
        self.record_accepted(release).map_err(io::Error::other)
    }
}
