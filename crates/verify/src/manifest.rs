//! The signed list of a policy's files.

use jiff::Timestamp;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::header::{Row, Tensor};
use crate::{Blake3, FilePath, Kind, Rejection, RepoId, RepoType, Revision, Sha256};

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
    /// A manifest to be signed; `files` as [`Survey`](crate::Survey) lists them.
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

    /// Refuses what is no policy: of a data set the files are proven and not judged together, so
    /// that nothing may be published or acted upon.
    ///
    /// # Errors
    /// `repo-mismatch`.
    pub fn require_policy(&self) -> Result<()> {
        match self.repo.repo_type {
            RepoType::Model => Ok(()),
            other => Err(Error::rejected(
                Rejection::RepoMismatch,
                "repo",
                format!("signed for a {other}, expected a model"),
            )),
        }
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

impl External {
    /// The artifact that `field` names is not loaded.
    pub fn absent(field: String, name: String, reason: String) -> Self {
        Self {
            field,
            name,
            decision: Decision::Absent,
            reason: Some(reason),
            repo: None,
            revision: None,
            files: None,
        }
    }

    /// The artifact that `field` names is exactly these files of a commit.
    pub fn pinned(
        field: String,
        name: String,
        (repo, revision): (RepoId, Revision),
        files: Vec<ExternalFile>,
    ) -> Self {
        Self {
            field,
            name,
            decision: Decision::Pinned,
            reason: None,
            repo: Some(repo),
            revision: Some(revision),
            files: Some(files),
        }
    }
}

impl ExternalFile {
    /// A file of a pinned artifact.
    pub const fn new(path: FilePath, size: u64, sha256: Sha256) -> Self {
        Self { path, size, sha256 }
    }
}

impl ReviewedCode {
    /// Code that `reviewer` read, with a word on it.
    pub const fn new(path: FilePath, sha256: Sha256, reviewer: String, note: String) -> Self {
        Self {
            path,
            sha256,
            reviewer,
            note,
        }
    }
}

impl FileEntry {
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

    pub(crate) fn row(&self) -> Row<'_> {
        Row {
            name: &self.name,
            dtype: self.dtype,
            shape: &self.shape,
            begin: self.begin,
            end: self.end,
        }
    }
}
