//! What the files of a policy say together: configuration, processors, statistics, code, shards.
//!
//! ```text
//! every JSON document ─▶ config      no field names code
//! *.py                ─▶ code        byte-identical to what was reviewed
//! *processor.json     ─▶ processor   known steps only, state among the files
//!          its state  ─▶ normalizer, statistics
//! config.json, steps  ─▶ externals   every artifact from elsewhere pinned or absent
//! shards, their index ─▶ index       each tensor where the index says
//! ```

mod agreement;
mod code;
mod config;
mod externals;
mod index;
mod normalizer;
mod place;
mod processor;
mod statistic;
mod statistics;
mod tables;

use serde_json::Value;

use crate::error::Findings;
use crate::header::Header;
use crate::{
    Code, ContentRules, External, FilePath, Kind, Rejection, RepoType, ReviewedCode, Sha256,
};

/// One file as the audit sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    pub(crate) path: &'a FilePath,
    pub(crate) kind: Kind,
    pub(crate) sha256: Sha256,
    /// All bytes; of the large kinds that the audit does not interpret (weights, tables, videos),
    /// nothing.
    pub(crate) bytes: &'a [u8],
    /// Of safetensors, the table.
    pub(crate) header: Option<&'a Header>,
}

/// What the signer declares beside the files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declared<'a> {
    pub(crate) repo_type: RepoType,
    pub(crate) externals: &'a [External],
    pub(crate) reviewed_code: &'a [ReviewedCode],
}

/// Whether the audit reads the bytes of such files.
pub(crate) const fn is_interpreted(kind: Kind) -> bool {
    !matches!(kind, Kind::Weights | Kind::Table | Kind::Video)
}

/// Judges the documents of one policy, in path order, each of which passed the check of its own
/// format. Of a data set, nothing but the formats is judged: no robot loads it.
pub(crate) fn judge(
    documents: &[Document<'_>],
    declared: Declared<'_>,
    rules: &ContentRules,
    findings: &mut Findings,
) {
    if declared.repo_type != RepoType::Model {
        return;
    }
    let audit = Audit {
        documents,
        declared,
        rules,
    };
    let parsed: Vec<Parsed<'_>> = documents
        .iter()
        .filter_map(|document| Parsed::of(document, findings))
        .collect();
    for document in &parsed {
        config::refuse_code(document, findings);
    }
    code::judge(&audit, findings);
    let steps = processor::judge(&parsed, &audit, findings);
    externals::judge(&parsed, &steps, &audit, findings);
    statistics::judge(&parsed, &steps, &audit, findings);
    index::judge(&parsed, &audit, findings);
}

/// What is judged, and by what rules.
struct Audit<'a> {
    documents: &'a [Document<'a>],
    declared: Declared<'a>,
    rules: &'a ContentRules,
}

impl<'a> Audit<'a> {
    /// The file of this name in the directory of `path`.
    fn beside(&self, path: &FilePath, name: &str) -> Option<&'a Document<'a>> {
        let wanted = format!("{}{name}", directory(path));
        self.documents
            .iter()
            .find(|document| document.path.as_str() == wanted)
    }

    /// The files of one kind.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'a Document<'a>> {
        self.documents
            .iter()
            .filter(move |document| document.kind == kind)
    }

    /// Whether a person vouches for code, or is about to be asked to, and the trust policy takes that
    /// for an answer.
    fn has_reviewed_code(&self, findings: &Findings) -> bool {
        let is_asked = || findings.asks() && self.of_kind(Kind::ReviewedCode).next().is_some();
        self.rules.reviewed_code == Code::Allow
            && (!self.declared.reviewed_code.is_empty() || is_asked())
    }
}

/// What a path has before its last component: nothing, or a directory and `/`.
fn directory(path: &FilePath) -> &str {
    let text = path.as_str();
    text.strip_suffix(path.file_name()).unwrap_or(text)
}

/// A document of JSON and what it says.
struct Parsed<'a> {
    document: &'a Document<'a>,
    json: Value,
}

impl<'a> Parsed<'a> {
    /// Of a file that is JSON by its name; each was found unambiguous by the check of its format.
    fn of(document: &'a Document<'a>, findings: &mut Findings) -> Option<Self> {
        // Neither weights nor state nor what a data set holds has such a name.
        if !document.path.as_str().ends_with(".json") {
            return None;
        }
        match serde_json::from_slice(document.bytes) {
            Ok(json) => Some(Self { document, json }),
            Err(error) => {
                findings.reject(Rejection::JsonMalformed, document.path, error);
                None
            }
        }
    }

    /// Where the pointers into it begin.
    fn root(&self) -> String {
        format!("{}#", self.document.path)
    }
}
