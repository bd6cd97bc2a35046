//! Tensors in pieces, each of which proves itself.
//!
//! A BLAKE3 digest is the root of a tree over the input, and the tree's shape depends on the
//! input's length alone. A fragment of a power of two bytes is a whole subtree, so the subtree
//! values ("chaining values") of all fragments merge to the signed digest of the tensor. A
//! receiver first checks that they do, and from then on knows of each fragment, by itself,
//! whether it is genuine. See `blake3::hazmat`.

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use rayon::prelude::*;

use crate::claim::{range, slice};
use crate::error::{Error, Result};
use crate::manifest::TensorEntry;
use crate::{Blake3, File, Manifest, Policy, Rejection, Verified};

/// Bytes of a fragment: a power of two from 64 KiB to 8 MiB.
///
/// Messages of 256 KiB to 4 MiB travel equally well over Fast DDS; one huge message costs four
/// times its size at both ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FragmentSize(u32);

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// Index of the file in the manifest.
    pub file: usize,
    /// Index of the tensor in its file's table.
    pub tensor: usize,
    /// First byte, counted from the tensor's start.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// How a policy is cut into fragments: a function of the manifest and the size alone.
#[derive(Clone, Debug)]
pub struct Cut {
    size: FragmentSize,
    spans: Vec<Span>,
}

impl FragmentSize {
    /// 1 MiB.
    pub const DEFAULT: Self = Self(1 << 20);

    /// A size in bytes, or `None` where it is not a power of two from 64 KiB to 8 MiB.
    pub const fn new(bytes: u32) -> Option<Self> {
        if bytes.is_power_of_two() && bytes >= 64 << 10 && bytes <= 8 << 20 {
            Some(Self(bytes))
        } else {
            None
        }
    }

    /// Bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl Cut {
    /// Cuts every tensor of `manifest` into fragments of `size`; a small tensor is one fragment.
    pub fn new(manifest: &Manifest, size: FragmentSize) -> Self {
        let step = u64::from(size.0);
        let mut spans = Vec::new();
        for (file, entry) in manifest.files.iter().enumerate() {
            for (tensor, entry) in entry.tensors.iter().flatten().enumerate() {
                let mut offset = 0;
                while offset < entry.byte_len() {
                    let len = step.min(entry.byte_len().saturating_sub(offset));
                    spans.push(Span {
                        file,
                        tensor,
                        offset,
                        len,
                    });
                    offset = offset.saturating_add(step);
                }
            }
        }
        Self { size, spans }
    }

    /// How many fragments there will be.
    pub fn count(manifest: &Manifest, size: FragmentSize) -> u64 {
        let tensors = manifest
            .files
            .iter()
            .flat_map(|file| file.tensors.iter().flatten());
        tensors
            .map(|tensor| tensor.byte_len().div_ceil(u64::from(size.0)))
            .fold(0, u64::saturating_add)
    }

    /// The size asked for.
    pub const fn size(&self) -> FragmentSize {
        self.size
    }

    /// Every fragment, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The fragment's bytes.
    pub fn bytes<'p>(&self, policy: &'p Verified<Policy>, span: &Span) -> Option<&'p [u8]> {
        let entry = policy.manifest().files.get(span.file)?;
        let tensor = entry.tensors.as_ref()?.get(span.tensor)?;
        let file: &File = policy.files().get(span.file)?;
        let bytes = slice(file.bytes(), entry.header_len(), tensor)?;
        range(bytes, span.offset, span.len)
    }

    /// The subtree value of every fragment, computed on all cores.
    pub fn digests(&self, policy: &Verified<Policy>) -> Vec<Blake3> {
        let digest = |span: &Span| {
            let bytes = self.bytes(policy, span).unwrap_or_default();
            self.digest(policy.manifest(), span, bytes)
        };
        self.spans.par_iter().map(digest).collect()
    }

    pub(crate) fn digest(&self, manifest: &Manifest, span: &Span, bytes: &[u8]) -> Blake3 {
        match tensor_of(manifest, span) {
            Some(tensor) if tensor.byte_len() > u64::from(self.size.0) => {
                let mut hasher = Hasher::new();
                Blake3::from_bytes(
                    hasher
                        .set_input_offset(span.offset)
                        .update(bytes)
                        .finalize_non_root(),
                )
            }
            _ => Blake3::of(bytes),
        }
    }

    /// Proves that the subtree values merge to the signed digest of every tensor.
    pub(crate) fn refuse_foreign(&self, manifest: &Manifest, digests: &[Blake3]) -> Result<()> {
        let tagged: Vec<(&Span, &Blake3)> = self.spans.iter().zip(digests).collect();
        let same_tensor = |a: &(&Span, &Blake3), b: &(&Span, &Blake3)| {
            (a.0.file, a.0.tensor) == (b.0.file, b.0.tensor)
        };
        for group in tagged.chunk_by(same_tensor) {
            let Some(tensor) = group
                .first()
                .and_then(|(span, _)| tensor_of(manifest, span))
            else {
                continue;
            };
            let leaves: Vec<ChainingValue> =
                group.iter().map(|(_, digest)| *digest.as_bytes()).collect();
            if root(&leaves, tensor.byte_len(), u64::from(self.size.0)) != Some(tensor.blake3) {
                let detail = "the fragment digests do not add up to the signed digest";
                return Err(Error::rejected(
                    Rejection::DigestMismatch,
                    &tensor.name,
                    detail,
                ));
            }
        }
        Ok(())
    }
}

pub(crate) fn tensor_of<'m>(manifest: &'m Manifest, span: &Span) -> Option<&'m TensorEntry> {
    manifest
        .files
        .get(span.file)?
        .tensors
        .as_ref()?
        .get(span.tensor)
}

/// The digest of `len` bytes whose fragments of `step` bytes have these values.
fn root(leaves: &[ChainingValue], len: u64, step: u64) -> Option<Blake3> {
    if let [only] = leaves {
        return Some(Blake3::from_bytes(*only));
    }
    let (left, right) = halves(leaves, len, step)?;
    let root = merge_subtrees_root(&left, &right, Mode::Hash);
    Some(Blake3::from_bytes(root.into()))
}

fn subtree(leaves: &[ChainingValue], len: u64, step: u64) -> Option<ChainingValue> {
    if let [only] = leaves {
        return Some(*only);
    }
    let (left, right) = halves(leaves, len, step)?;
    Some(merge_subtrees_non_root(&left, &right, Mode::Hash))
}

/// BLAKE3 puts the largest power of two chunks that leaves something to the right on the left
/// (the BLAKE3 paper, section 2.1).
fn halves(leaves: &[ChainingValue], len: u64, step: u64) -> Option<(ChainingValue, ChainingValue)> {
    let left_len = left_subtree_len(len);
    let (left, right) =
        leaves.split_at_checked(usize::try_from(left_len.checked_div(step)?).ok()?)?;
    if left.is_empty() || right.is_empty() {
        return None;
    }
    Some((
        subtree(left, left_len, step)?,
        subtree(right, len.checked_sub(left_len)?, step)?,
    ))
}
