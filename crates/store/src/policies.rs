//! Verified policies on disk: objects by content, and directories of links to them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tensorgate_verify::{
    Blake3, Directory, File, Limits, MANIFEST_FILE, Policy, RepoId, RepoType, Revision, Sha256,
    SignedManifest, Verified,
};

use crate::Store;
use crate::draft::Draft;
use crate::error::{Result, StoreError};
use crate::folder::{Folder, Lock};
use crate::quarantine::each_chunk;

/// A complete policy under the Hub's file names, and the manifest that was verified.
///
/// What is on disk is checked again whenever it is loaded; that it lies here proves nothing.
#[derive(Debug)]
pub struct PolicyDir {
    folder: Folder,
}

/// A policy that the store has, as its manifest describes it. Nothing of this was verified now.
#[derive(Debug)]
#[non_exhaustive]
pub struct Stored {
    /// SHA-256 of the manifest's payload, the directory's name.
    pub manifest: Sha256,
    /// Model or dataset.
    pub repo_type: RepoType,
    /// The repository.
    pub repo: RepoId,
    /// The commit of the files.
    pub revision: Revision,
    /// The release's number.
    pub sequence: u64,
    /// The files.
    pub directory: PolicyDir,
}

pub(crate) const LOCK: &str = "lock";
/// What is being put together, in the same file system as its place.
pub(crate) const DRAFTS: &str = "tmp";

impl Store {
    /// Keeps a verified policy: its bytes as they were verified, never those of the quarantine.
    ///
    /// Idempotent; an object or directory that was damaged since is replaced.
    ///
    /// # Errors
    /// Whatever keeps it from being written; then the store has what it had before.
    pub fn admit(&self, policy: &Verified<Policy>) -> Result<PolicyDir> {
        let (drafts, _lock) = self.begin()?;
        for file in policy.files() {
            self.keep(file, &drafts)?;
        }
        self.objects.flush()?;
        let name = policy.evidence().manifest.to_string();
        if !self.is_whole(&name, policy)? {
            self.lay_out(&name, policy, &drafts)?;
        }
        self.directory(&name)?
            .ok_or_else(|| StoreError::foreign(&self.policies.path_of(&name), "missing"))
    }

    /// The policy of this manifest, if the store has it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn policy(&self, manifest: &Sha256) -> Result<Option<PolicyDir>> {
        self.directory(&manifest.to_string())
    }

    /// All policies that say they are of this repository, the newest release first.
    ///
    /// This is a look-up: their manifests are read, not verified. Unreadable ones are passed over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn find(&self, repo_type: RepoType, repo: &RepoId) -> Result<Vec<Stored>> {
        let mut found = self.policies()?;
        found.retain(|stored| stored.repo_type == repo_type && stored.repo == *repo);
        found.sort_by_key(|stored| std::cmp::Reverse(stored.sequence));
        Ok(found)
    }

    /// All policies, in no particular order; see [`find`](Self::find).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn policies(&self) -> Result<Vec<Stored>> {
        let mut found = Vec::new();
        for name in self.policies.names()? {
            let Some(Ok(manifest)) = name.to_str().map(str::parse) else {
                continue;
            };
            if let Ok(Some(directory)) = self.policy(&manifest) {
                found.extend(directory.describe(manifest));
            }
        }
        Ok(found)
    }

    /// Takes the writers' lock and clears what a crash left.
    fn begin(&self) -> Result<(Folder, Lock)> {
        let lock = self.root.lock(LOCK, &*self.waiting.0)?;
        let drafts = self.root.reclaim(DRAFTS)?;
        drafts.require_private()?;
        drafts.clear()?;
        Ok((drafts, lock))
    }

    fn directory(&self, name: &str) -> Result<Option<PolicyDir>> {
        let folder = self.policies.find(name)?;
        Ok(folder.map(|folder| PolicyDir { folder }))
    }

    /// Makes sure that the object of `file` is there and right.
    fn keep(&self, file: &File, drafts: &Folder) -> Result<()> {
        let name = object_name(file);
        if is_object(&self.objects, &name, file.bytes().len())? {
            return Ok(());
        }
        let mut draft = Draft::new(drafts)?;
        draft.write(file.bytes())?;
        draft.freeze()?;
        draft.publish(&self.objects, &name)
    }

    /// Whether the directory is there, has nothing else, links this policy's objects and has its envelope.
    fn is_whole(&self, name: &str, policy: &Verified<Policy>) -> Result<bool> {
        let folder = match self.policies.find(name) {
            Ok(Some(folder)) => folder,
            Ok(None) => return Ok(false),
            Err(StoreError::Foreign { .. }) => {
                return self.policies.remove(name).map(|()| false);
            }
            Err(error) => return Err(error),
        };
        let files = policy.files().iter();
        let mut expected: Vec<PathBuf> = files.map(|file| file.path().as_str().into()).collect();
        expected.push(MANIFEST_FILE.into());
        expected.sort_unstable();
        if files_beneath(&folder, Path::new(""))? != expected {
            return Ok(false);
        }
        for file in policy.files() {
            let link = inode(&folder, file.path().as_str())?;
            if link.is_none() || link != inode(&self.objects, &object_name(file))? {
                return Ok(false);
            }
        }
        let expected = policy.evidence().envelope();
        let limit = u64::try_from(expected.len()).unwrap_or(u64::MAX);
        let found = folder.read(MANIFEST_FILE, limit);
        Ok(matches!(found, Ok(Some(found)) if found == expected))
    }

    /// Puts the directory together beside its place, then moves it there.
    fn lay_out(&self, name: &str, policy: &Verified<Policy>, drafts: &Folder) -> Result<()> {
        let new = drafts.enter(name)?;
        for file in policy.files() {
            let path = file.path().as_str();
            let (parents, link) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = new.enter(parents)?;
            parent.link(link, &self.objects, &object_name(file))?;
            parent.flush()?;
        }
        new.write(MANIFEST_FILE, policy.evidence().envelope(), drafts)?;
        self.policies.take(name, drafts, name)?;
        drafts.remove(name)
    }
}

impl PolicyDir {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The files, to be verified again.
    ///
    /// # Errors
    /// When the system has no handle left.
    pub fn directory(&self) -> Result<Directory> {
        Ok(Directory::new(self.folder.handle()?))
    }

    /// The envelope's bytes, of which nothing is known.
    ///
    /// # Errors
    /// When it cannot be read, is missing, or is larger than `limits` allow.
    pub fn envelope(&self, limits: &Limits) -> Result<Vec<u8>> {
        let bytes = self.folder.read(MANIFEST_FILE, limits.manifest_bytes)?;
        bytes.ok_or_else(|| StoreError::foreign(&self.manifest_path(), "missing"))
    }

    /// Where the manifest is.
    pub fn manifest_path(&self) -> PathBuf {
        self.folder.path_of(MANIFEST_FILE)
    }

    /// What its manifest says, or `None` if that cannot be read.
    fn describe(self, manifest: Sha256) -> Option<Stored> {
        let limits = Limits::default();
        let bytes = self.envelope(&limits).ok()?;
        let signed = SignedManifest::parse(&bytes, &limits).ok()?;
        let described = signed.untrusted(&limits).ok()?;
        Some(Stored {
            manifest,
            repo_type: described.repo.repo_type,
            repo: described.repo.id,
            revision: described.repo.revision,
            sequence: described.sequence,
            directory: self,
        })
    }
}

/// The object's name is the digest of the bytes that are held; the manifest is not asked.
fn object_name(file: &File) -> String {
    Blake3::of(file.bytes()).to_string()
}

/// The size is compared first: a sparse file may pretend to terabytes.
fn is_object(objects: &Folder, name: &str, size: usize) -> Result<bool> {
    let file = match objects.open(name) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(false),
        Err(StoreError::Foreign { .. }) => {
            objects.remove(name)?;
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let read = |error| StoreError::io("read", &objects.path_of(name), error);
    if usize::try_from(file.metadata().map_err(read)?.len()) != Ok(size) {
        return Ok(false);
    }
    let mut hasher = blake3::Hasher::new();
    each_chunk(file, |chunk| {
        // A hasher takes every byte that it is given.
        let _written = hasher.write(chunk);
    })
    .map_err(read)?;
    Ok(hasher.finalize().to_hex().as_str() == name)
}

/// Paths of everything that is not a directory, in order.
fn files_beneath(folder: &Folder, prefix: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for name in folder.names()? {
        let path = prefix.join(&name);
        match folder.find(&name) {
            Ok(Some(child)) => files.extend(files_beneath(&child, &path)?),
            Ok(None) | Err(StoreError::Foreign { .. }) => files.push(path),
            Err(error) => return Err(error),
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// What a name leads to, or `None` where it leads to no regular file.
fn inode(folder: &Folder, name: &str) -> Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt as _;
    let file = match folder.open(name) {
        Ok(Some(file)) => file,
        Ok(None) | Err(StoreError::Foreign { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = file
        .metadata()
        .map_err(|error| StoreError::io("examine", &folder.path_of(name), error))?;
    Ok(Some((stat.dev(), stat.ino())))
}
