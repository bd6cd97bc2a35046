//! What the files of a policy say together: configuration, processors, statistics, code, shards.

use crate::error::Findings;
use crate::header::Header;
use crate::{ContentRules, External, FilePath, Kind, RepoType, ReviewedCode, Sha256};

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
/// format.
pub(crate) fn judge(
    _documents: &[Document<'_>],
    _declared: Declared<'_>,
    _rules: &ContentRules,
    _findings: &mut Findings,
) {
}
