//! Whole trees, removed or measured. Others may have made them, and as deep as they like.

use std::path::Path;

use rustix::fs::{AtFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::error::{Result, StoreError};
use crate::folder::Folder;
use crate::layout::is_directory;

/// Names of a policy have 16 components, and 5 more lead to them.
const DEEPEST: usize = 32;

impl Folder {
    /// Removes an entry and all below it; nothing to remove is fine.
    pub(crate) fn remove(&self, name: impl AsRef<Path>) -> Result<()> {
        if self.unlink(&name)? {
            return Ok(());
        }
        if let Some(folder) = self.find(&name)? {
            folder.clear()?;
        }
        self.remove_empty(name)
    }

    /// Removes everything inside. What lies deeper is moved up here first: a tree of any depth takes
    /// neither stack nor handles.
    pub(crate) fn clear(&self) -> Result<()> {
        let mut lifted = 0;
        self.until_empty(|name| {
            if self.unlink(name)? {
                return Ok(());
            }
            if let Some(folder) = self.find(name)? {
                folder.lift(self, &mut lifted)?;
            }
            self.remove_empty(name)
        })
    }

    /// Removes the files inside, and moves the directories to `folder`.
    fn lift(&self, folder: &Self, lifted: &mut u64) -> Result<()> {
        self.until_empty(|name| {
            if self.unlink(name)? {
                return Ok(());
            }
            loop {
                let (free, flags) = (format!("{lifted}"), RenameFlags::NOREPLACE);
                *lifted += 1;
                match rustix::fs::renameat_with(self, name, folder, &*free, flags) {
                    Ok(()) | Err(Errno::NOENT) => return Ok(()),
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(StoreError::io("rename", &self.path_of(name), error)),
                }
            }
        })
    }

    /// A listing may pass over what comes or goes meanwhile, so it is read until nothing is found.
    fn until_empty(&self, mut remove: impl FnMut(&Path) -> Result<()>) -> Result<()> {
        loop {
            let mut entries = self.entries()?.peekable();
            if entries.peek().is_none() {
                return Ok(());
            }
            entries.try_for_each(|name| remove(name?.as_ref()))?;
        }
    }

    /// Removes an entry that is no directory, and says whether it was none.
    fn unlink(&self, name: impl AsRef<Path>) -> Result<bool> {
        match rustix::fs::unlinkat(self, name.as_ref(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::ISDIR) => Ok(false),
            Err(error) => Err(StoreError::io("remove", &self.path_of(name), error)),
        }
    }

    fn remove_empty(&self, name: impl AsRef<Path>) -> Result<()> {
        match rustix::fs::unlinkat(self, name.as_ref(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(StoreError::io("remove", &self.path_of(name), error)),
        }
    }

    /// What an entry is, or `None` where there is none; links are not followed.
    pub(crate) fn stat(&self, name: impl AsRef<Path>) -> Result<Option<Stat>> {
        match rustix::fs::statat(self, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(StoreError::io("examine", &self.path_of(name), error)),
        }
    }

    /// Shows what every entry beneath is.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] where directories are nested deeper than the store's.
    pub(crate) fn each_stat(&self, visit: &mut dyn FnMut(&Stat)) -> Result<()> {
        self.each_stat_within(DEEPEST, visit)
    }

    fn each_stat_within(&self, depth: usize, visit: &mut dyn FnMut(&Stat)) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(StoreError::foreign(self.path(), "nested too deep"));
        };
        for name in self.entries()? {
            let name = name?;
            let Some(stat) = self.stat(&name)? else {
                continue;
            };
            visit(&stat);
            if is_directory(&stat)
                && let Some(folder) = self.find(&name)?
            {
                folder.each_stat_within(depth, visit)?;
            }
        }
        Ok(())
    }
}
