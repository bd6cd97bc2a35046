//! A directory is compared with what was signed: the same files, no more and no fewer.

use std::collections::BTreeMap;

use tensorgate_verify::{
    Directory, FileEntry, FilePath, Findings, Rejected, Rejection, Result, Sha256, Survey,
};

use crate::resources::Resource;
use crate::statement::SINGLE_FILE;
use crate::{Signer, Statement};

/// What an OMS signature proves: each of these files was, when it was read, the one that somebody
/// trusted signed, nothing lay beside them, and their content passed every rule.
///
/// It is *not* a `Verified<Policy>` and cannot become one: see
/// [`NOT_PROMISED`](crate::NOT_PROMISED).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attested {
    /// Who signed; at least one.
    pub signers: Vec<Signer>,
    /// SHA-256 of the signed statement.
    pub statement: Sha256,
    /// What the signer called the model. Nothing is bound to it.
    pub name: String,
    /// Every file, in path order.
    pub files: Vec<FileEntry>,
    /// What was found in the content and let pass by the rules.
    pub notices: Vec<Rejected>,
    /// Where the statement departs from the specification without harm.
    pub remarks: Vec<&'static str>,
}

impl Statement {
    /// Checks a directory's content with every rule that a verifier has for it, and compares the
    /// very bytes with what was signed.
    ///
    /// Every file must have been signed, whatever `ignore_paths` says: those of git, too. Only the
    /// bundle itself may lie there, if the survey is told so (`Survey::beside`).
    ///
    /// # Errors
    /// What a survey refuses; `file-missing`, `file-unexpected`, `size-mismatch`,
    /// `digest-mismatch`.
    pub fn open(&self, directory: &Directory, survey: Survey<'_>) -> Result<Attested> {
        let mut hashed = BTreeMap::new();
        let surveyed = survey.run_with(directory, |path, bytes| {
            let signed = self.files.get(path.as_str());
            let signed = signed.or_else(|| self.files.get(SINGLE_FILE));
            if let Some(resource) = self.layout.of_bytes(bytes, signed) {
                hashed.insert(path.clone(), resource);
            }
        })?;
        self.compare(&surveyed.files, &hashed)?;
        Ok(Attested {
            signers: self.signers.clone(),
            statement: self.digest,
            name: self.name.clone(),
            files: surveyed.files,
            notices: surveyed.notices,
            remarks: self.remarks.clone(),
        })
    }

    fn compare(&self, files: &[FileEntry], hashed: &BTreeMap<FilePath, Resource>) -> Result<()> {
        let mut findings = Findings::default();
        for entry in files {
            let found = self.layout.of_entry(entry);
            let found = found.as_ref().or_else(|| hashed.get(&entry.path));
            match (self.signed(entry, files), found) {
                (Some(signed), Some(found)) => compare(signed, found, entry, &mut findings),
                _ => findings.reject(
                    Rejection::FileUnexpected,
                    &entry.path,
                    "nobody signed it, and paths that the signer ignored do not count: have it signed or remove it",
                ),
            }
        }
        let find = |path: &str| files.binary_search_by(|entry| entry.path.as_str().cmp(path));
        let missing = |path: &&String| *path != SINGLE_FILE && find(path).is_err();
        for path in self.files.keys().filter(missing) {
            findings.reject(
                Rejection::FileMissing,
                path,
                "it was signed and is not there",
            );
        }
        findings.into_result().map(drop)
    }

    /// What was signed of a file. One that was signed without its name is the only one.
    fn signed(&self, entry: &FileEntry, files: &[FileEntry]) -> Option<&Resource> {
        let only = self.files.get(SINGLE_FILE).filter(|_| files.len() == 1);
        only.or_else(|| self.files.get(entry.path.as_str()))
    }
}

fn compare(signed: &Resource, found: &Resource, entry: &FileEntry, findings: &mut Findings) {
    if let (Some(signed), Some(found)) = (signed.len, found.len)
        && signed != found
    {
        let detail = format!("{found} bytes, {signed} were signed");
        findings.reject(Rejection::SizeMismatch, &entry.path, detail);
        return;
    }
    let pairs = signed.digests.iter().zip(&found.digests);
    for (number, (signed, found)) in pairs.enumerate().filter(|(_, (a, b))| a != b) {
        let [signed, found] = [signed, found].map(|digest| base16ct::lower::encode_string(digest));
        let detail = format!("digest {number} is {found}, signed is {signed}");
        findings.reject(Rejection::DigestMismatch, &entry.path, detail);
    }
}
