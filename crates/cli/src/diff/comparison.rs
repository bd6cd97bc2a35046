//! What changed from one policy to another, as plain facts. Prose, JSON and reports are made of
//! these; most of the text in them is a stranger's.

use std::fmt;

use safetensors::Dtype;
use serde_json::Value;
use tensorgate_verify::{Rejection, Sha256};

use super::numbers::Moved;
use super::statistics::Drift;

/// All that is not the same in two policies, and how much is.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The earlier one, A.
    pub(crate) a: Side,
    /// The later one, B.
    pub(crate) b: Side,
    /// The files that are not the same, in the order of their names.
    pub(crate) files: Vec<Changed>,
    /// Files that are the same, byte for byte.
    pub(crate) same: usize,
    /// How far the statistics moved that scale what the motors get, the farthest first.
    pub(crate) drift: Vec<Drift>,
    /// The code files, as far as a manifest of either side claims a review.
    pub(crate) reviews: Vec<Judged>,
    /// What is worth knowing beside it.
    pub(crate) notices: Vec<String>,
}

/// One of the two policies.
#[derive(Debug)]
pub(crate) struct Side {
    /// What the user calls it.
    pub(crate) name: String,
    /// The directory in which it lies.
    pub(crate) path: String,
}

/// One file that is not the same in both.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) path: String,
    /// What its name stands for in a policy; `-` for nothing.
    pub(crate) kind: String,
    pub(crate) change: Change,
    pub(crate) before: Option<FileFacts>,
    pub(crate) after: Option<FileFacts>,
    pub(crate) inside: Inside,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Added,
    Removed,
    Changed,
    /// At least one of the two was not read.
    NotCompared,
}

/// A file as it lies on one side.
#[derive(Debug)]
pub(crate) struct FileFacts {
    pub(crate) bytes: u64,
    /// Of all its bytes, if it was read.
    pub(crate) sha256: Option<Sha256>,
    /// Why it was not read.
    pub(crate) note: Option<String>,
}

/// What changed inside a file.
#[derive(Debug, Default)]
pub(crate) enum Inside {
    /// Files of this kind have no inside that is compared, or one side has no such file.
    #[default]
    Whole,
    /// One side, or each, cannot be compared.
    Closed(Vec<Refused>),
    Code(CodeChanges),
    Fields(FieldChanges),
    Tensors(TensorChanges),
}

/// Why one side cannot be compared inside.
#[derive(Debug)]
pub(crate) struct Refused {
    /// `A` or `B`.
    pub(crate) side: &'static str,
    pub(crate) closed: Closed,
}

/// Why the inside of one version of a file cannot be compared: it is refused, or not looked at.
#[derive(Debug)]
pub(crate) struct Closed {
    /// The rule that refuses it, and the file, tensor or key that it refuses.
    pub(crate) refused: Option<(Rejection, String)>,
    pub(crate) why: String,
}

/// Lines of code that changed, as a unified diff has them: printable ASCII, the rest escaped.
#[derive(Debug, PartialEq)]
pub(crate) struct CodeChanges {
    pub(crate) hunks: Vec<Hunk>,
    /// Lines of further hunks.
    pub(crate) not_shown: usize,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Hunk {
    pub(crate) header: String,
    pub(crate) lines: Vec<String>,
}

/// Fields of a JSON document that changed.
#[derive(Debug, PartialEq)]
pub(crate) struct FieldChanges {
    pub(crate) fields: Vec<Field>,
    pub(crate) not_shown: usize,
}

/// One field, found by its JSON pointer (RFC 6901), that is not the same in both.
#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) pointer: String,
    /// `None` where there is no such field; `null` is a value.
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
}

/// Tensors of a safetensors file that changed, in the order of their names but for the added ones,
/// which come last.
#[derive(Debug)]
pub(crate) struct TensorChanges {
    pub(crate) tensors: Vec<TensorChange>,
    pub(crate) same: usize,
    /// Where the metadata of the two headers differ.
    pub(crate) metadata: Option<FieldChanges>,
}

/// One tensor that is not the same in both.
#[derive(Debug)]
pub(crate) struct TensorChange {
    pub(crate) name: String,
    /// `added`, `removed`, `retyped`, `reshaped` or `changed`.
    pub(crate) change: &'static str,
    pub(crate) before: Option<TensorFacts>,
    pub(crate) after: Option<TensorFacts>,
    /// How far its elements moved, where type and shape are the same.
    pub(crate) moved: Option<Moved>,
}

#[derive(Clone, Debug)]
pub(crate) struct TensorFacts {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

/// A code file on one side, and what a manifest claims of its review.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) file: String,
    /// `A` or `B`.
    pub(crate) side: &'static str,
    pub(crate) review: Review,
}

#[derive(Debug)]
pub(crate) enum Review {
    AsReviewed { reviewer: String },
    ChangedSince { reviewer: String },
    NotReviewed,
}

impl Inside {
    /// Neither side is compared, since one of them, or both, cannot be.
    pub(super) fn closed(a: Option<Closed>, b: Option<Closed>) -> Self {
        let sides = [("A", a), ("B", b)];
        let refused = |(side, closed): (_, Option<Closed>)| {
            Some(Refused {
                side,
                closed: closed?,
            })
        };
        Self::Closed(sides.into_iter().filter_map(refused).collect())
    }
}

impl Change {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::NotCompared => "not compared",
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            Some((rejection, subject)) => write!(f, "{rejection}: {subject:?}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}
