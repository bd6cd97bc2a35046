//! What was called back on this machine alone: manifests that its operator takes for no use any more.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use tensorgate_verify::Sha256;

use crate::error::{Result, StoreError};
use crate::state::{BYTES, LOST, State, parse, write};

/// The file that has them.
pub(crate) const REVOKED: &str = "revoked.json";

/// In the state's directory, beside the signed list: nobody signed this, it counts here alone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    /// Grows with each change, so that an older file is noticed.
    sequence: u64,
    /// Why, for people.
    manifests: BTreeMap<Sha256, String>,
}

impl State {
    /// The most manifests that can be revoked at one place.
    pub const MOST_REVOKED: usize = 1_000;

    /// The most bytes of a reason that are kept.
    pub const MOST_REASON: usize = 256;

    /// Revokes a manifest at this place: from now on it is refused with `manifest-revoked`, across
    /// restarts, until [`unrevoke`](Self::unrevoke). It is on the disk then. To revoke it again
    /// changes nothing.
    ///
    /// No reason stands in the way: what is too long of it is cut, and control characters are
    /// replaced.
    ///
    /// # Errors
    /// [`StoreError::TooManyRevoked`]; [`StoreError::State`] if what was revoked before is damaged or
    /// lost, and whatever keeps it from being written.
    pub fn revoke(&self, manifest: &Sha256, reason: &str) -> Result<()> {
        self.change(|manifests| {
            if manifests.contains_key(manifest) {
                return Ok(false);
            }
            if manifests.len() >= Self::MOST_REVOKED {
                let (path, most) = (self.folder.path_of(REVOKED), Self::MOST_REVOKED);
                return Err(StoreError::TooManyRevoked { path, most });
            }
            manifests.insert(*manifest, presentable(reason));
            Ok(true)
        })
        .map(drop)
    }

    /// Takes back what [`revoke`](Self::revoke) recorded; whether it was revoked here. An operator's
    /// decision, never a program's. What a signed list or a trust policy revoked stays revoked.
    ///
    /// # Errors
    /// [`StoreError::State`] if what was revoked is damaged or lost, and whatever keeps it from being
    /// written.
    pub fn unrevoke(&self, manifest: &Sha256) -> Result<bool> {
        self.change(|manifests| Ok(manifests.remove(manifest).is_some()))
    }

    /// The manifests that were revoked at this place, with the reasons.
    ///
    /// # Errors
    /// [`StoreError::State`] if there were some and they are damaged or lost.
    pub fn revoked(&self) -> Result<BTreeMap<Sha256, String>> {
        Ok(self.read_revoked()?.manifests)
    }

    /// Changes the file where `edit` says that it changed something; returns that.
    fn change(
        &self,
        edit: impl FnOnce(&mut BTreeMap<Sha256, String>) -> Result<bool>,
    ) -> Result<bool> {
        let (_lock, drafts) = self.begin()?;
        let mut index = self.begun_index(&drafts)?;
        let mut revoked = self.read_revoked()?;
        let changed = edit(&mut revoked.manifests)?;
        if changed {
            revoked.sequence = revoked.sequence.saturating_add(1);
            write(&self.folder, REVOKED, &revoked, &drafts)?;
        }
        // A crash may have left an index that does not know of the file.
        if revoked.sequence > 0 && index.revoked != Some(revoked.sequence) {
            index.revoked = Some(revoked.sequence);
            self.write_index(&index, &drafts)?;
        }
        Ok(changed)
    }

    fn read_revoked(&self) -> Result<Revoked> {
        let path = self.folder.path_of(REVOKED);
        // The index is read first and written last: it may know of an older file than lies there,
        // of no newer one.
        let least = self.index()?.and_then(|index| index.revoked);
        let Some(bytes) = self.folder.read(REVOKED, BYTES)? else {
            return match least {
                Some(_) => Err(StoreError::state(&path, LOST)),
                None => Ok(Revoked::default()),
            };
        };
        let revoked: Revoked = parse(&path, &bytes)?;
        match Some(revoked.sequence) < least {
            true => Err(StoreError::state(&path, "an older one than was written")),
            false => Ok(revoked),
        }
    }

    /// Removes a file that cannot be read: nobody knows what it revoked. Whether there was one.
    pub(crate) fn forget_unreadable_revoked(&self) -> Result<bool> {
        match self.read_revoked() {
            Err(StoreError::State { .. } | StoreError::Foreign { .. }) => {
                self.folder.remove(REVOKED)?;
                self.folder.flush().map(|()| true)
            }
            other => other.map(|_| false),
        }
    }

    /// As [`History::is_revoked`](tensorgate_verify::History::is_revoked).
    pub(crate) fn has_revoked(&self, manifest: &Sha256) -> io::Result<bool> {
        let revoked = self.read_revoked().map_err(io::Error::other)?;
        Ok(revoked.manifests.contains_key(manifest))
    }
}

/// What anybody may have written, on one line and of a bounded length.
fn presentable(reason: &str) -> String {
    let mut text = String::new();
    for c in reason.trim().chars() {
        let c = if c.is_control() { '\u{fffd}' } else { c };
        if text.len() + c.len_utf8() > State::MOST_REASON {
            break;
        }
        text.push(c);
    }
    match text.is_empty() {
        true => "no reason was given".to_owned(),
        false => text,
    }
}
