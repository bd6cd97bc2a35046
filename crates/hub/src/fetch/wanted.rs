//! A file that is wanted, and whether what is found is it.

use std::sync::Arc;

use tensorgate_store::{PartName, Quarantine, Recorded, Store};
use tensorgate_verify::{FileEntry, FilePath, Kind, Rejection};

use crate::error::FetchError;
use crate::fetch::hash::Digests;
use crate::listing::{Content, ListedFile};
use crate::transfer::blocking;

/// A file to be fetched: what the listing says of it, and the manifest if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) listed: ListedFile,
    /// What its name stands for; of a manifest, nothing.
    pub(crate) kind: Option<Kind>,
    pub(crate) signed: Option<FileEntry>,
}

impl Wanted {
    pub(crate) const fn path(&self) -> &FilePath {
        &self.listed.path
    }

    /// Where its bytes wait while they are not all there. Of a file that was signed, that is no
    /// matter of what somebody lists.
    pub(crate) fn part_name(&self) -> PartName {
        let ListedFile { path, size, .. } = &self.listed;
        match (&self.signed, &self.listed.content) {
            (Some(signed), _) => signed_part(signed),
            (None, Content::Git(id)) => PartName::of(path, *size, format_args!("git:{id}")),
            (None, Content::Lfs(id)) => PartName::of(path, *size, format_args!("sha256:{id}")),
        }
    }

    /// Takes it from the store, where that has it from another release; then it is to be read, as
    /// anything that lies in quarantine.
    pub(crate) fn borrow(&self, store: &Store, quarantine: &Quarantine) -> Result<(), FetchError> {
        match &self.signed {
            Some(FileEntry { size, blake3, .. }) => {
                Ok(quarantine.borrow(store, self.path(), *size, blake3)?)
            }
            None => Ok(()),
        }
    }

    /// A file that an earlier, unfinished download left, if it is right.
    pub(crate) async fn kept(
        &self,
        quarantine: &Arc<Quarantine>,
    ) -> Result<Option<Recorded>, FetchError> {
        let (this, quarantine) = (self.clone(), Arc::clone(quarantine));
        blocking(move || this.kept_in(&quarantine)).await
    }

    /// The same, for whoever may wait for the disk.
    pub(crate) fn kept_in(&self, quarantine: &Quarantine) -> Result<Option<Recorded>, FetchError> {
        let Some(file) = quarantine.open_file(self.path())? else {
            return Ok(None);
        };
        let digests = Digests::of(file, &self.listed);
        Ok(digests.ok().and_then(|digests| self.judge(&digests).ok()))
    }

    /// Compares what came with what was listed, and with what was signed.
    pub(crate) fn judge(&self, found: &Digests) -> Result<Recorded, FetchError> {
        let ListedFile { path, size, .. } = &self.listed;
        if found.size != *size {
            let detail = format!("{} bytes came, {size} are listed", found.size);
            return Err(FetchError::rejected(Rejection::SizeMismatch, path, detail));
        }
        let differs = |detail| FetchError::rejected(Rejection::DigestMismatch, path, detail);
        match self.listed.content {
            Content::Git(id) if found.git != Some(id) => {
                return Err(differs(format!("its git id is not {id}, which is listed")));
            }
            Content::Lfs(sha256) if sha256 != found.sha256 => {
                let found = found.sha256;
                return Err(differs(format!(
                    "its sha256 is {found}, {sha256} is listed"
                )));
            }
            _ => {}
        }
        if let Some(signed) = &self.signed
            && (signed.sha256, signed.blake3) != (found.sha256, found.blake3)
        {
            return Err(differs("it is not the file that was signed".into()));
        }
        let (sha256, blake3) = (found.sha256, found.blake3);
        Ok(Recorded::new(path.clone(), *size, sha256, blake3))
    }

    pub(crate) fn refuse_size(&self, than: &str) -> FetchError {
        let detail = format!("{than} bytes came than the {} listed", self.listed.size);
        FetchError::rejected(Rejection::SizeMismatch, self.path(), detail)
    }
}

/// Where the bytes of a file that was signed wait.
pub(crate) fn signed_part(file: &FileEntry) -> PartName {
    PartName::of(
        &file.path,
        file.size,
        format_args!("sha256:{}", file.sha256),
    )
}
