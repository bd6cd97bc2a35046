//! What of a listing is fetched: what a policy has, or exactly what was signed.

use tensorgate_store::{PartName, Quarantine, Store};
use tensorgate_verify::{FilePath, Kind, Limits, MANIFEST_FILE, Manifest, Rejection};

use crate::error::FetchError;
use crate::fetch::Request;
use crate::fetch::wanted::Wanted;
use crate::limits::FetchLimits;
use crate::listing::{Content, Listing};
use crate::progress::Progress;

/// What is fetched, and what is not; both in path order.
#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) left_out: Vec<FilePath>,
    /// The bytes of all that is wanted.
    pub(crate) bytes: u64,
}

impl Choice {
    /// # Errors
    /// What was signed is not what is listed; one file, or all together, are more than is taken.
    pub(crate) fn of(
        request: &Request<'_>,
        listing: Listing,
        limits: &FetchLimits,
    ) -> Result<Self, FetchError> {
        let (wanted, left_out) = request.choose(listing)?;
        let bytes = refuse_too_large(&wanted, limits)?;
        Ok(Self {
            wanted,
            left_out,
            bytes,
        })
    }

    /// Leaves in quarantine what is wanted and nothing else, what the store has of it included, and
    /// begins, if the disk has the room.
    pub(crate) fn make_room(
        &self,
        store: &Store,
        quarantine: &Quarantine,
        progress: &dyn Progress,
    ) -> Result<(), FetchError> {
        quarantine.reopen()?;
        let paths: Vec<&FilePath> = self.wanted.iter().map(Wanted::path).collect();
        quarantine.remove_others(&paths)?;
        let parts: Vec<PartName> = self.wanted.iter().map(Wanted::part_name).collect();
        quarantine.remove_other_parts(&parts)?;
        for wanted in &self.wanted {
            wanted.borrow(store, quarantine)?;
        }
        quarantine.require_space(self.missing_bytes(quarantine)?)?;
        progress.start(self.wanted.len(), self.bytes);
        Ok(())
    }

    /// The bytes of all files but those that lie there, in full or in part, and stay if they are
    /// right.
    fn missing_bytes(&self, quarantine: &Quarantine) -> Result<u64, FetchError> {
        let mut missing = 0_u64;
        for wanted in &self.wanted {
            let size = wanted.listed.size;
            if quarantine.size_of(wanted.path())? != Some(size) {
                let part = quarantine.part_size(&wanted.part_name(), size)?;
                missing = missing.saturating_add(size.saturating_sub(part));
            }
        }
        Ok(missing)
    }
}

impl Request<'_> {
    /// Files of the kinds that such a repository has, and the manifest that may lie beside them.
    pub(crate) fn is_of_a_policy(&self, path: &FilePath) -> bool {
        Kind::of(path, self.target.repo_type).is_some() || path.as_str() == MANIFEST_FILE
    }

    /// What of a listing is fetched, and what is not; both in path order.
    fn choose(&self, listing: Listing) -> Result<(Vec<Wanted>, Vec<FilePath>), FetchError> {
        if let Some(manifest) = self.manifest {
            refuse_disagreement(manifest, &listing)?;
        }
        let (mut wanted, mut left_out) = (Vec::new(), Vec::new());
        for listed in listing.files {
            let signed = self
                .manifest
                .and_then(|manifest| manifest.file(&listed.path));
            if signed.is_some() || (self.manifest.is_none() && self.is_of_a_policy(&listed.path)) {
                let kind = Kind::of(&listed.path, self.target.repo_type);
                let signed = signed.cloned();
                wanted.push(Wanted {
                    listed,
                    kind,
                    signed,
                });
            } else {
                left_out.push(listed.path);
            }
        }
        Ok((wanted, left_out))
    }
}

/// What was signed must be what is listed, before anything of it is fetched.
fn refuse_disagreement(manifest: &Manifest, listing: &Listing) -> Result<(), FetchError> {
    for signed in &manifest.files {
        let path = &signed.path;
        let Some(listed) = listing.file(path) else {
            let detail = "in the manifest, and not in the commit's listing";
            return Err(FetchError::rejected(Rejection::FileMissing, path, detail));
        };
        if listed.size != signed.size {
            let detail = format!(
                "{} bytes are listed, {} were signed",
                listed.size, signed.size
            );
            return Err(FetchError::rejected(Rejection::SizeMismatch, path, detail));
        }
        if let Content::Lfs(sha256) = listed.content
            && sha256 != signed.sha256
        {
            let detail = format!("sha256 {sha256} is listed, {} was signed", signed.sha256);
            return Err(FetchError::rejected(
                Rejection::DigestMismatch,
                path,
                detail,
            ));
        }
    }
    Ok(())
}

/// The bytes of all files; none of them is begun if one, or all together, are more than is taken.
fn refuse_too_large(wanted: &[Wanted], limits: &FetchLimits) -> Result<u64, FetchError> {
    let mut total = 0_u64;
    for Wanted { listed, kind, .. } in wanted {
        let limit = match kind {
            Some(kind) if kind.is_large() => limits.file_bytes,
            None if listed.path.as_str() == MANIFEST_FILE => Limits::default().manifest_bytes,
            _ => limits.small_file_bytes,
        };
        if listed.size > limit {
            return Err(FetchError::TooLarge {
                what: format!("bytes of {:?}", listed.path.as_str()).into(),
                value: listed.size,
                limit,
            });
        }
        total = total.saturating_add(listed.size);
    }
    if total > limits.total_bytes {
        return Err(FetchError::TooLarge {
            what: "bytes of all files".into(),
            value: total,
            limit: limits.total_bytes,
        });
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use tensorgate_verify::{RepoType, Sha256};

    use super::*;
    use crate::listing::ListedFile;

    fn wanted(path: &str, size: u64) -> Wanted {
        let listed = ListedFile {
            path: path.parse().unwrap(),
            size,
            content: Content::Lfs(Sha256::of(b"")),
        };
        Wanted {
            kind: Kind::of(&listed.path, RepoType::Model),
            listed,
            signed: None,
        }
    }

    #[test]
    fn a_file_may_be_as_large_as_its_kind_and_all_as_large_as_the_total() {
        let limits = FetchLimits::default();
        let manifest = Limits::default().manifest_bytes;
        let weights = |size| wanted("model.safetensors", size);
        let refused = |wanted: &[Wanted]| match refuse_too_large(wanted, &limits) {
            Err(FetchError::TooLarge { what, limit, .. }) => Some((what.into_string(), limit)),
            Ok(_) => None,
            Err(error) => panic!("{error}"),
        };
        let whole = [
            weights((64 << 30) - manifest),
            wanted(MANIFEST_FILE, manifest),
        ];
        assert_eq!(refused(&whole), None);
        let more = [weights(64 << 30), wanted("config.json", 1)];
        assert_eq!(
            refused(&more),
            Some(("bytes of all files".into(), 64 << 30))
        );
        for (path, limit) in [(MANIFEST_FILE, manifest), ("config.json", 16 << 20)] {
            let expected = (format!("bytes of {path:?}"), limit);
            assert_eq!(refused(&[wanted(path, limit + 1)]), Some(expected));
        }
    }

    #[test]
    fn what_lies_there_needs_no_room() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store")).unwrap();
        let (repo, revision) = ("a/b".parse().unwrap(), "a".repeat(40).parse().unwrap());
        let quarantine = store.quarantine(RepoType::Model, &repo, &revision).unwrap();
        let paths = ["whole.json", "half.json", "begun.json", "missing.json"];
        let wanted = paths.map(|path| wanted(path, 10));
        let part = wanted[2].part_name();
        let choice = Choice {
            wanted: wanted.into(),
            left_out: Vec::new(),
            bytes: 40,
        };
        let mut begun = quarantine.resume(&part, 10).unwrap();
        begun.write(&[0; 7]).unwrap();
        std::fs::write(quarantine.path().join("whole.json"), [0; 10]).unwrap();
        std::fs::write(quarantine.path().join("half.json"), [0; 5]).unwrap();
        assert_eq!(choice.missing_bytes(&quarantine).unwrap(), 10 + 3 + 10);
    }
}
