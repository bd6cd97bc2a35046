//! The operator's limit on what the store may take of the disk.

use rustix::fs::Stat;
use serde::{Deserialize, Serialize};

use crate::Store;
use crate::error::{Result, StoreError};
use crate::folder::Folder;
use crate::layout::is_directory;

/// The file of the limit, at the root of the store.
pub(crate) const QUOTA: &str = "quota.json";
/// A number with its name.
const BYTES: u64 = 1 << 10;
const OBJECTS: &str = "objects";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quota {
    bytes: u64,
}

impl Store {
    /// The most that the store may take of the disk in bytes, or `None` where nobody set a limit.
    ///
    /// # Errors
    /// [`StoreError::QuotaUnreadable`].
    pub fn quota(&self) -> Result<Option<u64>> {
        quota(&self.root)
    }

    /// Sets the limit, or lifts it. What is there stays, be it more.
    ///
    /// It is looked at before a download and before a policy is kept, and holds for each of them:
    /// two at once may go beyond it.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    pub fn set_quota(&self, bytes: Option<u64>) -> Result<()> {
        let (drafts, _lock) = self.begin()?;
        let Some(bytes) = bytes else {
            self.root.remove(QUOTA)?;
            return self.root.flush();
        };
        let json = serde_json::to_vec(&Quota { bytes })
            .map_err(|error| StoreError::io("write", &self.root.path_of(QUOTA), error))?;
        self.root.write(QUOTA, &json, &drafts)
    }

    /// What the store takes of the disk, in bytes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn used(&self) -> Result<u64> {
        used(&self.root)
    }
}

/// [`StoreError::Quota`] where `needed` bytes more would go beyond the limit.
pub(crate) fn require(root: &Folder, needed: u64) -> Result<()> {
    let Some(quota) = quota(root)?.filter(|_| needed > 0) else {
        return Ok(());
    };
    let used = used(root)?;
    if used.saturating_add(needed) <= quota {
        return Ok(());
    }
    let path = root.path().to_owned();
    Err(StoreError::Quota {
        path,
        needed,
        used,
        quota,
    })
}

/// What the limit leaves, in bytes, or `None` where there is none.
pub(crate) fn left(root: &Folder) -> Result<Option<u64>> {
    let Some(quota) = quota(root)? else {
        return Ok(None);
    };
    Ok(Some(quota.saturating_sub(used(root)?)))
}

fn quota(root: &Folder) -> Result<Option<u64>> {
    let Some(bytes) = root.read(QUOTA, BYTES)? else {
        return Ok(None);
    };
    let damaged = |error: serde_json::Error| StoreError::QuotaUnreadable {
        path: root.path_of(QUOTA),
        detail: error.to_string().into(),
    };
    let quota: Quota = serde_json::from_slice(&bytes).map_err(damaged)?;
    Ok(Some(quota.bytes))
}

/// Each object once, and of everything else what has no other name: that is an object's.
fn used(root: &Folder) -> Result<u64> {
    let mut bytes = 0_u64;
    for name in root.entries()? {
        let name = name?;
        let all = name == OBJECTS;
        let mut add = |stat: &Stat| {
            if all || stat.st_nlink == 1 || is_directory(stat) {
                bytes = bytes.saturating_add(size_on_disk(stat));
            }
        };
        if let Some(stat) = root.stat(&name)? {
            add(&stat);
            if is_directory(&stat)
                && let Some(folder) = root.find(&name)?
            {
                folder.each_stat(&mut add)?;
            }
        }
    }
    Ok(bytes)
}

/// What an inode takes of the disk: blocks of 512 bytes (stat(2)).
pub(crate) fn size_on_disk(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512)
}
