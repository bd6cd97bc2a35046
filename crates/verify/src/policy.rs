//! A whole policy: every file of one manifest, or nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;
use safetensors::tensor::TensorView;

use crate::audit::{Declared, Document, is_interpreted, judge};
use crate::content::MANIFEST_FILE;
use crate::error::{Error, Findings, Rejected, Result};
use crate::{Directory, File, FilePath, Kind, Manifest, Proof, Rejection, Rules, Verified};

/// A manifest and all its files, held so that they cannot change.
///
/// Inside [`Verified`], it is what may be published, handed off and read.
#[derive(Debug)]
pub struct Policy {
    manifest: Manifest,
    files: Vec<File>,
    notices: Vec<Rejected>,
}

impl Verified<Manifest> {
    /// Proves a whole directory: its files are exactly the manifest's (dotfiles, links and
    /// strangers included), and each is what was signed.
    ///
    /// # Errors
    /// Every rejection that was found: `file-*`, `size-mismatch`, `digest-mismatch`, and what the
    /// content is refused for.
    pub fn open(
        self,
        directory: &Directory,
        proof: Proof,
        rules: &Rules,
    ) -> Result<Verified<Policy>> {
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
        let check = |path: &FilePath| {
            let missing = || {
                Error::rejected(
                    Rejection::FileMissing,
                    path,
                    "listed in the manifest, not there",
                )
            };
            let claim = self
                .claim(path, rules)
                .filter(|_| present.contains(path))
                .ok_or_else(missing)?;
            claim.check(directory.open(path)?, proof)
        };
        let checked: Vec<_> = self
            .files
            .par_iter()
            .map(|entry| check(&entry.path))
            .collect();
        let mut files = Vec::new();
        for result in checked {
            files.extend(findings.note(result)?);
        }
        findings.into_result()?;
        self.into_policy(files, rules)
    }

    /// Puts verified files together: all of this manifest, each once; then judges what they say
    /// together.
    ///
    /// # Errors
    /// `file-missing`, `file-unexpected`, and what the audit refuses: `config-*`, `processor-*`,
    /// `external-unpinned`, `remote-code-requested`, `code-*`, `normalizer-degenerate`,
    /// `weights-index-invalid`, `json-malformed`.
    pub fn into_policy(
        self,
        mut files: Vec<Verified<File>>,
        rules: &Rules,
    ) -> Result<Verified<Policy>> {
        let foreign = |file: &&Verified<File>| file.evidence().manifest != self.evidence().manifest;
        if let Some(file) = files.iter().find(foreign) {
            return Err(Error::rejected(
                Rejection::FileUnexpected,
                file.path(),
                "verified by another manifest",
            ));
        }
        files.sort_by(|a, b| a.path().cmp(b.path()));
        let listed = self.files.iter().map(|entry| &entry.path);
        if !listed.eq(files.iter().map(|file| file.path())) {
            return Err(Error::rejected(
                Rejection::FileMissing,
                "files",
                "not each file of the manifest, once",
            ));
        }
        let files: Vec<File> = files.into_iter().map(Verified::into_inner).collect();
        let notices = self.audit(&files, rules)?;
        let evidence = Arc::clone(self.shared_evidence());
        let manifest = self.into_inner();
        let policy = Policy {
            manifest,
            files,
            notices,
        };
        Ok(Verified::assertion(policy, evidence))
    }

    /// The audit of a policy whose files were proven one by one; what it lets pass with a word.
    fn audit(&self, files: &[File], rules: &Rules) -> Result<Vec<Rejected>> {
        let documents: Vec<Document<'_>> = self
            .files
            .iter()
            .zip(files)
            .map(|(entry, file)| Document {
                path: &entry.path,
                kind: entry.kind,
                sha256: entry.sha256,
                bytes: if is_interpreted(entry.kind) {
                    file.bytes()
                } else {
                    &[]
                },
                header: file.header(),
            })
            .collect();
        let declared = Declared {
            repo_type: self.repo.repo_type,
            externals: &self.externals,
            reviewed_code: &self.reviewed_code,
        };
        let mut findings = Findings::default();
        judge(&documents, declared, &rules.content, &mut findings);
        let let_pass = findings.into_result()?;
        let of_manifest = self.evidence().notices.iter();
        let of_files = files.iter().flat_map(File::notices);
        Ok(of_manifest
            .chain(of_files)
            .cloned()
            .chain(let_pass)
            .collect())
    }
}

impl Policy {
    /// What was signed.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What was found, in the manifest and the files, and let pass by the trust policy.
    pub fn notices(&self) -> &[Rejected] {
        &self.notices
    }

    /// Every file, in path order.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// One file.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path().as_str() == path)
    }

    /// The files that hold tensors.
    pub fn tensor_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.kind().is_tensors())
    }

    /// One tensor of the network's weights, whichever shard holds it.
    pub fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.files
            .iter()
            .filter(|file| file.kind() == Kind::Weights)
            .find_map(|file| file.tensor(name))
    }
}
