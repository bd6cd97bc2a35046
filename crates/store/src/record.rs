//! What a finished download was, and what a file is.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use tensorgate_verify::{Blake3, FilePath, Sha256};

/// What a finished download was: written last, so that its being there says that all was done.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Record {
    /// The files that were fetched, each as it was found right.
    pub files: Vec<Recorded>,
    /// The files that the Hub lists besides.
    pub left_out: Vec<FilePath>,
    /// Whether the commit may have more files: these came from where nobody knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub perhaps_more: bool,
}

/// One downloaded file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Recorded {
    /// Its path in the repository.
    pub path: FilePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its BLAKE3.
    pub blake3: Blake3,
}

/// 16 MiB: room for 10,000 files with paths of 1,500 bytes.
pub(crate) const RECORD_BYTES: u64 = 16 << 20;

impl Record {
    /// A record of these files.
    pub fn new(files: Vec<Recorded>, left_out: Vec<FilePath>) -> Self {
        Self {
            files,
            left_out,
            perhaps_more: false,
        }
    }
}

impl Record {
    /// The directories in which its files lie and their parents, by path; `.` is the first.
    pub(crate) fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::from(["."]);
        for Recorded { path, .. } in &self.files {
            let path = path.as_str();
            folders.extend(path.match_indices('/').filter_map(|(at, _)| path.get(..at)));
        }
        folders
    }
}

impl Recorded {
    /// A file of which all this is known.
    pub const fn new(path: FilePath, size: u64, sha256: Sha256, blake3: Blake3) -> Self {
        Self {
            path,
            size,
            sha256,
            blake3,
        }
    }

    /// What `file` is.
    pub(crate) fn of(path: &FilePath, file: File) -> std::io::Result<Self> {
        let (mut size, mut sha256) = (0, sha2::Sha256::new());
        let mut blake3 = blake3::Hasher::new();
        each_chunk(file, |chunk| {
            size += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            sha256.update(chunk);
            blake3.update(chunk);
        })?;
        Ok(Self::new(
            path.clone(),
            size,
            Sha256::from_bytes(sha256.finalize().into()),
            Blake3::from_bytes(blake3.finalize().into()),
        ))
    }
}

/// Reads a file once, a piece at a time.
pub(crate) fn each_chunk(file: File, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    loop {
        let chunk = reader.fill_buf()?;
        let len = chunk.len();
        if len == 0 {
            return Ok(());
        }
        take(chunk);
        reader.consume(len);
    }
}
