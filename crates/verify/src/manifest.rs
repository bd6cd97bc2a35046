//! The signed list of a policy's files.

use std::collections::HashSet;

use jiff::Timestamp;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::header::{Header, Tensor};
use crate::{Blake3, FilePath, Kind, Limits, Rejection, RepoId, RepoType, Revision, Sha256};

/// What a signer says about a policy: which files, of which commit, until when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// Where the files come from.
    pub repo: Repo,
    /// Grows with each release; what keeps an old release from coming back.
    pub sequence: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// When it stops to count.
    pub expires: Timestamp,
    /// What the policy is.
    pub policy: About,
    /// Every file, in path order.
    pub files: Vec<FileEntry>,
    /// Every other artifact that loading the policy would pull in.
    pub externals: Vec<External>,
    /// Code that a person reviewed.
    pub reviewed_code: Vec<ReviewedCode>,
}

/// The commit that the files are at. The manifest itself may live elsewhere.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Repo {
    /// Model or dataset.
    #[serde(rename = "type")]
    pub repo_type: RepoType,
    /// `owner/name`.
    pub id: RepoId,
    /// The commit.
    pub revision: Revision,
}

/// What the policy is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct About {
    /// The policy's type, for instance `act`; free text without meaning to this project.
    #[serde(rename = "type")]
    pub policy_type: String,
    /// The robot that it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub robot: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FileEntry {
    /// Its path inside the policy.
    pub path: FilePath,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file, which ties it to the Hub's listing.
    pub sha256: Sha256,
    /// BLAKE3 of the whole file.
    pub blake3: Blake3,
    /// What it is for.
    pub kind: Kind,
    /// For safetensors: BLAKE3 of the first 8 + n bytes, length and header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_blake3: Option<Blake3>,
    /// For safetensors: the tensors, ordered by `begin`, then `end`, then name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Vec<TensorEntry>>,
}

/// One tensor of a safetensors file, with the digest that proves it alone.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TensorEntry {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: Dtype,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// First byte, counted from the end of the header.
    pub begin: u64,
    /// One past the last byte, counted from the end of the header.
    pub end: u64,
    /// BLAKE3 of its bytes.
    pub blake3: Blake3,
}

/// An artifact outside the policy that loading it would pull in.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct External {
    /// File and JSON pointer of the field that names it, `config.json#/vlm_model_name`.
    pub field: String,
    /// The value there.
    pub name: String,
    /// What the signer decided.
    pub decision: Decision,
    /// For `absent`: why it is not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For `pinned`: the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoId>,
    /// For `pinned`: the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// For `pinned`: its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<ExternalFile>>,
}

/// What a signer decided about an external artifact.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Decision {
    /// It is not loaded.
    Absent,
    /// It is exactly these files.
    Pinned,
}

/// One file of a pinned external artifact.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExternalFile {
    /// Its path inside its repository.
    pub path: FilePath,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
}

/// Code that a person read and let through, byte for byte.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReviewedCode {
    /// Its path inside the policy.
    pub path: FilePath,
    /// The SHA-256 of what was reviewed.
    pub sha256: Sha256,
    /// Who reviewed it.
    pub reviewer: String,
    /// What the reviewer has to say.
    pub note: String,
}

impl Manifest {
    /// A manifest to be signed; `files` as [`survey`](crate::survey()) lists them.
    pub fn new(
        repo: Repo,
        sequence: u64,
        validity: (Timestamp, Timestamp),
        policy: About,
        files: Vec<FileEntry>,
    ) -> Self {
        let (issued, expires) = validity;
        let (externals, reviewed_code) = (Vec::new(), Vec::new());
        Self {
            repo,
            sequence,
            issued,
            expires,
            policy,
            files,
            externals,
            reviewed_code,
        }
    }

    /// The entry of `path`.
    pub fn file(&self, path: &FilePath) -> Option<&FileEntry> {
        let at = self
            .files
            .binary_search_by(|entry| entry.path.cmp(path))
            .ok()?;
        self.files.get(at)
    }

    /// Order, uniqueness and bounds that make the rest of the code simple.
    pub(crate) fn refuse_disorder(&self, limits: &Limits) -> Result<()> {
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
            .try_for_each(|file| file.refuse_disorder(limits))?;
        self.refuse_shared_names()?;
        for code in &self.reviewed_code {
            printable("reviewed_code", &code.reviewer)?;
            printable("reviewed_code", &code.note)?;
        }
        self.externals
            .iter()
            .try_for_each(External::refuse_disorder)
    }

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

impl Repo {
    /// A commit of a model repository.
    pub const fn model(id: RepoId, revision: Revision) -> Self {
        Self {
            repo_type: RepoType::Model,
            id,
            revision,
        }
    }
}

impl About {
    /// A policy of this type, for any robot.
    pub fn of_type(policy_type: impl Into<String>) -> Self {
        Self {
            policy_type: policy_type.into(),
            robot: None,
            name: None,
        }
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
    fn refuse_disorder(&self, limits: &Limits) -> Result<()> {
        if self.path.as_str().split('/').next() == Some(crate::content::MANIFEST_FILE) {
            return Err(malformed(&self.path, "a manifest does not list itself"));
        }
        if self.kind == Kind::ReviewedCode {
            let detail = "code that the trust policy does not let through";
            return Err(Error::rejected(
                Rejection::CodeUnreviewed,
                &self.path,
                detail,
            ));
        }
        if Kind::of(&self.path) != Some(self.kind) {
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
            (None, None) if !self.kind.is_tensors() && self.size <= limits.small_file_bytes => {
                Ok(())
            }
            (None, None) if !self.kind.is_tensors() => Err(Error::rejected(
                Rejection::JsonTooLarge,
                &self.path,
                format!("{} bytes", self.size),
            )),
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
        let table = tensors.iter().map(TensorEntry::to_tensor).collect();
        Header::from_table(len, table, self.size, limits)
            .map(drop)
            .map_err(|error| crate::content::name_refusal(&self.path, &[], error))
    }

    /// Bytes before the data: what lies between the file's size and its tensors.
    pub(crate) fn header_len(&self) -> u64 {
        let data = self
            .tensors
            .as_ref()
            .and_then(|t| t.last())
            .map_or(0, |tensor| tensor.end);
        self.size.saturating_sub(data)
    }
}

impl TensorEntry {
    /// Bytes of the data.
    pub fn byte_len(&self) -> u64 {
        self.end.saturating_sub(self.begin)
    }

    pub(crate) fn new(tensor: &Tensor, blake3: Blake3) -> Self {
        let Tensor {
            name,
            dtype,
            shape,
            begin,
            end,
        } = tensor.clone();
        Self {
            name,
            dtype,
            shape,
            begin,
            end,
            blake3,
        }
    }

    pub(crate) fn row(&self) -> (&str, Dtype, &[usize], u64, u64) {
        (&self.name, self.dtype, &self.shape, self.begin, self.end)
    }

    pub(crate) fn to_tensor(&self) -> Tensor {
        let Self {
            name,
            dtype,
            shape,
            begin,
            end,
            ..
        } = self.clone();
        Tensor {
            name,
            dtype,
            shape,
            begin,
            end,
        }
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

/// Text of a signer that ends in logs and on screens: bounded, nothing that a terminal obeys or
/// that turns the order of what follows (Unicode's bidirectional controls).
fn printable(field: &str, text: &str) -> Result<()> {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if text.len() > 1024 || text.chars().any(|c| c.is_control() || turns(c)) {
        return Err(malformed(
            field,
            "text of more than 1,024 bytes, or with control characters",
        ));
    }
    Ok(())
}

pub(crate) fn malformed(subject: impl std::fmt::Display, detail: impl std::fmt::Display) -> Error {
    Error::rejected(Rejection::ManifestMalformed, subject, detail)
}
