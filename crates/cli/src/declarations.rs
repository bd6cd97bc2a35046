//! `--externals FILE` and `--decisions FILE`: what a signer declares of things that are not in the files themselves.

use std::fmt;
use std::path::Path;

use rustix::fs::CWD;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use tensorgate_verify::{
    External, ExternalFile, FilePath, Rejection, RepoId, ReviewedCode, Revision, Sha256, own_text,
};
use toml::Spanned;

use crate::disk;
use crate::facts::Member;
use crate::failure::Failure;
use crate::trust::hint_to_read;

/// Bytes of the file at the most; a pinned artifact takes a line a file.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// What loading the policy would pull in, and the code that a person read.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    pub(crate) externals: Vec<External>,
    pub(crate) reviewed_code: Vec<ReviewedCode>,
}

/// What of a policy that is not to be refused is agreed to, in advance: `[accept]`, for `admit`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Accept {
    /// Licences as the card states them.
    pub(crate) licenses: Vec<String>,
    /// Types of policies.
    pub(crate) policy_types: Vec<String>,
    /// Element types of tensors.
    pub(crate) dtypes: Vec<Dtype>,
    /// Bytes of all files together.
    pub(crate) max_bytes: Option<u64>,
    /// Fields of configurations that no known type has, with what stands there.
    pub(crate) fields: Vec<Member>,
    /// Findings that the trust policy lets pass with a note, as they are told.
    pub(crate) findings: Vec<String>,
    /// For how long a signature counts.
    pub(crate) valid_days: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    externals: Vec<Spanned<Artifact>>,
    #[serde(default)]
    reviewed_code: Vec<Code>,
    accept: Option<Spanned<Accept>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Artifact {
    field: String,
    name: String,
    decision: Decision,
    reason: Option<String>,
    repo: Option<RepoId>,
    revision: Option<Revision>,
    files: Option<Vec<Pinned>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Decision {
    Absent,
    Pinned,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    path: FilePath,
    size: u64,
    sha256: Sha256,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    path: FilePath,
    sha256: Sha256,
    reviewer: String,
    note: String,
}

impl Declarations {
    /// Reads the tables `[[externals]]` and `[[reviewed_code]]`, of which nothing is signed.
    ///
    /// # Errors
    /// It cannot be read, or says something that this version does not know: never skipped.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = disk::read_at_most(path, MAX_BYTES)
            .map_err(|error| Failure::io("read the declarations", path, &error))?;
        let refuse = |why: &dyn fmt::Display| refusal("audit", path, why);
        if bytes.len() as u64 > MAX_BYTES {
            return Err(refuse(&"more than 1 MiB"));
        }
        let text = str::from_utf8(&bytes).map_err(|error| refuse(&error))?;
        Self::without_accept(path, text)
    }

    /// The same of what is signed: whoever else could write the file would decide that.
    ///
    /// # Errors
    /// As [`read`](Self::read); and as a trust policy's, if others could write it.
    pub(crate) fn read_own(path: &Path) -> Result<Self, Failure> {
        Self::without_accept(path, &own(path)?)
    }

    /// The same with `[accept]` if it is there.
    ///
    /// # Errors
    /// As [`read_own`](Self::read_own).
    pub(crate) fn with_accept(path: &Path) -> Result<(Self, Accept), Failure> {
        let (declared, accept) = Self::parse("admit", path, &own(path)?)?;
        Ok((declared, accept.unwrap_or_default()))
    }

    fn without_accept(path: &Path, text: &str) -> Result<Self, Failure> {
        match Self::parse("audit", path, text)? {
            (declared, None) => Ok(declared),
            (_, Some(_)) => {
                let detail =
                    format!("the declarations {path:?} have [accept], which answers `admit`");
                Err(Failure::about(path, detail).hint("take [accept] out of it, or run `admit`"))
            }
        }
    }

    /// For a command whose help has an example.
    fn parse(command: &str, path: &Path, text: &str) -> Result<(Self, Option<Accept>), Failure> {
        let refuse = |why: &dyn fmt::Display| refusal(command, path, why);
        let tables: Tables = toml::from_str(text).map_err(|error| refuse(&error))?;
        let external = |table: Spanned<Artifact>| {
            let line = line_of(text, table.span().start);
            let declared = table.into_inner().declared();
            declared.map_err(|why| refuse(&format!("line {line}: {why}")))
        };
        let externals = tables.externals.into_iter().map(external);
        let accept = tables.accept.map(|accept| {
            let line = line_of(text, accept.span().start);
            let accept = accept.into_inner();
            match accept.unknown_finding() {
                Some(finding) => Err(refuse(&format!(
                    "line {line}: {finding:?} is no finding, which is written whole, as `admit` tells it"
                ))),
                None => Ok(accept),
            }
        });
        let declared = Self {
            externals: externals.collect::<Result<_, _>>()?,
            reviewed_code: tables.reviewed_code.into_iter().map(Code::into).collect(),
        };
        Ok((declared, accept.transpose()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.externals.is_empty() && self.reviewed_code.is_empty()
    }
}

/// The text of a file that decides what is signed.
fn own(path: &Path) -> Result<String, Failure> {
    own_text(CWD, path).map_err(|error| {
        let failure = match error.raw_os_error() {
            Some(_) => Failure::io("read the declarations", path, &error),
            None => Failure::about(path, cannot_be_used(path, &error)),
        };
        match hint_to_read(&error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

fn refusal(command: &str, path: &Path, why: &dyn fmt::Display) -> Failure {
    let hint = format!("`tensorgate {command} --help` shows an example");
    Failure::about(path, cannot_be_used(path, why).trim_end()).hint(hint)
}

fn cannot_be_used(path: &Path, why: &dyn fmt::Display) -> String {
    format!("the declarations {path:?} cannot be used: {why}")
}

impl Accept {
    fn unknown_finding(&self) -> Option<&String> {
        let is_code = |code: &str| Rejection::ALL.iter().any(|known| known.code() == code);
        let is_finding = |text: &str| {
            let parts = text.split_once(": ");
            parts.is_some_and(|(code, rest)| is_code(code) && rest.starts_with('"'))
        };
        self.findings.iter().find(|text| !is_finding(text))
    }
}

impl Artifact {
    /// What is decided has what its decision takes, and nothing else.
    fn declared(self) -> Result<External, &'static str> {
        let Self { field, name, .. } = self;
        let pin = (self.repo, self.revision, self.files);
        match (self.decision, self.reason, pin) {
            (Decision::Absent, Some(reason), (None, None, None)) => {
                Ok(External::absent(field, name, reason))
            }
            (Decision::Pinned, None, (Some(repo), Some(revision), Some(files))) => {
                let files = files.into_iter().map(Pinned::into).collect();
                Ok(External::pinned(field, name, (repo, revision), files))
            }
            (Decision::Absent, ..) => {
                Err("`absent` has `reason`, and neither `repo`, `revision` nor `files`")
            }
            (Decision::Pinned, ..) => {
                Err("`pinned` has `repo`, `revision` and `files`, and no `reason`")
            }
        }
    }
}

impl From<Pinned> for ExternalFile {
    fn from(file: Pinned) -> Self {
        Self::new(file.path, file.size, file.sha256)
    }
}

impl From<Code> for ReviewedCode {
    fn from(code: Code) -> Self {
        Self::new(code.path, code.sha256, code.reviewer, code.note)
    }
}

/// The line, counted from 1, of a byte of the text.
fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}
