//! From *untrusted* to *verified*, one file at a time.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rayon::prelude::*;

use crate::content::{check_other, name_refusal, refuse_kind};
use crate::error::{Error, Findings, Rejected, Rejections, Result};
use crate::header::{Header, Tensor};
use crate::manifest::{FileEntry, TensorEntry};
use crate::memory::{Filling, Guarded, LeaseHolder, Unguarded};
use crate::polyglot::refuse_polyglot;
use crate::scan::Scan;
use crate::{
    Blake3, Evidence, File, FilePath, Hold, Kind, Manifest, Rejection, Rules, Sha256, Verified,
};

/// An open file that nobody vouches for.
#[derive(Debug)]
pub struct Untrusted {
    file: std::fs::File,
    len: u64,
    guard: Option<(FilePath, LeaseHolder)>,
}

/// What a verified manifest says about one file: the only thing that can verify it.
///
/// ```
/// use tensorgate_verify::{Proof, Rejection};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// let (manifest, rules) = (example.manifest()?, example.trust.rules());
/// let (directory, path) = (open(example.folder.path())?, "config.json".parse()?);
/// let claim = manifest.claim(&path, rules).ok_or("not in the manifest")?;
/// assert_eq!(claim.check(directory.open(&path)?, Proof::Tensors)?.bytes(), br#"{"type": "mlp"}"#);
///
/// // Another file of the same size is not the one that was signed.
/// std::fs::write(example.folder.path().join("config.json"), br#"{"type": "mlq"}"#)?;
/// let error = claim.check(directory.open(&path)?, Proof::Tensors).unwrap_err();
/// assert_eq!(error.rejection(), Some(Rejection::DigestMismatch));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Claim<'m> {
    entry: &'m FileEntry,
    evidence: &'m Arc<Evidence>,
    rules: &'m Rules,
}

/// How much of a weights file is proven again.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Proof {
    /// Header and every tensor by BLAKE3: together they are each byte of the file.
    #[default]
    Tensors,
    /// Besides, BLAKE3 and SHA-256 of the file as a whole.
    Whole,
}

impl Untrusted {
    /// Takes a file that was opened for reading.
    ///
    /// # Errors
    /// `file-not-regular`.
    pub fn new(file: std::fs::File) -> Result<Self> {
        let stat = file.metadata().map_err(|error| Error::io("file", error))?;
        if !stat.is_file() {
            return Err(Error::rejected(
                Rejection::FileNotRegular,
                "file",
                "not a regular file",
            ));
        }
        Ok(Self {
            file,
            len: stat.len(),
            guard: None,
        })
    }

    /// Holds the file itself, under a lease that `holder` answers for, where that can be.
    pub(crate) fn guarded_by(self, holder: &LeaseHolder, path: &FilePath) -> Self {
        let guard = Some((path.clone(), holder.clone()));
        Self { guard, ..self }
    }

    /// The file, for what is verified by other means: an envelope.
    pub fn into_file(self) -> std::fs::File {
        self.file
    }

    /// Bytes, as the file system had it when the file was opened.
    pub(crate) const fn len(&self) -> u64 {
        self.len
    }

    /// Up to `limit` first bytes.
    pub(crate) fn first_bytes(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).min(self.len);
        // Reads at offsets of its own, wherever the handle stands.
        while u64::try_from(bytes.len()).is_ok_and(|read| read < limit) {
            let mut piece = [0; 64 << 10];
            let at = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let wanted = usize::try_from(limit.saturating_sub(at)).unwrap_or(usize::MAX);
            let piece_len = piece.len().min(wanted);
            match self
                .file
                .read_at(piece.get_mut(..piece_len).unwrap_or_default(), at)?
            {
                0 => break,
                read => bytes.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
        Ok(bytes)
    }

    /// The whole file as bytes that cannot change, of which nothing is proven; never more than its
    /// size when it was opened.
    ///
    /// # Errors
    /// It cannot be read, or there is no memory for the copy that it takes.
    pub fn hold(self, kind: Kind) -> io::Result<Hold> {
        if !kind.is_large() {
            let len = usize::try_from(self.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
            return Ok(Hold::Owned(self.first_bytes(len)?.into()));
        }
        let (file, why) = match self.guard {
            None => (self.file, Unguarded::NotAsked),
            Some((path, holder)) => match Guarded::take(self.file, self.len, &path, &holder) {
                Ok(guarded) => return Ok(Hold::Guarded(guarded)),
                Err(refused) => refused,
            },
        };
        let filling = Filling::new(self.len)?;
        filling.copy_from(&file)?;
        filling.seal(why).map(Hold::Sealed)
    }
}

impl Verified<Manifest> {
    /// What the manifest says about `path`, or `None` where it says nothing.
    pub fn claim<'m>(&'m self, path: &FilePath, rules: &'m Rules) -> Option<Claim<'m>> {
        self.file(path).map(|entry| self.claim_of(entry, rules))
    }

    /// What it says about each of its files, in its order.
    pub(crate) fn claims<'m>(&'m self, rules: &'m Rules) -> impl Iterator<Item = Claim<'m>> {
        self.files.iter().map(|entry| self.claim_of(entry, rules))
    }

    fn claim_of<'m>(&'m self, entry: &'m FileEntry, rules: &'m Rules) -> Claim<'m> {
        let evidence = self.shared_evidence();
        Claim {
            entry,
            evidence,
            rules,
        }
    }
}

impl<'m> Claim<'m> {
    /// What was signed.
    pub(crate) const fn entry(&self) -> &'m FileEntry {
        self.entry
    }

    /// Proves that the file is, byte for byte, the one that was signed; then checks its content.
    ///
    /// # Errors
    /// `size-mismatch`, `digest-mismatch`, and what the content is refused for.
    pub fn check(self, untrusted: Untrusted, proof: Proof) -> Result<Verified<File>> {
        self.check_hold(self.hold(untrusted)?, proof)
    }

    /// The same for bytes that are held already.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_hold(self, hold: Hold, proof: Proof) -> Result<Verified<File>> {
        self.refuse_form(&hold)?;
        let FileEntry { path, kind, .. } = self.entry;
        let mut findings = Findings::default();
        let header = match &self.entry.tensors {
            Some(tensors) => Some(self.check_tensors(&hold, tensors, proof, &mut findings)?),
            None => {
                self.refuse_whole(&hold)?;
                check_other(path, *kind, &hold)?;
                None
            }
        };
        let notices = findings.into_result()?;
        self.rely_on(&hold)?;
        let file = File::new(self.entry, self.rules, hold, header).with_notices(notices);
        Ok(Verified::assertion(file, Arc::clone(self.evidence)))
    }

    /// Holds a file of the signed size, of which nothing else is known.
    pub(crate) fn hold(&self, untrusted: Untrusted) -> Result<Hold> {
        self.refuse_size(untrusted.len())?;
        let held = untrusted.hold(self.entry.kind);
        held.map_err(|error| self.unreadable(error))
    }

    /// Proves of safetensors the header, and of no tensor anything: the file is *not* verified.
    pub(crate) fn check_table(&self, hold: Hold) -> Result<File> {
        self.refuse_form(&hold)?;
        let header = self.check_header(&hold)?;
        let (path, mut findings) = (&self.entry.path, Findings::default());
        for Tensor { name, dtype, .. } in &header.tensors {
            let subject = format_args!("{path}#{name}");
            let content = &self.rules.content;
            content.judge_dtype(subject, *dtype, &mut findings);
        }
        refuse_polyglot(path, &hold, &mut findings);
        findings.into_result()?;
        self.rely_on(&hold)?;
        Ok(File::new(self.entry, self.rules, hold, Some(header)))
    }

    /// Proves one tensor of a file whose header was proven; what is let pass of it.
    pub(crate) fn check_tensor(
        &self,
        file: &File,
        index: usize,
    ) -> Result<Vec<Rejected>, Rejections> {
        let mut findings = Findings::default();
        let tensors = self.entry.tensors.as_deref().unwrap_or_default();
        if let (Some(tensor), Some(header)) = (tensors.get(index), file.header()) {
            let bytes = slice(file.bytes(), header.len, tensor);
            let scan = bytes.map(|bytes| Scan::of(tensor.dtype, bytes));
            self.judge(tensor, scan, &mut findings);
        }
        findings.into_verdict()
    }

    /// From now on somebody relies on the bytes.
    pub(crate) fn rely_on(&self, hold: &Hold) -> Result<()> {
        let relied_on = hold.rely_on();
        relied_on.map_err(|error| self.unreadable(error))
    }

    /// What cannot be kept must be let go of: somebody waits to write, and there is no memory.
    pub(crate) fn refuse_lost(&self, hold: &Hold) -> Result<()> {
        let starved = hold.refuse_lost();
        starved.map_err(|error| self.unreadable(error))
    }

    /// Checks the first 8 + n bytes against `header_blake3` and the signed table.
    pub(crate) fn check_header(&self, bytes: &[u8]) -> Result<Header> {
        let len = usize::try_from(self.entry.header_len()).unwrap_or(usize::MAX);
        let prefix = bytes.get(..len).unwrap_or(bytes);
        if self.entry.header_blake3 != Some(Blake3::of(prefix)) {
            return Err(self.mismatch("header_blake3", "the header is not the signed one"));
        }
        let header = Header::parse(prefix, self.entry.size, &self.rules.limits)
            .map_err(|error| name_refusal(&self.entry.path, prefix, error))?;
        let signed = self.entry.tensors.as_deref().unwrap_or_default();
        if !signed
            .iter()
            .map(TensorEntry::row)
            .eq(header.tensors.iter().map(Tensor::row))
        {
            return Err(Error::rejected(
                Rejection::ManifestMalformed,
                &self.entry.path,
                "`tensors` is not the table of the signed header",
            ));
        }
        Ok(header)
    }

    fn check_tensors(
        &self,
        hold: &Hold,
        tensors: &[TensorEntry],
        proof: Proof,
        findings: &mut Findings,
    ) -> Result<Header> {
        if proof == Proof::Whole {
            self.refuse_whole(hold)?;
        }
        let header = self.check_header(hold)?;
        let proofs: Vec<Option<Scan>> = tensors
            .par_iter()
            .map(|tensor| {
                let bytes = slice(hold, header.len, tensor)?;
                // What cannot be kept must be let go of soon.
                let kept = !hold.is_lost();
                kept.then(|| Scan::of(tensor.dtype, bytes))
            })
            .collect();
        self.refuse_lost(hold)?;
        for (tensor, scan) in tensors.iter().zip(proofs) {
            self.judge(tensor, scan, findings);
        }
        refuse_polyglot(&self.entry.path, hold, findings);
        Ok(header)
    }

    /// Whether the tensor is the signed one, and its numbers are what the rules let pass.
    fn judge(&self, tensor: &TensorEntry, scan: Option<Scan>, findings: &mut Findings) {
        // The subject is made into text only where something is found.
        let subject = format_args!("{}#{}", self.entry.path, tensor.name);
        match scan.filter(|scan| scan.blake3 == tensor.blake3) {
            Some(scan) => scan.judge(subject, tensor.dtype, &self.rules.content, findings),
            None => {
                let detail = "the tensor is not the signed one";
                findings.reject(Rejection::DigestMismatch, subject, detail);
            }
        }
    }

    /// What is judged before a byte is looked at.
    fn refuse_form(&self, hold: &Hold) -> Result<()> {
        self.refuse_size(u64::try_from(hold.len()).unwrap_or(u64::MAX))?;
        refuse_kind(&self.entry.path, self.entry.kind, self.rules)
    }

    /// A tensor that nobody looked at is refused.
    pub(crate) fn unproven(&self, index: usize) -> Error {
        let detail = format!("nobody proved the tensor at {index} of the table");
        Error::rejected(Rejection::DigestMismatch, &self.entry.path, detail)
    }

    fn refuse_whole(&self, hold: &Hold) -> Result<()> {
        if Blake3::of(hold) != self.entry.blake3 {
            return Err(self.mismatch("blake3", "the bytes are not the signed ones"));
        }
        if Sha256::of(hold) != self.entry.sha256 {
            return Err(self.mismatch("sha256", "the bytes are not the signed ones"));
        }
        Ok(())
    }

    fn refuse_size(&self, len: u64) -> Result<()> {
        if len == self.entry.size {
            return Ok(());
        }
        let detail = format!("{len} bytes, {} were signed", self.entry.size);
        Err(Error::rejected(
            Rejection::SizeMismatch,
            &self.entry.path,
            detail,
        ))
    }

    fn mismatch(&self, digest: &str, what: &str) -> Error {
        Error::rejected(
            Rejection::DigestMismatch,
            &self.entry.path,
            format!("{what} ({digest})"),
        )
    }

    fn unreadable(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Error::rejected(
                Rejection::SizeMismatch,
                &self.entry.path,
                "the file shrank while it was read",
            ),
            _ => Error::io(&self.entry.path, error),
        }
    }
}

/// The bytes of `tensor` in a file whose data begins at `header_len`.
pub(crate) fn slice<'h>(hold: &'h [u8], header_len: u64, tensor: &TensorEntry) -> Option<&'h [u8]> {
    range(
        hold,
        header_len.checked_add(tensor.begin)?,
        tensor.byte_len(),
    )
}

pub(crate) fn range(bytes: &[u8], begin: u64, len: u64) -> Option<&[u8]> {
    let begin = usize::try_from(begin).ok()?;
    bytes.get(begin..begin.checked_add(usize::try_from(len).ok()?)?)
}
