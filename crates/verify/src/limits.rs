//! Bounds before allocation.

use serde::Deserialize;

/// How much of anything is read before it is refused: the section `[limits]` of a trust policy.
///
/// Each bound stops an endless-data or resource attack; each is far above what
/// published robot policies need (their largest headers are about 300 kB, their
/// tensor counts about 1,200).
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of an envelope: 32 MiB, room for 65,536 tensors of about 250 bytes each, in base64.
    pub manifest_bytes: u64,
    /// Signatures in one envelope: 16. Each costs a verification per trusted key.
    pub signatures: usize,
    /// Entries of a list of revocations: 100,000.
    pub revocations: usize,
    /// Files of a policy: 10,000.
    pub files: usize,
    /// Bytes of a JSON or text file: 16 MiB. Tokenizers reach a few MiB, configurations a few kB.
    pub small_file_bytes: u64,
    /// Bytes of a weights file: 64 GiB; the largest published policy has 14.5 GB.
    pub weights_bytes: u64,
    /// Bytes of a safetensors header: 4 MiB. The largest published one has about 300 kB.
    pub header_bytes: u64,
    /// Tensors of one file: 65,536.
    pub tensors: usize,
    /// Dimensions of one tensor: 8.
    pub rank: usize,
    /// Bytes of a tensor's name: 256.
    pub tensor_name_bytes: usize,
    /// Bytes of keys and values in `__metadata__`: 64 KiB.
    pub metadata_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest_bytes: 32 << 20,
            signatures: 16,
            revocations: 100_000,
            files: 10_000,
            small_file_bytes: 16 << 20,
            weights_bytes: 64 << 30,
            header_bytes: 4 << 20,
            tensors: 65_536,
            rank: 8,
            tensor_name_bytes: 256,
            metadata_bytes: 64 << 10,
        }
    }
}
