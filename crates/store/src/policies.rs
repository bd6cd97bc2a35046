//! Verified policies on disk: objects by content, and directories of links to them.

use std::fs::File as DiskFile;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tensorgate_verify::{
    Blake3, Directory, File, Limits, MANIFEST_FILE, Manifest, Policy, Rejection, RepoId, RepoType,
    Revision, Sha256, SignedManifest, Verified,
};

use crate::Store;
use crate::draft::Draft;
use crate::error::{Result, StoreError, is_unreadable};
use crate::folder::Folder;
use crate::layout::{each_flaw, exposed};
use crate::lock::Lock;
use crate::quarantine::file_or_none;
use crate::quota;
use crate::record::each_chunk;

/// A complete policy under the Hub's file names, and the manifest that was verified.
///
/// What is on disk is checked again whenever it is loaded; that it lies here proves nothing.
/// [`Store::gc`] leaves it while this value, or a handle that it gave, lives in any process.
#[derive(Debug)]
pub struct PolicyDir {
    folder: Folder,
}

/// A policy that the store has, as its manifest describes it. Nothing of this was verified now.
#[derive(Clone, Debug, Eq, PartialEq)]
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
}

pub(crate) const LOCK: &str = "lock";
/// What is being put together, in the same file system as its place.
pub(crate) const DRAFTS: &str = "tmp";
/// [`hold`] asks for a second: removing a policy takes a few milliseconds.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);

impl Store {
    /// Keeps a verified policy: its bytes as they were verified, never those of the quarantine.
    ///
    /// Idempotent; an object or directory that was damaged since is replaced.
    ///
    /// # Errors
    /// [`StoreError::Quota`], and whatever keeps it from being written; then the store has what it
    /// had before.
    pub fn admit(&self, policy: &Verified<Policy>) -> Result<PolicyDir> {
        let (drafts, _lock) = self.begin()?;
        let name = policy.evidence().manifest.to_string();
        let envelope = policy.evidence().envelope();
        // The names are the digests of the bytes that are held; the manifest is not asked.
        let files = policy.files().iter();
        let files: Vec<_> = files.map(|file| (file, Blake3::of(file.bytes()))).collect();
        let missing = self.missing(&files)?;
        if !missing.is_empty() || !self.is_whole(&name, &files, envelope)? {
            let sizes = missing.iter().map(|(file, _)| file.bytes().len());
            let needed = sizes.sum::<usize>() + envelope.len();
            quota::require(&self.root, u64::try_from(needed).unwrap_or(u64::MAX))?;
            for (file, blake3) in missing {
                self.keep(file, blake3, &drafts)?;
            }
            self.lay_out(&name, &files, envelope, &drafts)?;
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
        let mut found = Vec::new();
        for manifest in self.manifests()? {
            if let Ok(Some(stored)) = self.describe(&manifest?)
                && (stored.repo_type, &stored.repo) == (repo_type, repo)
            {
                found.push(stored);
            }
        }
        found.sort_by_key(|stored| std::cmp::Reverse(stored.sequence));
        Ok(found)
    }

    /// The names of all policies, in no order.
    pub(crate) fn manifests(&self) -> Result<impl Iterator<Item = Result<Sha256>>> {
        let parse = |name: std::ffi::OsString| name.to_str()?.parse().ok();
        let names = self.policies.entries()?;
        Ok(names.filter_map(move |name| name.map(parse).transpose()))
    }

    /// What the manifest of a policy says; `None` where there is none of this name.
    pub(crate) fn describe(&self, manifest: &Sha256) -> Result<Option<Stored>> {
        let Some(folder) = self.policies.find(manifest.to_string())? else {
            return Ok(None);
        };
        match read_manifest(&folder, manifest)? {
            Ok(described) => Ok(Some(Stored {
                manifest: *manifest,
                repo_type: described.repo.repo_type,
                repo: described.repo.id,
                revision: described.repo.revision,
                sequence: described.sequence,
            })),
            Err(_) => Ok(None),
        }
    }

    /// The size of an object in bytes, or `None` where there is none. Its bytes were right when
    /// they were written; whoever counts on them reads them.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn object_size(&self, blake3: &Blake3) -> Result<Option<u64>> {
        let name = blake3.to_string();
        let Some(file) = file_or_none(self.objects.open(&name))? else {
            return Ok(None);
        };
        let failed = |error| StoreError::io("examine", &self.objects.path_of(&name), error);
        Ok(Some(file.metadata().map_err(failed)?.len()))
    }

    /// Takes the writers' lock and ends what a crash broke off: its drafts go, its names stay for good.
    pub(crate) fn begin(&self) -> Result<(Folder, Lock)> {
        let lock = self.lock()?;
        Ok((self.drafts()?, lock))
    }

    pub(crate) fn lock(&self) -> Result<Lock> {
        self.root.lock(LOCK, &*self.waiting.0)
    }

    /// An empty place for drafts, for whoever has the lock.
    pub(crate) fn drafts(&self) -> Result<Folder> {
        for folder in [&self.root, &self.objects, &self.policies] {
            folder.flush()?;
        }
        let drafts = self.root.reclaim(DRAFTS)?;
        drafts.require_private()?;
        drafts.clear()?;
        Ok(drafts)
    }

    fn directory(&self, name: &str) -> Result<Option<PolicyDir>> {
        let folder = self.policies.find_held(name)?;
        Ok(folder.map(|folder| PolicyDir { folder }))
    }

    /// The files whose object is not there or not right.
    fn missing<'a>(&self, files: &[(&'a File, Blake3)]) -> Result<Vec<(&'a File, Blake3)>> {
        let mut missing = Vec::new();
        for (file, blake3) in files {
            if !is_object(&self.objects, &blake3.to_string(), file.bytes().len())? {
                missing.push((*file, *blake3));
            }
        }
        Ok(missing)
    }

    fn keep(&self, file: &File, blake3: Blake3, drafts: &Folder) -> Result<()> {
        let mut draft = Draft::new(drafts)?;
        draft.write(file.bytes())?;
        draft.freeze()?;
        draft.publish(&self.objects, &blake3.to_string())
    }

    /// Whether the directory is there, links these objects, has this envelope and nothing else.
    fn is_whole(&self, name: &str, files: &[(&File, Blake3)], envelope: &[u8]) -> Result<bool> {
        let folder = match self.policies.find(name) {
            Ok(Some(folder)) => folder,
            Ok(None) | Err(StoreError::Foreign { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let links = files.iter().map(|(file, blake3)| (file.path(), *blake3));
        let links: Vec<_> = links.collect();
        let mut flawed = false;
        each_flaw(&self.objects, &folder, &links, &mut |_| flawed = true)?;
        let limit = u64::try_from(envelope.len()).unwrap_or(u64::MAX);
        let found = folder.read(MANIFEST_FILE, limit);
        Ok(!flawed && matches!(found, Ok(Some(found)) if found == envelope))
    }

    /// Puts the directory together beside its place, then moves it there.
    fn lay_out(
        &self,
        name: &str,
        files: &[(&File, Blake3)],
        envelope: &[u8],
        drafts: &Folder,
    ) -> Result<()> {
        let new = drafts.enter(name)?;
        for (file, blake3) in files {
            let path = file.path().as_str();
            let (parents, link) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = new.enter(parents)?;
            parent.link(link, &self.objects, &blake3.to_string())?;
            parent.flush()?;
        }
        new.write(MANIFEST_FILE, envelope, drafts)?;
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
}

/// Keeps [`Store::gc`] from removing the directory while this handle, or a copy of it, is open; if
/// it is removed right now, nothing is kept, and its files will be missing.
///
/// Somebody else's `gc` has it alone for a moment, be it only to look; who has it alone for more than
/// a second keeps nobody waiting.
///
/// # Errors
/// Where the file system has no locks.
pub fn hold(directory: &Directory) -> Result<()> {
    for _try in 0..TRIES {
        match rustix::fs::flock(directory, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
            Err(Errno::INTR) => {}
            held => {
                return held.map_err(|error| StoreError::io("lock", Path::new("."), error));
            }
        }
    }
    Ok(())
}

/// The manifest that gave a directory its name, or why it has none.
pub(crate) fn read_manifest(
    folder: &Folder,
    name: &Sha256,
) -> Result<Result<Manifest, (Rejection, String)>> {
    let limits = Limits::default();
    let bytes = match folder.read(MANIFEST_FILE, limits.manifest_bytes) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(Err((Rejection::ManifestMissing, "it is not there".into()))),
        Err(StoreError::Foreign { detail, .. }) => {
            return Ok(Err((Rejection::FileNotRegular, detail.into())));
        }
        Err(error) => return Err(error),
    };
    let parsed = SignedManifest::parse(&bytes, &limits)
        .and_then(|signed| Ok((signed.digest(), signed.untrusted(&limits)?)));
    Ok(match parsed {
        Ok((digest, manifest)) if digest == *name => Ok(manifest),
        Ok((digest, _)) => Err((
            Rejection::DigestMismatch,
            format!("it is another manifest, {digest}"),
        )),
        Err(error) => Err((
            error.rejection().unwrap_or(Rejection::ManifestMalformed),
            error.to_string(),
        )),
    })
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
        Err(error) if error.is_unreadable() => return Ok(false),
        Err(error) => return Err(error),
    };
    let read = |error| StoreError::io("read", &objects.path_of(name), error);
    let is_exposed = exposed(objects, name)?.is_some();
    if is_exposed || usize::try_from(file.metadata().map_err(read)?.len()) != Ok(size) {
        return Ok(false);
    }
    match hash(file, &mut |_| {}) {
        Err(error) if is_unreadable(&error) => Ok(false),
        hashed => Ok(hashed.map_err(read)?.to_string() == name),
    }
}

/// The BLAKE3 of a file, read a piece at a time; `advanced` is told of each piece.
pub(crate) fn hash(file: DiskFile, advanced: &mut dyn FnMut(u64)) -> std::io::Result<Blake3> {
    let mut hasher = blake3::Hasher::new();
    each_chunk(file, |chunk| {
        hasher.update(chunk);
        advanced(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    })?;
    Ok(Blake3::from_bytes(hasher.finalize().into()))
}
