//! Making room: whatever is neither wanted any more nor in anybody's use.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};
use tensorgate_verify::{Blake3, RepoId, RepoType, Revision, Sha256};

use crate::Store;
use crate::error::{Result, StoreError};
use crate::folder::Folder;
use crate::layout::is_directory;
use crate::policies::{DRAFTS, Stored};
use crate::quarantine::{Quarantine, or_none};
use crate::quota::size_on_disk;

/// What [`Store::gc`] keeps beside what was accepted and what is in use.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Gc {
    /// So many of the newest releases of each repository. 2 by default: what runs and what ran
    /// before, to go back to.
    pub keep: usize,
    /// Whether to say only what would be removed.
    pub dry_run: bool,
}

/// Something that nobody wants any more.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// What it is.
    pub what: What,
    /// Where it is, beneath the store.
    pub path: PathBuf,
    /// Of a policy, the release that it says it is.
    pub release: Option<Stored>,
    /// What its removal frees, in bytes on the disk. A policy's files are objects, which count for
    /// themselves.
    pub bytes: u64,
    /// What became of it.
    pub fate: Fate,
}

/// What can be removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A policy's directory.
    Policy,
    /// A download in quarantine, with its record and what there was of it.
    Download,
    /// A file that no policy and no download links.
    Object,
    /// What a crash left.
    Leftover,
}

/// What became of something.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// It is gone, or would be.
    Removed,
    /// A process has it.
    InUse,
    /// It could not be read, so nobody knows whether it is wanted.
    Unreadable,
}

/// How much was removed, or would be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Swept {
    /// Directories of policies.
    pub policies: u64,
    /// Downloads in quarantine.
    pub downloads: u64,
    /// Objects.
    pub objects: u64,
    /// What crashes left.
    pub leftovers: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// What was left because it is in use.
    pub in_use: u64,
    /// What was left because it could not be read.
    pub unreadable: u64,
}

impl Default for Gc {
    fn default() -> Self {
        let (keep, dry_run) = (2, false);
        Self { keep, dry_run }
    }
}

impl Store {
    /// Removes the policies that are neither accepted as the release of their repository, nor among
    /// its newest, nor in use; downloads that nobody uses; objects that nothing links then; and what
    /// crashes left. `tell` is told of each.
    ///
    /// In use is what a [`PolicyDir`](crate::PolicyDir) or [`hold`](crate::hold) has, in any process,
    /// and a download whose lock somebody has. What the store did not make stays. The directory of a
    /// policy whose manifest is not the one of its name is nobody's release.
    ///
    /// # Errors
    /// [`StoreError::State`] where it is not known what was accepted, before anything is removed; and
    /// whatever keeps something from being removed.
    pub fn gc(&self, how: Gc, tell: &mut dyn FnMut(&Found)) -> Result<Swept> {
        let mut collector = Collector {
            store: self,
            how,
            tell,
            swept: Swept::default(),
            unlinked: HashMap::new(),
        };
        collector.run()?;
        Ok(collector.swept)
    }
}

struct Collector<'a> {
    store: &'a Store,
    how: Gc,
    tell: &'a mut dyn FnMut(&Found),
    swept: Swept,
    /// Of each inode, the links that a dry run would have removed.
    unlinked: HashMap<u64, u64>,
}

impl Collector<'_> {
    fn run(&mut self) -> Result<()> {
        let _lock = self.store.lock()?;
        let wanted = self.wanted()?;
        self.leftovers()?;
        let drafts = match self.how.dry_run {
            true => None,
            false => Some(self.store.drafts()?),
        };
        self.policies(&wanted, drafts.as_ref())?;
        self.downloads()?;
        self.objects()
    }

    /// The manifests of what was accepted and of the newest releases.
    fn wanted(&mut self) -> Result<BTreeSet<Sha256>> {
        let accepted = self.store.state().accepted()?;
        let mut wanted: BTreeSet<Sha256> = accepted
            .iter()
            .map(|(.., accepted)| accepted.manifest)
            .collect();
        let mut newest: BTreeMap<(RepoType, RepoId), BTreeSet<_>> = BTreeMap::new();
        for manifest in self.store.manifests()? {
            let manifest = manifest?;
            match self.store.describe(&manifest) {
                Ok(Some(stored)) => {
                    let of_it = newest.entry((stored.repo_type, stored.repo)).or_default();
                    of_it.insert((Reverse(stored.sequence), manifest));
                    if of_it.len() > self.how.keep {
                        of_it.pop_last();
                    }
                }
                // No policy, or no manifest of its name.
                Ok(None) | Err(StoreError::Foreign { .. }) => {}
                Err(_) => {
                    wanted.insert(manifest);
                    let path = Path::new("policies").join(manifest.to_string());
                    self.found(What::Policy, path, 0, Fate::Unreadable);
                }
            }
        }
        wanted.extend(newest.values().flatten().map(|(_, manifest)| *manifest));
        Ok(wanted)
    }

    fn leftovers(&mut self) -> Result<()> {
        let Some(drafts) = or_none(self.store.root.find(DRAFTS))? else {
            return Ok(());
        };
        if drafts.entries()?.next().is_none() {
            return Ok(());
        }
        let bytes = self.freed_by(&drafts)?;
        self.found(What::Leftover, DRAFTS.into(), bytes, Fate::Removed);
        Ok(())
    }

    fn policies(&mut self, wanted: &BTreeSet<Sha256>, drafts: Option<&Folder>) -> Result<()> {
        for manifest in self.store.manifests()? {
            let manifest = manifest?;
            if !wanted.contains(&manifest) {
                self.policy(&manifest, drafts)?;
            }
        }
        let Some(drafts) = drafts else {
            return Ok(());
        };
        // Their files go when their names are gone for good: half a policy never comes back.
        self.store.policies.flush()?;
        drafts.clear()
    }

    fn policy(&mut self, manifest: &Sha256, drafts: Option<&Folder>) -> Result<()> {
        let (store, name) = (self.store, manifest.to_string());
        let Some(folder) = or_none(store.policies.find(&name))? else {
            return Ok(());
        };
        let release = store.describe(manifest)?;
        let path = Path::new("policies").join(&name);
        if !folder.is_free()? {
            self.found_release(What::Policy, path, release, 0, Fate::InUse);
            return Ok(());
        }
        // Whoever accepts a release holds it until that is remembered: what nobody holds now may
        // have been accepted since `wanted` looked.
        if self.is_accepted(release.as_ref())? {
            return Ok(());
        }
        let bytes = self.freed_by_entry(&store.policies, &name)?;
        if let Some(drafts) = drafts {
            drafts.receive(&store.policies, &name)?;
        }
        self.found_release(What::Policy, path, release, bytes, Fate::Removed);
        Ok(())
    }

    fn is_accepted(&self, release: Option<&Stored>) -> Result<bool> {
        let Some(release) = release else {
            return Ok(false);
        };
        let accepted = self.store.last_accepted(release.repo_type, &release.repo)?;
        Ok(accepted.is_some_and(|accepted| accepted.manifest == release.manifest))
    }

    fn downloads(&mut self) -> Result<()> {
        let store = self.store;
        store.each_repository(&mut |repo| {
            let names = repo.names()?;
            let revisions: BTreeSet<_> = names.iter().filter_map(revision_of).collect();
            for revision in &revisions {
                self.download(repo, revision, &names)?;
            }
            self.settle(repo)
        })
    }

    /// What was removed stays removed.
    fn settle(&self, folder: &Folder) -> Result<()> {
        match self.how.dry_run {
            true => Ok(()),
            false => folder.flush(),
        }
    }

    fn download(&mut self, repo: &Folder, revision: &Revision, names: &[OsString]) -> Result<()> {
        let lock_name = Quarantine::lock_name(revision);
        let is_its = |name: &&OsString| revision_of(name).as_ref() == Some(revision);
        let its: Vec<_> = names.iter().filter(is_its).collect();
        let path = self.store.within(repo).join(revision.as_str());
        let lock = repo.try_lock(&lock_name)?;
        let files = or_none(repo.find(revision.as_str()))?;
        let free = files.as_ref().map_or(Ok(true), Folder::is_free)?;
        if lock.is_none() || !free {
            self.found(What::Download, path, 0, Fate::InUse);
            return Ok(());
        }
        let mut bytes = 0;
        for name in &its {
            bytes += self.freed_by_entry(repo, name)?;
        }
        let others = its.iter().filter(|name| **name != lock_name.as_str());
        if !self.how.dry_run {
            others.clone().try_for_each(|name| repo.remove(name))?;
        }
        // The lock goes last: who waits for it sees that it lost its name.
        if !self.how.dry_run || others.count() == its.len() {
            repo.remove(&lock_name)?;
        }
        self.found(What::Download, path, bytes, Fate::Removed);
        Ok(())
    }

    /// An object that has no other name is nobody's; one that has frees nothing.
    fn objects(&mut self) -> Result<()> {
        let objects = &self.store.objects;
        for name in objects.entries()? {
            let name = name?;
            let is_object = name
                .to_str()
                .is_some_and(|name| name.parse::<Blake3>().is_ok());
            let Some(stat) = objects.stat(&name)?.filter(|_| is_object) else {
                continue;
            };
            let links = self.links(&stat);
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || links > 1 {
                continue;
            }
            if !self.how.dry_run {
                objects.remove(&name)?;
            }
            let path = Path::new("objects").join(&name);
            self.found(What::Object, path, size_on_disk(&stat), Fate::Removed);
        }
        self.settle(objects)
    }

    fn found(&mut self, what: What, path: PathBuf, bytes: u64, fate: Fate) {
        self.found_release(what, path, None, bytes, fate);
    }

    fn found_release(
        &mut self,
        what: What,
        path: PathBuf,
        release: Option<Stored>,
        bytes: u64,
        fate: Fate,
    ) {
        let swept = &mut self.swept;
        *match (fate, what) {
            (Fate::InUse, _) => &mut swept.in_use,
            (Fate::Unreadable, _) => &mut swept.unreadable,
            (Fate::Removed, What::Policy) => &mut swept.policies,
            (Fate::Removed, What::Download) => &mut swept.downloads,
            (Fate::Removed, What::Object) => &mut swept.objects,
            (Fate::Removed, What::Leftover) => &mut swept.leftovers,
        } += 1;
        swept.bytes = swept.bytes.saturating_add(bytes);
        (self.tell)(&Found {
            what,
            path,
            release,
            bytes,
            fate,
        });
    }

    fn freed_by_entry(&mut self, folder: &Folder, name: impl AsRef<Path>) -> Result<u64> {
        let Some(stat) = folder.stat(&name)? else {
            return Ok(0);
        };
        let inside = match is_directory(&stat) {
            true => or_none(folder.find(name))?,
            false => None,
        };
        let inside = inside.map_or(Ok(0), |inside| self.freed_by(&inside))?;
        Ok(inside.saturating_add(self.freed(&stat)))
    }

    /// What removing everything inside frees. What is nested too deep is not counted.
    fn freed_by(&mut self, folder: &Folder) -> Result<u64> {
        let mut bytes = 0_u64;
        or_none(
            folder
                .each_stat(&mut |stat| bytes = bytes.saturating_add(self.freed(stat)))
                .map(Some),
        )?;
        Ok(bytes)
    }

    /// What removing one of an inode's names frees.
    fn freed(&mut self, stat: &Stat) -> u64 {
        if is_directory(stat) || self.links(stat) <= 1 {
            return size_on_disk(stat);
        }
        if self.how.dry_run {
            *self.unlinked.entry(stat.st_ino).or_default() += 1;
        }
        0
    }

    /// The names of an inode, less those that a dry run would have removed.
    fn links(&self, stat: &Stat) -> u64 {
        let unlinked = self.unlinked.get(&stat.st_ino).copied();
        links(stat.st_nlink).saturating_sub(unlinked.unwrap_or_default())
    }
}

/// Machines differ in how wide it is.
fn links(count: impl Into<u64>) -> u64 {
    count.into()
}

/// The download that an entry belongs to: `REVISION`, or `REVISION.` and more.
fn revision_of(name: &OsString) -> Option<Revision> {
    let name = name.to_str()?;
    name.split('.').next()?.parse().ok()
}
