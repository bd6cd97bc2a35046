//! What must not come back: older releases, and revoked ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use jiff::Timestamp;
use tensorgate_verify::{Accepted, Evidence, History, Memory, Rejection, RepoId, RepoType, Sha256};

use crate::error::{Error, Result};

/// Revoked manifests that are remembered without having been in hand. Their names are not signed:
/// the bound stops memory exhaustion. Those heard last stay, and the gate repeats the genuine ones.
const MAX_HEARSAY: usize = 1024;

/// The newest release of each repository: nothing older comes back.
#[derive(Debug)]
pub(crate) struct Floors {
    /// What the controller remembers from earlier runs.
    pub(crate) memory: Option<Box<dyn Memory>>,
    activated: BTreeMap<(RepoType, RepoId), Accepted>,
}

/// The floors while a release is being received, which counts as well.
#[derive(Debug)]
pub(crate) struct Past<'a> {
    pub(crate) floors: &'a Floors,
    pub(crate) incoming: Option<&'a Evidence>,
}

/// The manifests that were declared bad.
#[derive(Debug)]
pub(crate) struct Revoked {
    in_hand: BTreeSet<[u8; 32]>,
    hearsay: VecDeque<[u8; 32]>,
}

impl Floors {
    pub(crate) const fn new() -> Self {
        Self {
            memory: None,
            activated: BTreeMap::new(),
        }
    }

    /// Remembers a release that comes into force.
    pub(crate) fn raise(&mut self, release: &Evidence) -> Result<()> {
        if let Some(memory) = &mut self.memory {
            memory.record(release).map_err(unknown)?;
        }
        let repo = (release.repo_type, release.repo.clone());
        self.activated.insert(repo, accepted(release));
        Ok(())
    }
}

impl Past<'_> {
    /// As the verification does, for what was overtaken since.
    pub(crate) fn refuse_older(&self, release: &Evidence) -> Result<()> {
        let last = self.last_accepted(release.repo_type, &release.repo);
        let Some(last) = last.map_err(unknown)? else {
            return Ok(());
        };
        if last == accepted(release) || last.sequence < release.sequence {
            return Ok(());
        }
        let detail = format!(
            "release {}, and {} is known by now",
            release.sequence, last.sequence
        );
        Err(Error::refused(
            Rejection::ManifestRollback,
            "sequence",
            detail,
        ))
    }
}

impl History for Past<'_> {
    fn last_accepted(&self, repo_type: RepoType, repo: &RepoId) -> io::Result<Option<Accepted>> {
        let Floors { memory, activated } = self.floors;
        let recorded = match memory {
            Some(memory) => memory.last_accepted(repo_type, repo)?,
            None => None,
        };
        let activated = activated.get(&(repo_type, repo.clone())).copied();
        let incoming = self
            .incoming
            .filter(|release| (release.repo_type, &release.repo) == (repo_type, repo))
            .map(accepted);
        let all = [recorded, activated, incoming].into_iter().flatten();
        Ok(all.max_by_key(|release| release.sequence))
    }

    fn clock_floor(&self) -> io::Result<Option<Timestamp>> {
        let memory = self.floors.memory.as_ref();
        memory.map_or(Ok(None), |memory| memory.clock_floor())
    }

    fn is_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        let memory = self.floors.memory.as_ref();
        memory.map_or(Ok(false), |memory| memory.is_revoked(manifest))
    }

    /// What is remembered within the process does not outlive it.
    fn is_ready(&self) -> io::Result<bool> {
        let memory = self.floors.memory.as_ref();
        memory.map_or(Ok(false), |memory| memory.is_ready())
    }
}

impl Revoked {
    pub(crate) const fn new() -> Self {
        Self {
            in_hand: BTreeSet::new(),
            hearsay: VecDeque::new(),
        }
    }

    /// Latches the revocation of a manifest whose signatures were found good.
    pub(crate) fn insert(&mut self, manifest: Sha256) {
        self.in_hand.insert(*manifest.as_bytes());
    }

    /// Remembers the revocation of a manifest that nobody announced yet.
    pub(crate) fn hear(&mut self, manifest: [u8; 32]) {
        self.hearsay.retain(|heard| *heard != manifest);
        if self.hearsay.len() >= MAX_HEARSAY {
            self.hearsay.pop_front();
        }
        self.hearsay.push_back(manifest);
    }

    pub(crate) fn refuse(&self, release: &Evidence) -> Result<()> {
        if !self.contains(release.manifest) {
            return Ok(());
        }
        let detail = format!("the gate revoked {}", release.manifest);
        Err(Error::refused(
            Rejection::ManifestRevoked,
            "manifest",
            detail,
        ))
    }

    pub(crate) fn contains(&self, manifest: Sha256) -> bool {
        let manifest = manifest.as_bytes();
        self.in_hand.contains(manifest) || self.hearsay.contains(manifest)
    }
}

fn unknown(source: io::Error) -> Error {
    let subject = "memory of releases".into();
    tensorgate_verify::Error::Io { subject, source }.into()
}

const fn accepted(release: &Evidence) -> Accepted {
    Accepted::new(release.sequence, release.manifest)
}
