//! `--externals FILE`: what a signer declares of things that are not in the files themselves.

use std::path::Path;

use serde::Deserialize;
use tensorgate_verify::{External, ExternalFile, FilePath, RepoId, ReviewedCode, Revision, Sha256};
use toml::Spanned;

use crate::disk;
use crate::failure::Failure;

/// Bytes of the file at the most; a pinned artifact takes a line a file.
const MAX_BYTES: u64 = 1 << 20;
const EXAMPLE: &str = "`tensorgate audit --help` shows an example";

/// What loading the policy would pull in, and the code that a person read.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    pub(crate) externals: Vec<External>,
    pub(crate) reviewed_code: Vec<ReviewedCode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(default)]
    externals: Vec<Spanned<Artifact>>,
    #[serde(default)]
    reviewed_code: Vec<Code>,
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
    /// Reads the tables `[[externals]]` and `[[reviewed_code]]`.
    ///
    /// # Errors
    /// It cannot be read, or says something that this version does not know: never skipped.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = disk::read_at_most(path, MAX_BYTES)
            .map_err(|error| Failure::io("read the declarations", path, &error))?;
        let refuse = |why: &dyn std::fmt::Display| {
            let detail = format!("the declarations {path:?} cannot be used: {why}");
            Failure::about(path, detail.trim_end()).hint(EXAMPLE)
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(refuse(&"more than 1 MiB"));
        }
        let text = str::from_utf8(&bytes).map_err(|error| refuse(&error))?;
        let tables: Tables = toml::from_str(text).map_err(|error| refuse(&error))?;
        let external = |table: Spanned<Artifact>| {
            let line = line_of(text, table.span().start);
            let declared = table.into_inner().declared();
            declared.map_err(|why| refuse(&format!("line {line}: {why}")))
        };
        let externals = tables.externals.into_iter().map(external);
        Ok(Self {
            externals: externals.collect::<Result<_, _>>()?,
            reviewed_code: tables.reviewed_code.into_iter().map(Code::into).collect(),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.externals.is_empty() && self.reviewed_code.is_empty()
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
