//! Downloads that nobody vouches for, kept apart from everything that is used.

use std::fs::File;
use std::path::Path;

use tensorgate_verify::{Blake3, Directory, FilePath, Revision};

use crate::Store;
use crate::downloads;
use crate::draft::Draft;
use crate::error::{Result, StoreError, is_unreadable};
use crate::folder::Folder;
use crate::lock::Lock;
use crate::part;
use crate::quota;
use crate::record::{RECORD_BYTES, Record, Recorded};

/// The downloaded files of one commit, held by this process alone.
///
/// Beside the directory of files stand its lock, its drafts and its record, so that the directory
/// itself holds the policy's files and nothing else.
#[derive(Debug)]
pub struct Quarantine {
    files: Folder,
    parent: Folder,
    pub(crate) drafts: Folder,
    record_name: String,
    store: Folder,
    _lock: Lock,
}

/// A file on its way in. Dropped before it is [placed](Quarantine::place), it leaves nothing, unless
/// it is a [part](Quarantine::resume).
#[derive(Debug)]
pub struct Incoming(pub(crate) Draft);

impl Quarantine {
    pub(crate) fn lock_name(revision: &Revision) -> String {
        format!("{revision}.lock")
    }

    pub(crate) fn open(
        parent: &Folder,
        revision: &Revision,
        lock: Lock,
        store: &Folder,
    ) -> Result<Self> {
        let drafts = parent.reclaim(&format!("{revision}.part"))?;
        drafts.require_private()?;
        let quarantine = Self {
            files: parent.reclaim(revision.as_str())?,
            parent: parent.again()?,
            drafts,
            record_name: format!("{revision}.json"),
            store: store.again()?,
            _lock: lock,
        };
        // Of a finished download, nothing is left to be gone on with.
        match quarantine.record()? {
            Some(_) => quarantine.drafts.clear()?,
            None => part::clear_all_but_parts(&quarantine.drafts)?,
        }
        Ok(quarantine)
    }

    /// Where the files are.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// The files, for whoever verifies them.
    ///
    /// # Errors
    /// When the system has no handle left.
    pub fn directory(&self) -> Result<Directory> {
        Ok(Directory::new(self.files.handle()?))
    }

    /// Begins a file; it has no name yet.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn incoming(&self) -> Result<Incoming> {
        Draft::new(&self.drafts).map(Incoming)
    }

    /// Gives a complete file its place, whatever stands there; only the caller knows that its
    /// bytes are right.
    ///
    /// # Errors
    /// When it cannot be flushed or renamed. Nothing is there then but what was before.
    pub fn place(&self, incoming: Incoming, path: &FilePath) -> Result<()> {
        match path.as_str().rsplit_once('/') {
            Some((parents, name)) => incoming.0.publish(&self.files.reclaim(parents)?, name),
            None => incoming.0.publish(&self.files, path.as_str()),
        }
    }

    /// Opens a file, or `None` where there is none; what is no file does not count, nor what cannot
    /// be read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_file(&self, path: &FilePath) -> Result<Option<File>> {
        file_or_none(self.files.open(path.as_str()))
    }

    /// The size of a file in bytes, or `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn size_of(&self, path: &FilePath) -> Result<Option<u64>> {
        downloads::size_of(&self.files, path)
    }

    /// Removes a file; nothing to remove is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, path: &FilePath) -> Result<()> {
        let Some((parents, name)) = path.as_str().rsplit_once('/') else {
            return self.files.remove(path.as_str());
        };
        match or_none(self.files.find(parents))? {
            Some(parent) => parent.remove(name),
            None => Ok(()),
        }
    }

    /// Removes whatever is not one of `wanted`, links and strangers included.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_others(&self, wanted: &[&FilePath]) -> Result<()> {
        let wanted: Vec<&Path> = wanted.iter().map(|path| path.as_str().as_ref()).collect();
        remove_others(&self.files, Path::new(""), &wanted)
    }

    /// The record of a finished download; a damaged one is as good as none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self) -> Result<Option<Record>> {
        let bytes = or_none(self.parent.read(&self.record_name, RECORD_BYTES))?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes the record of a finished download, of which no part stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&self, record: &Record) -> Result<()> {
        self.drafts.clear()?;
        // Whoever placed the files may have been killed before their directories were flushed.
        for folder in record.folders() {
            if let Some(folder) = or_none(self.files.find(folder))? {
                folder.flush()?;
            }
        }
        let bytes = serde_json::to_vec(record)
            .map_err(|error| StoreError::io("write", self.path(), error))?;
        self.parent.write(&self.record_name, &bytes, &self.drafts)
    }

    /// Refuses to begin what the store's quota or the disk has no room for: something is left to
    /// whatever else writes.
    ///
    /// # Errors
    /// [`StoreError::Quota`], [`StoreError::NoSpace`], and when the file system cannot be asked.
    pub fn require_space(&self, needed: u64) -> Result<()> {
        quota::require(&self.store, needed)?;
        let free = downloads::room(&self.files)?;
        if needed <= free {
            return Ok(());
        }
        let path = self.path().to_owned();
        Err(StoreError::NoSpace { path, needed, free })
    }

    /// Makes these files other names of the store's own objects, wherever it has the object: then
    /// what was admitted lies on the disk once.
    ///
    /// # Errors
    /// When an object cannot be linked or take the file's place.
    pub fn share(&self, store: &Store, files: &[Recorded]) -> Result<()> {
        for file in files {
            self.link(store, &file.path, &file.blake3, |_| true)?;
        }
        Ok(())
    }

    /// The other way round: gives a file that is not there the bytes of the store's own object, if
    /// that has the size. What is there then counts for no more than what was downloaded: it is to
    /// be read.
    ///
    /// # Errors
    /// As [`share`](Self::share).
    pub fn borrow(&self, store: &Store, path: &FilePath, size: u64, blake3: &Blake3) -> Result<()> {
        match self.size_of(path)? == Some(size) {
            true => Ok(()),
            false => self.link(store, path, blake3, |found| found == size),
        }
    }

    /// Makes a file another name of an object that has one of these sizes.
    fn link(
        &self,
        store: &Store,
        path: &FilePath,
        blake3: &Blake3,
        fits: impl Fn(u64) -> bool,
    ) -> Result<()> {
        let object = blake3.to_string();
        if !store.object_size(blake3)?.is_some_and(fits) {
            return Ok(());
        }
        match self.drafts.link(&object, &store.objects, &object) {
            // Removed meanwhile: nobody wants the policy any more.
            Err(error) if error.is_absence() => return Ok(()),
            linked => linked?,
        }
        let (parents, name) = path
            .as_str()
            .rsplit_once('/')
            .unwrap_or(("", path.as_str()));
        let parent = self.files.reclaim(parents)?;
        self.drafts.rename(&object, &parent, name)
    }

    /// Says that the download is not, or no longer, finished.
    ///
    /// # Errors
    /// When the record cannot be removed.
    pub fn reopen(&self) -> Result<()> {
        self.parent.remove(&self.record_name)?;
        self.parent.flush()
    }

    /// Reads a file again and compares: whether it is still the one that was recorded.
    ///
    /// # Errors
    /// When it cannot be looked at; a file that is missing or cannot be read is `false`.
    pub fn is_intact(&self, recorded: &Recorded) -> Result<bool> {
        let path = &recorded.path;
        let Some(file) = self.open_file(path)? else {
            return Ok(false);
        };
        let read = |error| StoreError::io("read", &self.files.path_of(path.as_str()), error);
        // A sparse file may pretend to terabytes.
        if file.metadata().map_err(read)?.len() != recorded.size {
            return Ok(false);
        }
        match Recorded::of(path, file) {
            Err(error) if is_unreadable(&error) => Ok(false),
            found => Ok(found.map_err(read)? == *recorded),
        }
    }
}

impl Store {
    /// Shows each directory of downloads of one repository.
    pub(crate) fn each_repository(
        &self,
        visit: &mut dyn FnMut(&Folder) -> Result<()>,
    ) -> Result<()> {
        each_folder(&self.quarantine, &mut |of_type| {
            each_folder(of_type, &mut |owner| each_folder(owner, visit))
        })
    }

    /// Where a folder is, beneath the store.
    pub(crate) fn within<'a>(&self, folder: &'a Folder) -> &'a Path {
        let path = folder.path();
        path.strip_prefix(self.path()).unwrap_or(path)
    }
}

impl Incoming {
    /// Adds bytes.
    ///
    /// # Errors
    /// When they cannot be written; a full disk is [recognisable](StoreError::is_disk_full).
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write(bytes)
    }
}

/// What is not the store's own is as good as nothing here: all of it can be fetched again.
pub(crate) fn or_none<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(StoreError::Foreign { .. }) => Ok(None),
        found => found,
    }
}

/// The same of files that cannot be read.
pub(crate) fn file_or_none(found: Result<Option<File>>) -> Result<Option<File>> {
    match or_none(found) {
        Err(error) if error.is_unreadable() => Ok(None),
        found => found,
    }
}

fn each_folder(folder: &Folder, visit: &mut dyn FnMut(&Folder) -> Result<()>) -> Result<()> {
    for name in folder.entries()? {
        if let Some(child) = or_none(folder.find(name?))? {
            visit(&child)?;
        }
    }
    Ok(())
}

fn remove_others(folder: &Folder, prefix: &Path, wanted: &[&Path]) -> Result<()> {
    for name in folder.names()? {
        let path = prefix.join(&name);
        if wanted.contains(&&*path) {
            continue;
        }
        let is_parent = wanted.iter().any(|wanted| wanted.starts_with(&path));
        match or_none(folder.find(&name))? {
            Some(child) if is_parent => remove_others(&child, &path, wanted)?,
            _ => folder.remove(&name)?,
        }
    }
    Ok(())
}
