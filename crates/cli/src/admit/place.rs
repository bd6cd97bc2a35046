//! Where a manifest goes that others have yet to sign, or that is wanted outside the store.

use std::path::{Path, PathBuf};

use tensorgate_verify::{Limits, MANIFEST_FILE, SignedManifest};

use crate::args::admit::Admit;
use crate::beside;
use crate::disk;
use crate::failure::Failure;

/// The manifest of another signer, where there is one, and the file that is written.
pub(super) struct Place {
    pub(super) proposed: Option<SignedManifest>,
    path: PathBuf,
    /// Whether it is written where one signer is enough, too.
    always: bool,
}

impl Place {
    /// # Errors
    /// Something is there that would be lost.
    pub(super) fn of(args: &Admit, several: bool, limits: &Limits) -> Result<Self, Failure> {
        let read = |path: &PathBuf| disk::manifest_at(path, limits);
        let proposed = args.manifest.as_ref().map(read).transpose()?;
        let place = Self {
            proposed,
            path: match (&args.out, &args.manifest) {
                (Some(path), _) | (None, Some(path)) => path.clone(),
                (None, None) => MANIFEST_FILE.into(),
            },
            always: args.out.is_some() || args.manifest.is_some(),
        };
        let is_read = args.manifest.as_deref() == Some(&place.path);
        if (place.always || several) && !is_read {
            place.refuse_existing()?;
        }
        Ok(place)
    }

    fn refuse_existing(&self) -> Result<(), Failure> {
        let path = &self.path;
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Failure::io("look at", path, &error)),
            Ok(_) => {
                let detail = format!(
                    "{path:?} is there, and the manifest would go there; nothing was touched"
                );
                let hint = format!(
                    "`--manifest {}` adds a signature to it; or give another --out",
                    path.display()
                );
                Err(Failure::about(path, detail).hint(hint))
            }
        }
    }

    /// Writes it where others have to sign, too.
    pub(super) fn pending(&self, signed: &SignedManifest) -> Result<&Path, Failure> {
        // Over nothing but the manifest as it was read: another signer may have come meanwhile.
        let earlier = self.proposed.as_ref().unwrap_or(signed).to_bytes();
        let written = disk::put(&self.path, &earlier, &signed.to_bytes());
        written.map_err(|error| beside::cannot("the manifest", &self.path, &error))?;
        Ok(&self.path)
    }

    /// Writes it where that was asked for.
    pub(super) fn complete(&self, signed: &SignedManifest) -> Result<Option<&Path>, Failure> {
        match self.always {
            true => self.pending(signed).map(Some),
            false => Ok(None),
        }
    }
}
