//! A whole policy: every file of one manifest, or nothing.

use std::sync::Arc;

use safetensors::tensor::TensorView;

use crate::audit::{Declared, Document, is_interpreted, judge};
use crate::claim::Claim;
use crate::error::{Error, Findings, Rejected, Result};
use crate::{Directory, File, FilePath, Hold, Kind, Manifest, Proof, Rejection, Rules, Verified};

/// A manifest and all its files, held so that they cannot change.
///
/// Inside [`Verified`], it is what may be published, handed off and read.
#[derive(Debug)]
pub struct Policy {
    manifest: Arc<Manifest>,
    files: Arc<[File]>,
    /// Of the manifest, of the files, of all of them together, in this order.
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
        let check = |claim: Claim<'_>, file| claim.check(file, proof);
        let files = self.check_files(directory, rules, check)?;
        self.into_policy(files, rules)
    }

    /// The same for bytes that are held already: of every file of the manifest, once.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_holds(
        self,
        holds: Vec<(FilePath, Hold)>,
        proof: Proof,
        rules: &Rules,
    ) -> Result<Verified<Policy>> {
        let check = |claim: Claim<'_>, hold| claim.check_hold(hold, proof);
        let files = self.check_holds(holds, rules, check)?;
        self.into_policy(files, rules)
    }

    /// The policy that is held, again, under proof that its manifest counts now: what was hashed is
    /// not hashed again.
    ///
    /// Its bytes cannot have changed, and this manifest is the one that they were proven by, byte
    /// for byte. What the files say was judged by these rules and from nothing but the two. The
    /// signatures, and whether they still count, were judged when `self` was authenticated; what is
    /// let pass of that is said anew. Weights were proven as far as they were then ([`Proof`]).
    ///
    /// `None` where that is not so (another manifest, another trust policy, other rules), or the
    /// bytes cannot be kept any longer: then [`open`](Self::open) decides.
    pub fn reopen(&self, held: &Verified<Policy>, rules: &Rules) -> Option<Verified<Policy>> {
        let (now, then) = (self.evidence(), held.evidence());
        let is_same = now.manifest == then.manifest && now.trust_policy == then.trust_policy;
        let lasts = |file: &File| file.rules() == rules && !file.hold().is_lost();
        if !is_same || !held.files.iter().all(lasts) {
            return None;
        }
        let of_content = held.notices.iter().skip(then.notices.len());
        let policy = Policy {
            manifest: Arc::clone(&held.manifest),
            files: Arc::clone(&held.files),
            notices: now.notices.iter().chain(of_content).cloned().collect(),
        };
        Some(Verified::assertion(
            policy,
            Arc::clone(self.shared_evidence()),
        ))
    }

    /// Puts verified files together: all of this manifest, each once, judged by these rules; then
    /// judges what they say together.
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
        if let Some(file) = files.iter().find(|file| file.rules() != rules) {
            return Err(Error::rejected(
                Rejection::FileUnexpected,
                file.path(),
                "verified by other rules",
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
        let files = files.into_iter().map(Verified::into_inner).collect();
        self.into_audited(files, rules)
    }

    /// Judges files that were proven, in the manifest's order, and makes the policy of them.
    pub(crate) fn into_audited(self, files: Vec<File>, rules: &Rules) -> Result<Verified<Policy>> {
        let notices = self.audit(files.iter(), rules)?;
        let evidence = Arc::clone(self.shared_evidence());
        let policy = Policy {
            manifest: Arc::new(self.into_inner()),
            files: files.into(),
            notices,
        };
        Ok(Verified::assertion(policy, evidence))
    }

    /// The audit of a policy whose files were proven one by one, headers at least; what is let pass
    /// with a word.
    pub(crate) fn audit<'f>(
        &self,
        files: impl Iterator<Item = &'f File> + Clone,
        rules: &Rules,
    ) -> Result<Vec<Rejected>> {
        let documents: Vec<Document<'_>> = self
            .files
            .iter()
            .zip(files.clone())
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
        let mut notices = self.evidence().notices.clone();
        notices.extend(files.flat_map(File::notices).cloned());
        notices.extend(let_pass);
        Ok(notices)
    }
}

impl Policy {
    /// What was signed.
    pub fn manifest(&self) -> &Manifest {
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
