//! A look at downloads that makes nothing, changes nothing and waits for nobody.

use tensorgate_verify::{FilePath, RepoId, RepoType, Revision};

use crate::Store;
use crate::error::{Result, StoreError};
use crate::folder::Folder;
use crate::part::{self, PartName};
use crate::quarantine::{file_or_none, or_none};
use crate::quota;

/// What the quarantine has of one commit at this moment. Another process may be at work on it.
#[derive(Debug)]
pub struct Downloads {
    /// `None` where nothing of the commit was ever fetched.
    files: Option<Folder>,
    drafts: Option<Folder>,
}

/// 64 MiB, or 1 % of a small disk: logs and the state can still be written.
const MOST_RESERVED: u64 = 64 << 20;

impl Store {
    /// What is there of a commit; see [`quarantine`](Self::quarantine) for fetching it.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn downloads(
        &self,
        repo_type: RepoType,
        repo: &RepoId,
        revision: &Revision,
    ) -> Result<Downloads> {
        let place = format!("{repo_type}/{repo}/{revision}");
        Ok(Downloads {
            files: or_none(self.quarantine.find(&place))?,
            drafts: or_none(self.quarantine.find(format!("{place}.part")))?,
        })
    }

    /// Bytes that may still be written here: what the quota leaves, if there is one, and the disk,
    /// less a reserve for everything else.
    ///
    /// # Errors
    /// [`StoreError::QuotaUnreadable`], and when the file system cannot be asked.
    pub fn room(&self) -> Result<u64> {
        let left = quota::left(&self.root)?.unwrap_or(u64::MAX);
        Ok(room(&self.quarantine)?.min(left))
    }
}

impl Downloads {
    /// The size of a file in bytes, or `None` where there is none. What it holds is not looked at.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn size_of(&self, path: &FilePath) -> Result<Option<u64>> {
        match &self.files {
            Some(files) => size_of(files, path),
            None => Ok(None),
        }
    }

    /// The bytes of a part of at most `most` bytes that the disk has, 0 where there is none.
    ///
    /// # Errors
    /// When it cannot be examined.
    pub fn part_size(&self, name: &PartName, most: u64) -> Result<u64> {
        match &self.drafts {
            Some(drafts) => part::size_in(drafts, name, most),
            None => Ok(0),
        }
    }
}

/// The size of a regular file, or `None` where there is none.
pub(crate) fn size_of(files: &Folder, path: &FilePath) -> Result<Option<u64>> {
    let Some(file) = file_or_none(files.open(path.as_str()))? else {
        return Ok(None);
    };
    let failed = |error| StoreError::io("examine", &files.path_of(path.as_str()), error);
    Ok(Some(file.metadata().map_err(failed)?.len()))
}

/// What the file system has for this user, less the reserve.
pub(crate) fn room(folder: &Folder) -> Result<u64> {
    let stat = rustix::fs::fstatvfs(folder)
        .map_err(|error| StoreError::io("examine", folder.path(), error))?;
    let reserve = (stat.f_blocks / 100).saturating_mul(stat.f_frsize);
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    Ok(free.saturating_sub(reserve.min(MOST_RESERVED)))
}
