//! How a directory is cut and hashed: by files or by shards, with one of three hashes.

use blake2::Blake2b512;
use blake2::digest::Digest;
use rayon::prelude::*;
use sha2::Sha256;
use tensorgate_verify::{Blake3, FileEntry};

/// A hash function of OMS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hash {
    Sha256,
    Blake2b,
    Blake3,
}

/// How every file is described.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Layout {
    pub(crate) hash: Hash,
    /// Bytes of every shard but the last, or `None` where files are hashed whole.
    pub(crate) shard: Option<u64>,
}

/// One file, as described or as found: its digests in the order of its bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Resource {
    /// Bytes in all, where the layout tells.
    pub(crate) len: Option<u64>,
    pub(crate) digests: Vec<Vec<u8>>,
}

impl Hash {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "blake2b" => Some(Self::Blake2b),
            "blake3" => Some(Self::Blake3),
            _ => None,
        }
    }

    /// Bytes of a digest.
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Blake2b => 64,
        }
    }

    fn of(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Blake2b => Blake2b512::digest(bytes).to_vec(),
            Self::Blake3 => Blake3::of(bytes).as_bytes().to_vec(),
        }
    }
}

impl Layout {
    /// What `entry` is in this layout, if the survey computed it.
    pub(crate) fn of_entry(self, entry: &FileEntry) -> Option<Resource> {
        let digest: &[u8] = match (self.shard, self.hash) {
            (None, Hash::Sha256) => entry.sha256.as_bytes(),
            (None, Hash::Blake3) => entry.blake3.as_bytes(),
            _ => return None,
        };
        Some(Resource {
            len: None,
            digests: vec![digest.to_vec()],
        })
    }

    /// What these bytes are, if the survey computes no such digests. Of another length than was
    /// signed, that is all that is said: a shard may be one byte, and then each would cost a digest.
    pub(crate) fn of_bytes(self, bytes: &[u8], signed: Option<&Resource>) -> Option<Resource> {
        match (self.shard, self.hash) {
            (Some(shard), hash) => {
                let shard = usize::try_from(shard).unwrap_or(usize::MAX);
                let len = u64::try_from(bytes.len()).ok();
                let worth_it = signed.is_some_and(|signed| signed.len == len);
                let shards = if worth_it { bytes } else { &[] }.par_chunks(shard);
                Some(Resource {
                    len,
                    digests: shards.map(|shard| hash.of(shard)).collect(),
                })
            }
            (None, Hash::Blake2b) => Some(Resource {
                len: None,
                digests: vec![Hash::Blake2b.of(bytes)],
            }),
            (None, Hash::Sha256 | Hash::Blake3) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_another_length_are_not_cut_into_shards() {
        let layout = Layout {
            hash: Hash::Sha256,
            shard: Some(1),
        };
        let signed = layout.of_bytes(b"ab", None).unwrap();
        assert_eq!((signed.len, signed.digests.len()), (Some(2), 0));
        let same = layout.of_bytes(b"xy", Some(&signed)).unwrap();
        assert_eq!(same.digests.len(), 2);
        let longer = layout.of_bytes(b"xyz", Some(&signed)).unwrap();
        assert_eq!((longer.len, longer.digests.len()), (Some(3), 0));
    }
}
