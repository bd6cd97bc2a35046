//! Reading everything again: whether what lies in the store is still what was put there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tensorgate_verify::{
    Accepted, Blake3, Manifest, Rejection, RepoId, RepoType, Revision, Sha256,
};

use crate::Store;
use crate::error::{Result, StoreError};
use crate::folder::Folder;
use crate::layout::{each_flaw, exposed};
use crate::policies::{hash, read_manifest};
use crate::record::{RECORD_BYTES, Record};
use crate::revocations::any_size;

/// What a look at the whole store found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Checked {
    /// Objects that were read.
    pub objects: u64,
    /// Directories of policies that were looked through.
    pub policies: u64,
    /// Records of finished downloads that were read.
    pub downloads: u64,
    /// Bytes of objects that were read.
    pub bytes: u64,
    /// What is not as it was put there; at most [`Checked::MOST`].
    pub damage: Vec<Damage>,
    /// How much damage there is besides.
    pub more_damage: u64,
    /// The policies that it spoils; at most [`Checked::MOST`].
    pub damaged: Vec<DamagedPolicy>,
}

/// One thing that is not as it was put there.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Damage {
    /// How it would be refused.
    pub rejection: Rejection,
    /// Where it is, beneath the store.
    pub path: PathBuf,
    /// What is wrong.
    pub detail: String,
}

/// A policy that has to be fetched again, if it is still wanted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DamagedPolicy {
    /// SHA-256 of the manifest's payload, the directory's name.
    pub manifest: Sha256,
    /// What it is of, as its manifest says; `None` where that is damaged, too.
    pub of: Option<(RepoType, RepoId, Revision)>,
    /// Whether another release is the accepted one, and no older: then this one is refused, whole or
    /// not.
    pub is_superseded: bool,
}

impl Checked {
    /// 1,000 of each kind: a disk that lost everything fills no log.
    pub const MOST: usize = 1_000;
}

impl Store {
    /// Reads everything again: objects against their names, policies against their manifests, the
    /// memory, and the records of downloads. Nothing is changed. `advanced` is told of bytes that were
    /// read, of [`object_bytes`](Self::object_bytes).
    ///
    /// That all is whole is no verdict: whoever wrote here may have written what fits together.
    ///
    /// # Errors
    /// [`StoreError::State`] if the memory is damaged, and whatever keeps anything from being read.
    pub fn check(&self, advanced: &mut dyn FnMut(u64)) -> Result<Checked> {
        self.quota()?;
        self.state.accepted()?;
        self.state.kept(&any_size())?;
        self.state.revoked()?;
        let mut checked = Checked::default();
        let damaged = self.check_objects(&mut checked, advanced)?;
        self.check_policies(&mut checked, &damaged)?;
        self.check_downloads(&mut checked)?;
        Ok(checked)
    }

    /// How much [`check`](Self::check) has to read, in bytes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn object_bytes(&self) -> Result<u64> {
        let mut bytes = 0_u64;
        self.objects.each_stat(&mut |stat| {
            bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        })?;
        Ok(bytes)
    }

    fn check_objects(
        &self,
        checked: &mut Checked,
        advanced: &mut dyn FnMut(u64),
    ) -> Result<BTreeSet<Blake3>> {
        let mut damaged = BTreeSet::new();
        for name in self.objects.entries()? {
            let name = name?;
            let path = Path::new("objects").join(&name);
            let Some(blake3) = parsed::<Blake3>(&name) else {
                checked.add(Rejection::FileUnexpected, path, "no object has this name");
                continue;
            };
            checked.objects += 1;
            match self.digest_of(&blake3.to_string(), advanced) {
                Ok(Some((digest, bytes))) => {
                    checked.bytes = checked.bytes.saturating_add(bytes);
                    match exposed(&self.objects, &name)? {
                        _ if digest != blake3 => {
                            let detail = format!("its BLAKE3 is {digest}");
                            checked.add(Rejection::DigestMismatch, path, detail);
                        }
                        Some(detail) => checked.add(Rejection::FileNotRegular, path, detail),
                        None => continue,
                    }
                }
                // Another process removed it meanwhile.
                Ok(None) => continue,
                Err(StoreError::Foreign { detail, .. }) => {
                    checked.add(Rejection::FileNotRegular, path, detail);
                }
                Err(error) if error.is_unreadable() => {
                    checked.add(Rejection::DigestMismatch, path, error.to_string());
                }
                Err(error) => return Err(error),
            }
            damaged.insert(blake3);
        }
        Ok(damaged)
    }

    /// Its digest and how many bytes that took.
    fn digest_of(
        &self,
        name: &str,
        advanced: &mut dyn FnMut(u64),
    ) -> Result<Option<(Blake3, u64)>> {
        let Some(file) = self.objects.open(name)? else {
            return Ok(None);
        };
        let mut read = 0_u64;
        let digest = hash(file, &mut |bytes| {
            read = read.saturating_add(bytes);
            advanced(bytes);
        });
        let failed = |error| StoreError::io("read", &self.objects.path_of(name), error);
        Ok(Some((digest.map_err(failed)?, read)))
    }

    fn check_policies(&self, checked: &mut Checked, damaged: &BTreeSet<Blake3>) -> Result<()> {
        for name in self.policies.entries()? {
            let name = name?;
            let path = Path::new("policies").join(&name);
            let Some(manifest) = parsed::<Sha256>(&name) else {
                checked.add(Rejection::FileUnexpected, path, "no policy has this name");
                continue;
            };
            checked.policies += 1;
            match self.policies.find_held(&manifest.to_string()) {
                Ok(Some(folder)) => self.check_policy(checked, &folder, manifest, damaged)?,
                // Another process removed it meanwhile.
                Ok(None) => {}
                Err(StoreError::Foreign { detail, .. }) => {
                    checked.add(Rejection::FileUnexpected, path, detail);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn check_policy(
        &self,
        checked: &mut Checked,
        folder: &Folder,
        name: Sha256,
        damaged: &BTreeSet<Blake3>,
    ) -> Result<()> {
        let path = Path::new("policies").join(name.to_string());
        let read = match read_manifest(folder, &name) {
            Err(error) if error.is_unreadable() => {
                Err((Rejection::ManifestMissing, error.to_string()))
            }
            read => read?,
        };
        let manifest = match read {
            Ok(manifest) => manifest,
            Err((rejection, detail)) => {
                checked.add(
                    rejection,
                    path.join(tensorgate_verify::MANIFEST_FILE),
                    detail,
                );
                checked.spoilt(DamagedPolicy {
                    manifest: name,
                    of: None,
                    is_superseded: false,
                });
                return Ok(());
            }
        };
        let files = manifest.files.iter();
        let files: Vec<_> = files.map(|file| (&file.path, file.blake3)).collect();
        let mut spoilt = files.iter().any(|(_, blake3)| damaged.contains(blake3));
        each_flaw(&self.objects, folder, &files, &mut |flaw| {
            spoilt = true;
            // The directory itself has no path in itself.
            let place = path.join(flaw.path).components().collect();
            checked.add(flaw.rejection, place, flaw.detail);
        })?;
        if spoilt {
            self.spoilt(checked, name, manifest)?;
        }
        Ok(())
    }

    fn spoilt(&self, checked: &mut Checked, name: Sha256, manifest: Manifest) -> Result<()> {
        let (repo, sequence) = (manifest.repo, manifest.sequence);
        let accepted = self.last_accepted(repo.repo_type, &repo.id)?;
        let newer = |last: Accepted| last.sequence >= sequence && last.manifest != name;
        checked.spoilt(DamagedPolicy {
            manifest: name,
            of: Some((repo.repo_type, repo.id, repo.revision)),
            is_superseded: accepted.is_some_and(newer),
        });
        Ok(())
    }

    fn check_downloads(&self, checked: &mut Checked) -> Result<()> {
        self.each_repository(&mut |repo| {
            for name in repo.entries()? {
                let name = name?;
                let revision = name.to_str().and_then(|name| name.strip_suffix(".json"));
                if revision.is_none_or(|name| name.parse::<Revision>().is_err()) {
                    continue;
                }
                checked.downloads += 1;
                let name = name.to_string_lossy();
                let read = match repo.read(&name, RECORD_BYTES) {
                    Ok(read) => read,
                    Err(StoreError::Foreign { .. }) => Some(Vec::new()),
                    Err(error) if error.is_unreadable() => Some(Vec::new()),
                    Err(error) => return Err(error),
                };
                let record = read.map(|bytes| serde_json::from_slice::<Record>(&bytes));
                if let Some(Err(error)) = record {
                    let path = self.within(repo).join(&*name);
                    let detail = format!("no record, so the files are fetched again: {error}");
                    checked.add(Rejection::JsonMalformed, path, detail);
                }
            }
            Ok(())
        })
    }
}

impl Checked {
    fn add(&mut self, rejection: Rejection, path: PathBuf, detail: impl Into<String>) {
        if self.damage.len() == Self::MOST {
            self.more_damage += 1;
            return;
        }
        let detail = detail.into();
        self.damage.push(Damage {
            rejection,
            path,
            detail,
        });
    }

    fn spoilt(&mut self, policy: DamagedPolicy) {
        if self.damaged.len() < Self::MOST {
            self.damaged.push(policy);
        }
    }
}

/// A name in the one spelling that the store writes.
fn parsed<T: std::str::FromStr + ToString>(name: &OsString) -> Option<T> {
    let name = name.to_str()?;
    let parsed: T = name.parse().ok()?;
    (parsed.to_string() == name).then_some(parsed)
}
