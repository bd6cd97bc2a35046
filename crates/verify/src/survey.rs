//! What a signer vouches for: a directory's files, checked as a verifier would and described.

use rayon::prelude::*;

use crate::claim::range;
use crate::content::{MANIFEST_FILE, check_small, kind_of, name_refusal};
use crate::error::{Error, Findings, Result};
use crate::header::{Header, Tensor};
use crate::manifest::{FileEntry, TensorEntry};
use crate::manifest_rules::refuse_collisions;
use crate::{Blake3, Directory, FilePath, Hold, Kind, Limits, Rejection, Sha256, Untrusted};

/// Checks the content of every file and computes what a manifest says of it.
///
/// Nothing is authenticated: this is the step before signing, and it refuses what a verifier
/// would refuse under any signature.
///
/// # Errors
/// Every rejection that was found: `file-*`, `format-*`, `header-*`, `tensor-*`, `json-*`.
pub fn survey(directory: &Directory, limits: &Limits) -> Result<Vec<FileEntry>> {
    let mut findings = Findings::default();
    let mut paths = directory.list(limits, &mut findings)?;
    paths.retain(|path| path.as_str() != MANIFEST_FILE);
    findings.note(refuse_collisions(paths.iter()))?;
    // One after another: each file uses all cores by itself, and only one is held in memory.
    let mut files = Vec::new();
    for path in &paths {
        files.extend(findings.note(describe(directory, path, limits))?);
    }
    if paths.is_empty() {
        findings.reject(
            Rejection::FileMissing,
            ".",
            "an empty directory is no policy",
        );
    }
    findings.into_result()?;
    Ok(files)
}

fn describe(directory: &Directory, path: &FilePath, limits: &Limits) -> Result<FileEntry> {
    let untrusted = directory.open(path)?;
    let first_bytes = untrusted
        .first_bytes(32)
        .map_err(|error| Error::io(path, error))?;
    let kind = kind_of(path, &first_bytes)?;
    refuse_large(path, kind, untrusted.len(), limits)?;
    if kind.is_tensors() {
        refuse_bad_header(path, &untrusted, limits)?;
    }
    let hold = untrusted
        .hold(kind)
        .map_err(|error| Error::io(path, error))?;
    let mut entry = FileEntry {
        path: path.clone(),
        size: u64::try_from(hold.len()).unwrap_or(u64::MAX),
        sha256: Sha256::of(&hold),
        blake3: Blake3::of(&hold),
        kind,
        header_blake3: None,
        tensors: None,
    };
    if kind.is_tensors() {
        describe_tensors(&mut entry, &hold, limits)?;
    } else {
        check_small(path, kind, &hold)?;
    }
    Ok(entry)
}

/// Judges the header before gigabytes are copied for its sake.
fn refuse_bad_header(path: &FilePath, untrusted: &Untrusted, limits: &Limits) -> Result<()> {
    let read = |len| {
        untrusted
            .first_bytes(len)
            .map_err(|error| Error::io(path, error))
    };
    let name = |bytes: &[u8], error| name_refusal(path, bytes, error);
    let first_bytes = read(32)?;
    let len =
        Header::prefix_len(&first_bytes, limits).map_err(|error| name(&first_bytes, error))?;
    let prefix = read(usize::try_from(len).unwrap_or(usize::MAX))?;
    Header::parse(&prefix, untrusted.len(), limits)
        .map(drop)
        .map_err(|error| name(&prefix, error))
}

fn describe_tensors(entry: &mut FileEntry, hold: &Hold, limits: &Limits) -> Result<()> {
    let header = Header::parse(hold, entry.size, limits)
        .map_err(|error| name_refusal(&entry.path, hold, error))?;
    let digest = |tensor: &Tensor| {
        let begin = header.len.saturating_add(tensor.begin);
        let bytes = range(hold, begin, tensor.byte_len()).unwrap_or_default();
        TensorEntry::new(tensor, Blake3::of(bytes))
    };
    entry.header_blake3 = Some(Blake3::of(range(hold, 0, header.len).unwrap_or_default()));
    entry.tensors = Some(header.tensors.par_iter().map(digest).collect());
    Ok(())
}

fn refuse_large(path: &FilePath, kind: Kind, len: u64, limits: &Limits) -> Result<()> {
    let (cap, rejection) = if kind.is_tensors() {
        (limits.weights_bytes, Rejection::SizeMismatch)
    } else {
        (limits.small_file_bytes, Rejection::JsonTooLarge)
    };
    if len <= cap {
        return Ok(());
    }
    Err(Error::rejected(
        rejection,
        path,
        format!("{len} bytes, at most {cap} are read"),
    ))
}
