//! What a manifest must be, so that the rest of the code can be simple.

use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::header::Header;
use crate::manifest::{About, Decision, External, FileEntry, Manifest, TensorEntry};
use crate::statement::sealed::Sealed;
use crate::statement::{Predicate, Subject};
use crate::{FilePath, Kind, Limits, Rejection, RepoType};

impl Predicate for Manifest {
    const TYPE: &'static str = "urn:tensorgate:policy:v1";
}

impl Sealed for Manifest {
    fn subjects(&self) -> Vec<Subject> {
        let subject = |file: &FileEntry| Subject::new(&file.path, "sha256", file.sha256);
        self.files.iter().map(subject).collect()
    }

    fn refuse_disorder(&self, limits: &Limits) -> Result<()> {
        if self.expires <= self.issued {
            return Err(malformed("expires", "not after `issued`"));
        }
        if self.files.is_empty() {
            return Err(malformed("files", "an empty list is no policy"));
        }
        if self.files.len() > limits.files {
            return Err(malformed(
                "files",
                format!("more than {} files", limits.files),
            ));
        }
        refuse_collisions(self.files.iter().map(|file| &file.path))?;
        if !self.files.is_sorted_by(|a, b| a.path < b.path) {
            return Err(malformed("files", "not in path order"));
        }
        self.policy.refuse_unprintable()?;
        self.files
            .iter()
            .try_for_each(|file| file.refuse_disorder(self.repo.repo_type, limits))?;
        self.refuse_shared_names()?;
        for code in &self.reviewed_code {
            printable("reviewed_code", &code.reviewer)?;
            printable("reviewed_code", &code.note)?;
        }
        self.externals
            .iter()
            .try_for_each(External::refuse_disorder)
    }
}

impl Manifest {
    /// A tensor is in one file of the weights: of two, one controller would take the first and
    /// another the last.
    fn refuse_shared_names(&self) -> Result<()> {
        let mut seen = HashSet::new();
        let weights = self.files.iter().filter(|file| file.kind == Kind::Weights);
        for tensor in weights.flat_map(|file| file.tensors.iter().flatten()) {
            if !seen.insert(tensor.name.as_str()) {
                return Err(malformed(
                    &tensor.name,
                    "two files of weights have this tensor",
                ));
            }
        }
        Ok(())
    }
}

impl About {
    fn refuse_unprintable(&self) -> Result<()> {
        let texts = [
            Some(&self.policy_type),
            self.robot.as_ref(),
            self.name.as_ref(),
        ];
        texts
            .into_iter()
            .flatten()
            .try_for_each(|text| printable("policy", text))
    }
}

impl FileEntry {
    fn refuse_disorder(&self, repo_type: RepoType, limits: &Limits) -> Result<()> {
        if self.path.as_str().split('/').next() == Some(crate::content::MANIFEST_FILE) {
            return Err(malformed(&self.path, "a manifest does not list itself"));
        }
        if Kind::of(&self.path, repo_type) != Some(self.kind) {
            let detail = format!("listed as {}, which the name does not stand for", self.kind);
            return Err(Error::rejected(
                Rejection::FileKindMismatch,
                &self.path,
                detail,
            ));
        }
        match (&self.header_blake3, &self.tensors) {
            (Some(_), Some(tensors)) if self.kind.is_tensors() => {
                self.refuse_bad_table(tensors, limits)
            }
            (None, None) if !self.kind.is_tensors() => {
                refuse_large(&self.path, self.kind, self.size, limits)
            }
            _ => Err(malformed(
                &self.path,
                "safetensors, and only they, have `header_blake3` and `tensors`",
            )),
        }
    }

    /// The table must be one that [`Header::parse`] could have read.
    fn refuse_bad_table(&self, tensors: &[TensorEntry], limits: &Limits) -> Result<()> {
        if self.size > limits.weights_bytes {
            return Err(malformed(
                &self.path,
                format!("{} bytes of weights", self.size),
            ));
        }
        let data: u64 = tensors.last().map_or(0, |tensor| tensor.end);
        let Some(len) = self.size.checked_sub(data) else {
            return Err(malformed(
                &self.path,
                "the tensors are larger than the file",
            ));
        };
        let rows = tensors.iter().map(TensorEntry::row);
        Header::refuse_bad_table(len, rows, self.size, limits)
            .map_err(|error| crate::content::name_refusal(&self.path, &[], error))
    }
}

impl External {
    fn refuse_disorder(&self) -> Result<()> {
        printable("externals", &self.field)?;
        printable("externals", &self.name)?;
        self.reason
            .iter()
            .try_for_each(|reason| printable("externals", reason))?;
        let pin = (&self.repo, &self.revision, &self.files);
        match (self.decision, &self.reason, pin) {
            (Decision::Absent, Some(_), (None, None, None)) => Ok(()),
            (Decision::Pinned, None, (Some(_), Some(_), Some(_))) => Ok(()),
            (Decision::Absent, ..) => {
                Err(malformed(&self.field, "`absent` has `reason` and no pin"))
            }
            (Decision::Pinned, ..) => Err(malformed(
                &self.field,
                "`pinned` has `repo`, `revision` and `files`, no `reason`",
            )),
        }
    }
}

/// A size is judged before one byte is read.
pub(crate) fn refuse_large(path: &FilePath, kind: Kind, len: u64, limits: &Limits) -> Result<()> {
    let (cap, rejection) = if kind.is_large() {
        (limits.weights_bytes, Rejection::SizeMismatch)
    } else {
        (limits.small_file_bytes, Rejection::JsonTooLarge)
    };
    if len <= cap {
        return Ok(());
    }
    let detail = format!("{len} bytes, at most {cap} are read");
    Err(Error::rejected(rejection, path, detail))
}

/// No two paths may be one file on a case-insensitive file system, none a directory of another.
pub(crate) fn refuse_collisions<'a>(paths: impl Iterator<Item = &'a FilePath>) -> Result<()> {
    let mut folded: Vec<(String, &FilePath)> = paths.map(|path| (path.folded(), path)).collect();
    folded.sort_unstable();
    let set: HashSet<&str> = folded.iter().map(|(fold, _)| fold.as_str()).collect();
    if let Some((_, path)) = folded.windows(2).find_map(|pair| match pair {
        [(a, _), (b, path)] if a == b => Some((b, path)),
        _ => None,
    }) {
        return Err(Error::rejected(
            Rejection::FileNameCollision,
            path,
            "another name differs only in case",
        ));
    }
    for (fold, path) in &folded {
        if fold
            .match_indices('/')
            .any(|(at, _)| fold.get(..at).is_some_and(|parent| set.contains(parent)))
        {
            return Err(Error::rejected(
                Rejection::FileNameCollision,
                path,
                "a file is also its directory",
            ));
        }
    }
    Ok(())
}

/// Bytes of a signer's text at the most: nobody reads more at once.
pub(crate) const TEXT_BYTES: usize = 1024;

/// Text of a signer that ends in logs and on screens: bounded, nothing that a terminal obeys or
/// that turns the order of what follows (Unicode's bidirectional controls).
pub(crate) fn printable(field: &str, text: &str) -> Result<()> {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.is_empty()
        || text.len() > TEXT_BYTES
        || text.chars().any(|c| c.is_control() || turns(c))
    {
        return Err(malformed(
            field,
            "no text, one of more than 1,024 bytes, or with control characters",
        ));
    }
    Ok(())
}

pub(crate) fn malformed(subject: impl std::fmt::Display, detail: impl std::fmt::Display) -> Error {
    Error::rejected(Rejection::ManifestMalformed, subject, detail)
}
