//! Locks: on a file, for whoever writes to a place; on the directory of a policy, for whoever reads it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Result, StoreError};
use crate::folder::{Folder, RESOLVE};

/// An advisory lock (`flock`); the system gives it back when its holder ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Folder {
    /// Takes the lock file `name`, or `None` where another process or handle has it.
    pub(crate) fn try_lock(&self, name: &str) -> Result<Option<Lock>> {
        loop {
            let (file, path) = self.lock_file(name)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if self.has(name, &file)? => return Ok(Some(Lock { _file: file })),
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(StoreError::io("lock", &path, error)),
            }
        }
    }

    /// Takes the lock file `name`; if that means to wait, `waiting` is told first.
    pub(crate) fn lock(&self, name: &str, waiting: &dyn Fn(&Path)) -> Result<Lock> {
        if let Some(lock) = self.try_lock(name)? {
            return Ok(lock);
        }
        waiting(&self.path_of(name));
        loop {
            let (file, path) = self.lock_file(name)?;
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) if self.has(name, &file)? => return Ok(Lock { _file: file }),
                Ok(()) | Err(Errno::INTR) => {}
                Err(error) => return Err(StoreError::io("lock", &path, error)),
            }
        }
    }

    /// Opens a directory beneath, or `None` where there is none. While this handle or a copy of it
    /// is open, [`is_free`](Self::is_free) says no to everybody.
    pub(crate) fn find_held(&self, name: &str) -> Result<Option<Self>> {
        while let Some(folder) = self.find(name)? {
            match rustix::fs::flock(&folder, FlockOperation::LockShared) {
                // Whoever held it alone may have moved it away.
                Ok(()) if self.has(name, &folder)? => return Ok(Some(folder)),
                Ok(()) | Err(Errno::INTR) => {}
                Err(error) => return Err(StoreError::io("lock", folder.path(), error)),
            }
        }
        Ok(None)
    }

    /// Whether nobody holds this directory; if so, nobody can before this handle is closed.
    pub(crate) fn is_free(&self) -> Result<bool> {
        match rustix::fs::flock(self, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(error) => Err(StoreError::io("lock", self.path(), error)),
        }
    }

    /// Whether what is open still has this name; a lock on what lost it keeps nobody out.
    fn has(&self, name: &str, file: &impl AsFd) -> Result<bool> {
        let failed = |error| StoreError::io("examine", &self.path_of(name), error);
        let held = rustix::fs::fstat(file).map_err(failed)?;
        match rustix::fs::statat(self, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Opens a lock file. A link in its place is removed; a directory may be anybody's, and is not.
    fn lock_file(&self, name: &str) -> Result<(File, PathBuf)> {
        let path = self.path_of(name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = || rustix::fs::openat2(self, name, flags, mode, RESOLVE);
        let opened = match open() {
            Err(Errno::LOOP | Errno::NXIO) => {
                match rustix::fs::unlinkat(self, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => open(),
                    Err(error) => Err(error),
                }
            }
            opened => opened,
        };
        match opened {
            Err(Errno::ISDIR) => Err(StoreError::foreign(
                &path,
                "a directory, where the store has a lock",
            )),
            Ok(handle) => Ok((File::from(handle), path)),
            Err(error) => Err(StoreError::io("lock", &path, error)),
        }
    }
}
