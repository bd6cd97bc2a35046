//! What a file may be: an allowlist of kinds, and names for what is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::format::Format;
use crate::json;
use crate::{FilePath, Rejection, RepoType, Rules};

/// What a file of a policy is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The model card and licence texts.
    Card,
    /// `config.json`, `train_config.json`, `adapter_config.json` and their like.
    Config,
    /// The pipelines before and after the network: `*_preprocessor.json`, `*_postprocessor.json`.
    Processor,
    /// A processor step's tensors: normaliser statistics.
    ProcessorState,
    /// What the Hub puts into every repository: `.gitattributes`.
    Repository,
    /// Code that a person reviewed; never run by this project.
    ReviewedCode,
    /// Vocabulary and settings of a tokenizer.
    Tokenizer,
    /// Tensors of the network.
    Weights,
    /// Which shard holds which tensor.
    WeightsIndex,
    /// Of a data set: episodes and their numbers, Parquet; verified, never interpreted.
    Table,
    /// Of a data set: what the cameras saw, MP4; verified, never interpreted.
    Video,
    /// Of a data set: what it says of itself, JSON or a line of JSON each.
    Metadata,
}

/// The one file of a directory that the manifest does not list: the manifest.
pub const MANIFEST_FILE: &str = "policy.dsse.json";

impl Kind {
    /// The kind that a name stands for in a repository of this type, or `None` where none needs
    /// such a file.
    pub fn of(path: &FilePath, repo_type: RepoType) -> Option<Self> {
        match repo_type {
            RepoType::Model => Self::of_model(path),
            RepoType::Dataset => Self::of_dataset(path),
        }
    }

    fn of_dataset(path: &FilePath) -> Option<Self> {
        let name = path.file_name();
        if matches!(name, ".gitattributes") {
            return Some(Self::Repository);
        }
        if matches!(name, "LICENSE" | "LICENSE.txt" | "NOTICE") {
            return Some(Self::Card);
        }
        match name.rsplit_once('.')?.1 {
            "parquet" => Some(Self::Table),
            "mp4" => Some(Self::Video),
            "json" | "jsonl" => Some(Self::Metadata),
            "md" => Some(Self::Card),
            _ => None,
        }
    }

    fn of_model(path: &FilePath) -> Option<Self> {
        let name = path.file_name();
        match name {
            ".gitattributes" => return Some(Self::Repository),
            "config.json"
            | "train_config.json"
            | "generation_config.json"
            | "adapter_config.json"
            | "preprocessor_config.json"
            | "processor_config.json" => return Some(Self::Config),
            "model.safetensors" | "adapter_model.safetensors" => return Some(Self::Weights),
            "model.safetensors.index.json" => return Some(Self::WeightsIndex),
            "tokenizer.json"
            | "tokenizer_config.json"
            | "special_tokens_map.json"
            | "added_tokens.json"
            | "vocab.json"
            | "merges.txt"
            | "vocab.txt" => return Some(Self::Tokenizer),
            "LICENSE" | "LICENSE.txt" | "NOTICE" => return Some(Self::Card),
            _ => {}
        }
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            "safetensors" if stem.contains("processor_step_") => Some(Self::ProcessorState),
            "safetensors" if is_shard(name) => Some(Self::Weights),
            "json" if stem.ends_with("processor") => Some(Self::Processor),
            "md" => Some(Self::Card),
            "py" => Some(Self::ReviewedCode),
            _ => None,
        }
    }

    /// Whether files of this kind are safetensors.
    pub const fn is_tensors(self) -> bool {
        matches!(self, Self::Weights | Self::ProcessorState)
    }

    /// Whether files of this kind may be as large as weights are.
    pub const fn is_large(self) -> bool {
        self.is_tensors() || matches!(self, Self::Table | Self::Video)
    }

    /// Whether files of this kind are JSON documents, by their name's ending or always.
    fn is_json(self, path: &FilePath) -> bool {
        match self {
            Self::Config | Self::Processor | Self::WeightsIndex => true,
            Self::Tokenizer | Self::Metadata => path.as_str().ends_with(".json"),
            _ => false,
        }
    }
}

/// `model-00001-of-00002.safetensors`: one of several files of weights. Other tensors (the state
/// of an optimiser, of a random number generator) are of training, never for a robot.
pub(crate) fn is_shard(name: &str) -> bool {
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("model-")
        .and_then(|rest| rest.strip_suffix(".safetensors"))
        .and_then(|rest| rest.split_once("-of-"))
        .is_some_and(|(shard, shards)| number(shard) && number(shards))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Card => "card",
            Self::Config => "config",
            Self::Processor => "processor",
            Self::ProcessorState => "processor-state",
            Self::Repository => "repository",
            Self::ReviewedCode => "reviewed-code",
            Self::Tokenizer => "tokenizer",
            Self::Weights => "weights",
            Self::WeightsIndex => "weights-index",
            Self::Table => "table",
            Self::Video => "video",
            Self::Metadata => "metadata",
        })
    }
}

/// The kind of `path`, or the refusal that says what the bytes look like.
///
/// # Errors
/// `file-kind-forbidden`, or the `format-*` code that names the content.
pub(crate) fn kind_of(path: &FilePath, repo_type: RepoType, first_bytes: &[u8]) -> Result<Kind> {
    match Kind::of(path, repo_type) {
        Some(kind) => Ok(kind),
        None => Err(match Format::of_file(path, first_bytes) {
            Some(format) => named(path, format),
            None => Error::rejected(
                Rejection::FileKindForbidden,
                path,
                "no policy needs a file of this name",
            ),
        }),
    }
}

/// The trust policy may let pass fewer kinds than there are.
pub(crate) fn refuse_kind(path: &FilePath, kind: Kind, rules: &Rules) -> Result<()> {
    if rules.content.allows_kind(kind) {
        return Ok(());
    }
    let detail = format!("the trust policy lets no {kind} pass");
    Err(Error::rejected(Rejection::FileKindForbidden, path, detail))
}

/// Checks the bytes of a file that is not safetensors for what its kind demands.
///
/// # Errors
/// `json-malformed`, `json-duplicate-key`, `format-unknown`, or the `format-*` code that names the content.
pub(crate) fn check_other(path: &FilePath, kind: Kind, bytes: &[u8]) -> Result<()> {
    let magic = |good: bool, what: &str| match good {
        true => Ok(()),
        false => Err(Error::rejected(
            Rejection::FormatUnknown,
            path,
            format!("not {what}"),
        )),
    };
    match kind {
        // https://parquet.apache.org/docs/file-format/: magic at both ends.
        Kind::Table => {
            return magic(
                bytes.len() >= 12 && bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"),
                "a Parquet file",
            );
        }
        // ISO/IEC 14496-12: the first box is `ftyp`.
        Kind::Video => return magic(bytes.get(4..8) == Some(b"ftyp"), "an MP4 file"),
        _ => {}
    }
    if !kind.is_json(path) {
        return check_text(path, kind, bytes);
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        let foreign = Format::of(bytes).map(|format| named(path, format));
        let malformed = || Error::rejected(Rejection::JsonMalformed, path, "not a JSON object");
        return Err(foreign.unwrap_or_else(malformed));
    }
    json::refuse_ambiguity(bytes).map_err(|error| error.of_file(path))
}

fn check_text(path: &FilePath, kind: Kind, bytes: &[u8]) -> Result<()> {
    if !is_text(bytes) {
        let detail = "neither text in UTF-8 nor any other allowed format";
        let foreign = Format::of(bytes).map(|format| named(path, format));
        return Err(
            foreign.unwrap_or_else(|| Error::rejected(Rejection::FormatUnknown, path, detail))
        );
    }
    // Code may well begin as scripts do; who reviewed it is judged elsewhere.
    match Format::of_text(bytes).filter(|_| kind != Kind::ReviewedCode) {
        Some(format) => Err(named(path, format)),
        None => Ok(()),
    }
}

fn named(path: &FilePath, format: Format) -> Error {
    Error::rejected(format.rejection(), path, format!("this is {format}"))
}

/// UTF-8 without the control characters that no text has (tabs, line and page ends are none of
/// them): what a card, a licence or a vocabulary is, and an archive, a program or a compressed
/// stream is not. JSON has its own, stricter rule.
fn is_text(bytes: &[u8]) -> bool {
    let plain =
        |c: char| !c.is_ascii_control() || matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x7f');
    str::from_utf8(bytes).is_ok_and(|text| text.chars().all(plain))
}

/// Puts the file's name before what is wrong inside it, and names a foreign format.
///
/// Only the strict parse decides that tensors are refused; the look at the first bytes finds the
/// better word.
pub(crate) fn name_refusal(path: &FilePath, first_bytes: &[u8], error: Error) -> Error {
    let Error::Rejected(found) = error else {
        return error;
    };
    let first = found.first();
    let subject = match &*first.subject {
        "header" => path.to_string(),
        inner => format!("{path}#{inner}"),
    };
    let broken_header = first.rejection.code().starts_with("header-");
    match Format::of(first_bytes).filter(|_| broken_header) {
        Some(format) => {
            let detail = format!("this is {format}, not safetensors ({})", first.detail);
            Error::rejected(format.rejection(), subject, detail)
        }
        None => Error::rejected(first.rejection, subject, &first.detail),
    }
}
