//! The set of files is exactly the manifest's.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::content::MANIFEST_FILE;
use crate::error::{Error, Findings, Result};
use crate::{Claim, Directory, FilePath, Hold, Manifest, Rejection, Rules, Untrusted, Verified};

impl Verified<Manifest> {
    /// Checks each file of a directory that has these files and no other; what came of it, in the
    /// manifest's order.
    ///
    /// # Errors
    /// `file-*`, and every refusal of `check`.
    pub(crate) fn check_files<T: Send>(
        &self,
        directory: &Directory,
        rules: &Rules,
        check: impl Fn(Claim<'_>, Untrusted) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let mut findings = Findings::default();
        let present: BTreeSet<FilePath> = directory
            .list(&rules.limits, &mut findings)?
            .into_iter()
            .collect();
        for path in &present {
            if self.file(path).is_none() && path.as_str() != MANIFEST_FILE {
                findings.reject(Rejection::FileUnexpected, path, "not in the manifest");
            }
        }
        let claims: Vec<Claim<'_>> = self.claims(rules).collect();
        let checked = claims.into_par_iter().map(|claim| {
            let path = &claim.entry().path;
            match present.contains(path) {
                true => check(claim, directory.open(path)?),
                false => Err(missing(path)),
            }
        });
        all(checked.collect(), findings)
    }

    /// The same of bytes that are held already, whoever handed them over.
    ///
    /// # Errors
    /// `file-missing`, `file-unexpected`, and every refusal of `check`.
    pub(crate) fn check_holds<T: Send>(
        &self,
        holds: Vec<(FilePath, Hold)>,
        rules: &Rules,
        check: impl Fn(Claim<'_>, Hold) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let (mut findings, mut there) = (Findings::default(), BTreeMap::new());
        for (path, hold) in holds {
            if self.file(&path).is_none() {
                findings.reject(Rejection::FileUnexpected, path, "not in the manifest");
                continue;
            }
            match there.entry(path) {
                Entry::Vacant(place) => {
                    place.insert(hold);
                }
                Entry::Occupied(place) => {
                    let path = place.key();
                    findings.reject(Rejection::FileUnexpected, path, "handed over twice");
                }
            }
        }
        let claims: Vec<(Claim<'_>, Option<Hold>)> = self
            .claims(rules)
            .map(|claim| (claim, there.remove(&claim.entry().path)))
            .collect();
        let checked = claims.into_par_iter().map(|(claim, hold)| match hold {
            Some(hold) => check(claim, hold),
            None => Err(missing(&claim.entry().path)),
        });
        all(checked.collect(), findings)
    }
}

/// All of them, or every refusal.
fn all<T>(checked: Vec<Result<T>>, mut findings: Findings) -> Result<Vec<T>> {
    let mut files = Vec::new();
    for result in checked {
        files.extend(findings.note(result)?);
    }
    findings.into_result()?;
    Ok(files)
}

fn missing(path: &FilePath) -> Error {
    let detail = "listed in the manifest, not there";
    Error::rejected(Rejection::FileMissing, path, detail)
}
