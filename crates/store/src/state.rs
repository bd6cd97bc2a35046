//! The memory against rollback: which release was accepted last, per repository.

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tensorgate_verify::{Accepted, Evidence, History, RepoId, RepoType, Sha256};

use crate::Waiting;
use crate::error::{Result, StoreError};
use crate::folder::Folder;

/// The newest accepted release of every repository, at a directory of its own.
///
/// It never goes down, and it never forgets silently: a record that is damaged, or missing though
/// the index has its repository, is an error and not "nothing was accepted yet".
#[derive(Debug)]
pub struct State {
    folder: Folder,
    records: Folder,
    waiting: Waiting,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    repos: Vec<String>,
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
const RECORDS: &str = "rollback";
const DRAFTS: &str = "tmp";
const LOCK: &str = "lock";
/// 16 MiB: an index of 80,000 repositories with the longest names.
const BYTES: u64 = 16 << 20;

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
        folder.require_own(&[RECORDS, INDEX], &[DRAFTS, LOCK])?;
        let records = folder.enter(RECORDS)?;
        records.require_private()?;
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

    /// Whether anything was ever accepted here.
    ///
    /// # Errors
    /// [`StoreError::State`] if the index is damaged.
    pub fn is_new(&self) -> Result<bool> {
        Ok(self.index()?.is_none() && self.records.names()?.is_empty())
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
                true => Err(StoreError::state(&path, "lost: the index lists it")),
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
        let _lock = self.folder.lock(LOCK, &*self.waiting.0)?;
        let (repo_type, repo) = (evidence.repo_type, &evidence.repo);
        let (sequence, manifest) = (evidence.sequence, evidence.manifest);
        let last = self.last_accepted(repo_type, repo)?;
        let known = last == Some(Accepted::new(sequence, manifest));
        if let Some(last) = last.filter(|last| last.sequence >= sequence && !known) {
            let (sequence, manifest) = (last.sequence, last.manifest);
            return Err(StoreError::Superseded { sequence, manifest });
        }
        let drafts = self.folder.reclaim(DRAFTS)?;
        drafts.require_private()?;
        drafts.clear()?;
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
        self.list(key(repo_type, repo), &drafts)
    }

    /// Puts a repository into the index.
    fn list(&self, key: String, drafts: &Folder) -> Result<()> {
        let mut index = self.index()?.unwrap_or_default();
        if index.repos.contains(&key) {
            return Ok(());
        }
        index.repos.push(key);
        index.repos.sort_unstable();
        write(&self.folder, INDEX, &index, drafts)
    }

    fn index(&self) -> Result<Option<Index>> {
        let bytes = self.folder.read(INDEX, BYTES)?;
        bytes
            .map(|bytes| parse(&self.folder.path_of(INDEX), &bytes))
            .transpose()
    }
}

/// No part of a repository's id has `--`, so no two repositories have one key.
fn key(repo_type: RepoType, repo: &RepoId) -> String {
    format!("{repo_type}--{}--{}", repo.owner(), repo.name())
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| StoreError::state(path, format!("damaged: {error}")))
}

fn write<T: Serialize>(folder: &Folder, name: &str, value: &T, drafts: &Folder) -> Result<()> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| StoreError::io("write", &folder.path_of(name), error))?;
    folder.write(name, &bytes, drafts)
}

impl History for State {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        Self::last_accepted(self, repo_type, repo).map_err(io::Error::other)
    }
}
