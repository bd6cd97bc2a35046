//! An open directory of the store: names are resolved beneath it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::draft::Draft;
use crate::error::{Result, StoreError};
use crate::layout::is_foreign;

/// An open directory; names are resolved beneath it and never through a link.
#[derive(Debug)]
pub(crate) struct Folder {
    handle: OwnedFd,
    path: PathBuf,
}

pub(crate) const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);
/// Directories are their owner's alone.
const PRIVATE: Mode = Mode::RWXU;

impl Folder {
    /// Opens `path`, making it and its parents if they are missing.
    pub(crate) fn at(path: &Path) -> Result<Self> {
        let open = || rustix::fs::open(path, DIRECTORY, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) => {
                make_all(path)?;
                open()
            }
            opened => opened,
        };
        let handle = opened.map_err(|error| match path.is_symlink() {
            true => StoreError::foreign(path, "a link: name the directory that it leads to"),
            false => StoreError::io("open", path, error),
        })?;
        let path = path.to_owned();
        Ok(Self { handle, path })
    }

    /// Opens a directory beneath, or `None` where there is none.
    pub(crate) fn find(&self, name: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = self.path_of(&name);
        match rustix::fs::openat2(
            &self.handle,
            name.as_ref(),
            DIRECTORY,
            Mode::empty(),
            RESOLVE,
        ) {
            Ok(handle) => Ok(Some(Self { handle, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR) => Err(StoreError::foreign(
                &path,
                "not a directory, where the store has one",
            )),
            Err(error) => Err(StoreError::io("open", &path, error)),
        }
    }

    /// Opens a directory beneath, making each missing component.
    pub(crate) fn enter(&self, name: &str) -> Result<Self> {
        self.descend(name, |at, component| at.find(component))
    }

    /// The same where everything is the store's own and can be had again: whatever is no directory
    /// in the place of one is removed.
    pub(crate) fn reclaim(&self, name: &str) -> Result<Self> {
        self.descend(name, |at, component| match at.find(component) {
            Err(StoreError::Foreign { .. }) => at.remove(component).map(|()| None),
            found => found,
        })
    }

    fn descend(
        &self,
        name: &str,
        find: impl Fn(&Self, &str) -> Result<Option<Self>>,
    ) -> Result<Self> {
        let mut at = self.again()?;
        for component in name.split('/').filter(|part| !part.is_empty()) {
            at = match find(&at, component)? {
                Some(folder) => folder,
                None => at.make(component)?,
            };
        }
        Ok(at)
    }

    fn make(&self, name: &str) -> Result<Self> {
        let path = self.path_of(name);
        match rustix::fs::mkdirat(&self.handle, name, PRIVATE) {
            Ok(()) => self.flush()?,
            Err(Errno::EXIST) => {}
            Err(error) => return Err(StoreError::io("make", &path, error)),
        }
        let gone = || StoreError::io("open", &path, Errno::NOENT);
        self.find(name)?.ok_or_else(gone)
    }

    /// Another handle to the same directory.
    pub(crate) fn again(&self) -> Result<Self> {
        Ok(Self {
            handle: self.handle()?,
            path: self.path.clone(),
        })
    }

    pub(crate) fn handle(&self) -> Result<OwnedFd> {
        self.handle
            .try_clone()
            .map_err(|error| StoreError::io("open", &self.path, error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Refuses a directory that others may write to.
    pub(crate) fn require_private(&self) -> Result<()> {
        let stat = rustix::fs::fstat(&self.handle)
            .map_err(|error| StoreError::io("examine", &self.path, error))?;
        let refuse = |detail: String| {
            Err(StoreError::NotPrivate {
                path: self.path.clone(),
                detail: detail.into(),
            })
        };
        if is_foreign(stat.st_uid) {
            return refuse(format!("owned by user {}", stat.st_uid));
        }
        if stat.st_mode & 0o022 != 0 {
            return refuse(format!(
                "writable by others (mode {:04o})",
                stat.st_mode & 0o777
            ));
        }
        Ok(())
    }

    /// Refuses a directory that is somebody else's: one in which anything is neither among `parts`,
    /// which are made first, nor, once there is a part, among what is made `later`.
    pub(crate) fn require_own(&self, parts: &[&str], later: &[&str]) -> Result<()> {
        let names = self.names()?;
        let is_any = |name: &OsString, of: &[&str]| of.iter().any(|own| name == own);
        let begun = names.iter().any(|name| is_any(name, parts));
        if !begun {
            // Whoever made it may have been killed before its name was there for good.
            flush_parent(&self.path)?;
        }
        let own = |name: &OsString| {
            // Every new ext file system has one, and a store may have a file system to itself.
            is_any(name, parts) || (begun && is_any(name, later)) || name == "lost+found"
        };
        match names.iter().find(|name| !own(name)) {
            Some(stranger) => Err(StoreError::foreign(
                &self.path,
                &format!("no place of tensorgate's: {stranger:?} is in it"),
            )),
            None => Ok(()),
        }
    }

    /// Opens a regular file beneath, or `None` where there is none.
    pub(crate) fn open(&self, name: &str) -> Result<Option<File>> {
        let path = self.path_of(name);
        let file = match rustix::fs::openat2(&self.handle, name, FILE, Mode::empty(), RESOLVE) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(Errno::LOOP) => return Err(StoreError::foreign(&path, "a link")),
            Err(Errno::NXIO | Errno::NODEV) => {
                return Err(StoreError::foreign(&path, "a socket or device"));
            }
            Err(error) => return Err(StoreError::io("open", &path, error)),
        };
        let stat = file
            .metadata()
            .map_err(|error| StoreError::io("examine", &path, error))?;
        match stat.is_file() {
            true => Ok(Some(file)),
            false => Err(StoreError::foreign(&path, "not a regular file")),
        }
    }

    /// Reads a file of at most `limit` bytes, or `None` where there is none.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| StoreError::io("read", &self.path_of(name), error))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(StoreError::foreign(
                &self.path_of(name),
                "larger than any file of its kind",
            ));
        }
        Ok(Some(bytes))
    }

    /// Puts `bytes` in place as one step, by way of `drafts`.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], drafts: &Self) -> Result<()> {
        let mut draft = Draft::new(drafts)?;
        draft.write(bytes)?;
        draft.publish(self, name)
    }

    /// Names of all entries, whatever they are, in order.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let mut names = self.entries()?.collect::<Result<Vec<_>>>()?;
        names.sort_unstable();
        Ok(names)
    }

    /// The same in no order, one at a time: there may be more than memory has room for.
    pub(crate) fn entries(&self) -> Result<impl Iterator<Item = Result<OsString>>> {
        let read = |error| StoreError::io("list", &self.path, error);
        let entries = Dir::read_from(&self.handle).map_err(read)?;
        let name = move |entry: rustix::io::Result<rustix::fs::DirEntry>| match entry {
            Ok(entry) => match entry.file_name().to_bytes() {
                b"." | b".." => None,
                name => Some(Ok(OsString::from_vec(name.to_owned()))),
            },
            Err(error) => Some(Err(read(error))),
        };
        Ok(entries.filter_map(name))
    }

    /// Makes `name` here another name of the file `from` in `folder`.
    pub(crate) fn link(&self, name: &str, folder: &Self, from: &str) -> Result<()> {
        rustix::fs::linkat(&folder.handle, from, &self.handle, name, AtFlags::empty())
            .map_err(|error| StoreError::io("link", &self.path_of(name), error))
    }

    /// Moves the file `from` to `folder`, where it replaces what has the name, be it a directory.
    pub(crate) fn rename(&self, from: &str, folder: &Self, name: &str) -> Result<()> {
        let rename = || rustix::fs::renameat(&self.handle, from, &folder.handle, name);
        let renamed = match rename() {
            Err(Errno::ISDIR) => {
                folder.remove(name)?;
                rename()
            }
            renamed => renamed,
        };
        renamed.map_err(|error| StoreError::io("rename", &folder.path_of(name), error))?;
        // Two names of one file are not renamed, and the call succeeds (rename(2)).
        self.remove(from)?;
        folder.flush()
    }

    /// Moves the directory `from` here in one step; what had the name before comes back at `from`.
    pub(crate) fn take(&self, name: &str, folder: &Self, from: &str) -> Result<()> {
        use rustix::fs::{RenameFlags, renameat_with};
        let flags = match self.find(name) {
            Ok(Some(_)) => RenameFlags::EXCHANGE,
            Ok(None) => RenameFlags::empty(),
            Err(StoreError::Foreign { .. }) => {
                self.remove(name)?;
                RenameFlags::empty()
            }
            Err(error) => return Err(error),
        };
        renameat_with(&folder.handle, from, &self.handle, name, flags)
            .map_err(|error| StoreError::io("rename", &self.path_of(name), error))?;
        self.flush()
    }

    /// Moves an entry of `folder` here, where nothing has its name.
    pub(crate) fn receive(&self, folder: &Self, name: &str) -> Result<()> {
        rustix::fs::renameat(folder, name, &self.handle, name)
            .map_err(|error| StoreError::io("rename", &folder.path_of(name), error))
    }

    /// Makes names in this directory survive a power cut.
    pub(crate) fn flush(&self) -> Result<()> {
        rustix::fs::fsync(&self.handle).map_err(|error| StoreError::io("flush", &self.path, error))
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Makes what is missing of `path`, so that it is there after a power cut, too.
fn make_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(missing).collect();
    if let Some(there) = missing.last().and_then(|path| path.parent()) {
        // As in `require_own`.
        flush_parent(there)?;
    }
    for path in missing.into_iter().rev() {
        let made = std::fs::DirBuilder::new().mode(PRIVATE.bits()).create(path);
        match made {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(StoreError::io("make", path, error));
            }
            _ => flush_parent(path)?,
        }
    }
    Ok(())
}

/// A directory that may not be read cannot be flushed, nor one in which no names are kept, such as
/// `/sys`: what comes next says what there is to say.
fn flush_parent(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|path| !path.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    let flushed = File::open(parent).and_then(|parent| parent.sync_all());
    match flushed.map_err(|error| (Errno::from_io_error(&error), error)) {
        Ok(()) | Err((Some(Errno::ACCESS | Errno::INVAL), _)) => Ok(()),
        Err((_, error)) => Err(StoreError::io("flush", parent, error)),
    }
}
