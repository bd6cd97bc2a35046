//! A policy that arrives in fragments.

use std::collections::BTreeMap;

use crate::claim::Claim;
use crate::cut::tensor_of;
use crate::error::{Error, Result};
use crate::memory::{Filling, Hold, Unguarded};
use crate::{
    Blake3, Cut, File, FileEntry, FilePath, FragmentSize, Manifest, Policy, Proof, Rejection,
    Rules, Span, Verified,
};

/// A policy that arrives in fragments, of which every accepted one is proven.
///
/// ```
/// use tensorgate_verify::{Assembly, Cut, FragmentSize, Rejection};
/// # mod setup { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doc/policy.rs")); }
/// # use setup::{Example, open};
/// # let example = Example::new()?;
/// // The sender cuts what it verified.
/// let (policy, size) = (example.policy()?, FragmentSize::DEFAULT);
/// let cut = Cut::new(policy.manifest(), size);
/// let (values, files) = (cut.digests(&policy), policy.files());
/// let small = files.iter().map(|file| {
///     let end = file.header().map_or(file.bytes().len(), |header| header.len as usize);
///     (file.path().clone(), file.bytes()[..end].to_vec())
/// });
///
/// // The receiver proves each fragment by itself, in any order.
/// let rules = example.trust.rules();
/// let mut assembly = Assembly::begin(example.manifest()?, small.collect(), size, values, rules)?;
/// assert_eq!(assembly.accept(0, b"forged!!").unwrap_err().rejection(), Some(Rejection::DigestMismatch));
/// for (index, span) in cut.spans().iter().enumerate() {
///     assembly.accept(index, cut.bytes(&policy, span).ok_or("no such fragment")?)?;
/// }
/// assert_eq!(assembly.finish()?.tensor("gain").ok_or("no gain")?.shape(), [2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Assembly {
    manifest: Verified<Manifest>,
    cut: Cut,
    digests: Vec<Blake3>,
    arrived: Vec<bool>,
    missing: usize,
    files: Vec<Part>,
    rules: Rules,
}

#[derive(Debug)]
enum Part {
    Small(Verified<File>),
    Tensors { filling: Filling, header_len: u64 },
}

impl Assembly {
    /// Begins to receive the policy of `manifest`.
    ///
    /// `small` gives, for each file, its bytes, or its first 8 + n bytes where it is safetensors;
    /// `digests` the subtree value of every fragment of `size`. All of it is untrusted and checked
    /// here, before memory is taken for one tensor.
    ///
    /// # Errors
    /// `file-missing`, `file-unexpected`, `size-mismatch`, `digest-mismatch`, and what the content
    /// is refused for.
    pub fn begin(
        manifest: Verified<Manifest>,
        small: Vec<(FilePath, Vec<u8>)>,
        size: FragmentSize,
        digests: Vec<Blake3>,
        rules: &Rules,
    ) -> Result<Self> {
        // Counted before a table of that length is made.
        let count = Cut::count(&manifest, size);
        if u64::try_from(digests.len()).ok() != Some(count) {
            let detail = format!("{} fragment digests for {count} fragments", digests.len());
            return Err(Error::rejected(
                Rejection::SizeMismatch,
                "fragments",
                detail,
            ));
        }
        let cut = Cut::new(&manifest, size);
        cut.refuse_foreign(&manifest, &digests)?;
        let files = parts(&manifest, small, rules)?;
        let (arrived, missing) = (vec![false; digests.len()], digests.len());
        Ok(Self {
            manifest,
            cut,
            digests,
            arrived,
            missing,
            files,
            rules: rules.clone(),
        })
    }

    /// Takes one fragment. A genuine one that came before changes nothing.
    ///
    /// # Errors
    /// `file-unexpected` (no such fragment), `size-mismatch`, `digest-mismatch`; the assembly is
    /// as it was.
    pub fn accept(&mut self, index: usize, bytes: &[u8]) -> Result<()> {
        let refuse = |rejection, detail: String| {
            Error::rejected(rejection, format!("fragment {index}"), detail)
        };
        let (Some(span), Some(digest)) = (self.cut.spans().get(index), self.digests.get(index))
        else {
            return Err(refuse(
                Rejection::FileUnexpected,
                format!("there are {}", self.digests.len()),
            ));
        };
        if u64::try_from(bytes.len()).ok() != Some(span.len) {
            return Err(refuse(
                Rejection::SizeMismatch,
                format!("{} bytes, expected {}", bytes.len(), span.len),
            ));
        }
        if self.cut.digest(&self.manifest, span, bytes) != *digest {
            return Err(refuse(
                Rejection::DigestMismatch,
                "not the signed bytes".to_owned(),
            ));
        }
        let first_time = self.arrived.get(index) == Some(&false);
        if first_time {
            self.store(*span, bytes)?;
            self.arrived
                .get_mut(index)
                .into_iter()
                .for_each(|arrived| *arrived = true);
            self.missing = self.missing.saturating_sub(1);
        }
        Ok(())
    }

    /// Fragments that have not arrived yet.
    pub fn missing(&self) -> impl Iterator<Item = usize> {
        self.arrived
            .iter()
            .enumerate()
            .filter(|(_, arrived)| !**arrived)
            .map(|(index, _)| index)
    }

    /// How many they are.
    pub const fn missing_count(&self) -> usize {
        self.missing
    }

    /// Whether nothing is missing.
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The manifest that is being assembled.
    pub const fn manifest(&self) -> &Verified<Manifest> {
        &self.manifest
    }

    /// The whole policy.
    ///
    /// # Errors
    /// `file-missing` where fragments are missing.
    pub fn finish(self) -> Result<Verified<Policy>> {
        if !self.is_complete() {
            let detail = format!("{} of {} are missing", self.missing, self.digests.len());
            return Err(Error::rejected(Rejection::FileMissing, "fragments", detail));
        }
        let mut files = Vec::new();
        for (entry, part) in self.manifest.files.iter().zip(self.files) {
            let unlisted = || {
                Error::rejected(
                    Rejection::FileUnexpected,
                    &entry.path,
                    "not in the manifest",
                )
            };
            let claim = self
                .manifest
                .claim(&entry.path, &self.rules)
                .ok_or_else(unlisted)?;
            files.push(part.finish(&claim, &entry.path)?);
        }
        self.manifest.into_policy(files, &self.rules)
    }

    fn store(&self, span: Span, bytes: &[u8]) -> Result<()> {
        let (
            Some(Part::Tensors {
                filling,
                header_len,
            }),
            Some(tensor),
        ) = (self.files.get(span.file), tensor_of(&self.manifest, &span))
        else {
            return Ok(());
        };
        let at = header_len
            .saturating_add(tensor.begin)
            .saturating_add(span.offset);
        filling
            .write_at(bytes, at)
            .map_err(|error| Error::io(&tensor.name, error))
    }
}

impl Part {
    /// Seals what arrived and only then proves it, like any other file: until the seal, whoever may
    /// open `/proc/PID/fd` could still write to the memfd.
    fn finish(self, claim: &Claim<'_>, path: &FilePath) -> Result<Verified<File>> {
        match self {
            Self::Small(file) => Ok(file),
            Self::Tensors { filling, .. } => {
                let hold = filling
                    .seal(Unguarded::NotAsked)
                    .map(Hold::Sealed)
                    .map_err(|error| Error::io(path, error))?;
                claim.check_hold(hold, Proof::Tensors)
            }
        }
    }
}

/// Checks the small files and headers; takes no memory for tensors but address space.
fn parts(
    manifest: &Verified<Manifest>,
    small: Vec<(FilePath, Vec<u8>)>,
    rules: &Rules,
) -> Result<Vec<Part>> {
    let mut announced = BTreeMap::new();
    for (path, bytes) in small {
        if let Some((path, _)) = announced
            .insert(path.clone(), bytes)
            .map(|again| (path, again))
        {
            return Err(Error::rejected(
                Rejection::FileUnexpected,
                path,
                "announced twice",
            ));
        }
    }
    let mut parts = Vec::new();
    for entry in &manifest.files {
        let missing = || {
            Error::rejected(
                Rejection::FileMissing,
                &entry.path,
                "not in the announcement",
            )
        };
        let bytes = announced.remove(&entry.path).ok_or_else(missing)?;
        let claim = manifest.claim(&entry.path, rules).ok_or_else(missing)?;
        parts.push(part(&claim, entry, bytes)?);
    }
    match announced.first_key_value() {
        None => Ok(parts),
        Some((path, _)) => Err(Error::rejected(
            Rejection::FileUnexpected,
            path,
            "not in the manifest",
        )),
    }
}

fn part(claim: &Claim<'_>, entry: &FileEntry, bytes: Vec<u8>) -> Result<Part> {
    if entry.tensors.is_none() {
        let file = claim.check_hold(Hold::Owned(bytes.into_boxed_slice()), Proof::Whole)?;
        return Ok(Part::Small(file));
    }
    if u64::try_from(bytes.len()).ok() != Some(entry.header_len()) {
        let detail = format!(
            "{} bytes of header, {} were signed",
            bytes.len(),
            entry.header_len()
        );
        return Err(Error::rejected(
            Rejection::SizeMismatch,
            &entry.path,
            detail,
        ));
    }
    let header = claim.check_header(&bytes)?;
    let filling = Filling::new(entry.size).map_err(|error| Error::io(&entry.path, error))?;
    filling
        .write_at(&bytes, 0)
        .map_err(|error| Error::io(&entry.path, error))?;
    Ok(Part::Tensors {
        filling,
        header_len: header.len,
    })
}
