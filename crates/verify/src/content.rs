//! What a file may be: an allowlist of kinds, and names for what is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::json::{self, JsonError};
use crate::{FilePath, Rejection};

/// What a file of a policy is for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The model card and licence texts.
    Card,
    /// `config.json`, `train_config.json` and their like.
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
}

/// The one file of a directory that the manifest does not list: the manifest.
pub const MANIFEST_FILE: &str = "policy.dsse.json";

impl Kind {
    /// The kind that a name stands for, or `None` where no policy needs such a file.
    pub fn of(path: &FilePath) -> Option<Self> {
        let name = path.file_name();
        match name {
            ".gitattributes" => return Some(Self::Repository),
            "config.json" | "train_config.json" | "generation_config.json" => {
                return Some(Self::Config);
            }
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
            "safetensors" => Some(Self::Weights),
            "json" if stem.ends_with(".safetensors.index") => Some(Self::WeightsIndex),
            "json" if stem.ends_with("processor") || stem == "processor_config" => {
                Some(Self::Processor)
            }
            "md" => Some(Self::Card),
            "py" => Some(Self::ReviewedCode),
            _ => None,
        }
    }

    /// Whether files of this kind are safetensors.
    pub const fn is_tensors(self) -> bool {
        matches!(self, Self::Weights | Self::ProcessorState)
    }

    /// Whether files of this kind are JSON documents, by their name's ending or always.
    fn is_json(self, path: &FilePath) -> bool {
        match self {
            Self::Config | Self::Processor | Self::WeightsIndex => true,
            Self::Tokenizer => path.as_str().ends_with(".json"),
            _ => false,
        }
    }
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
        })
    }
}

/// The kind of `path`, or the refusal that says what the bytes look like.
///
/// # Errors
/// `file-kind-forbidden`, `code-unreviewed`, or the `format-*` code that names the content.
pub(crate) fn kind_of(path: &FilePath, first_bytes: &[u8]) -> Result<Kind> {
    match Kind::of(path) {
        Some(Kind::ReviewedCode) => Err(Error::rejected(
            Rejection::CodeUnreviewed,
            path,
            "code that no reviewer vouches for",
        )),
        Some(kind) => Ok(kind),
        None => Err(match Format::of(first_bytes) {
            Some(format) => Error::rejected(format.rejection(), path, format!("this is {format}")),
            None => Error::rejected(
                Rejection::FileKindForbidden,
                path,
                "no policy needs a file of this name",
            ),
        }),
    }
}

/// Checks a small file's bytes for what its kind demands.
///
/// # Errors
/// `json-malformed`, `json-duplicate-key`, `format-unknown`, or the `format-*` code that names the content.
pub(crate) fn check_small(path: &FilePath, kind: Kind, bytes: &[u8]) -> Result<()> {
    if let Some(format) = Format::of(bytes) {
        return Err(Error::rejected(
            format.rejection(),
            path,
            format!("this is {format}"),
        ));
    }
    if !kind.is_json(path) {
        if is_text(bytes) {
            return Ok(());
        }
        let detail = "neither text in UTF-8 nor any other allowed format";
        return Err(Error::rejected(Rejection::FormatUnknown, path, detail));
    }
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Error::rejected(
            Rejection::JsonMalformed,
            path,
            "not a JSON object",
        ));
    }
    json::refuse_ambiguity(bytes).map_err(|error| {
        let rejection = match error {
            JsonError::DuplicateKey(_) => Rejection::JsonDuplicateKey,
            JsonError::UnknownField(_) | JsonError::Malformed(_) => Rejection::JsonMalformed,
        };
        Error::rejected(rejection, path, error)
    })
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
/// better word. Benign headers of some lengths begin with bytes that are also a pickle's.
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

/// Formats worth a name of their own in a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Archive(&'static str),
    Executable(&'static str),
    Pickle,
    Unknown(&'static str),
}

/// First bytes and what they mean. Sources: pickle protocols 2 to 5 (`pickletools`), APPNOTE.TXT,
/// the HDF5, GGUF, ELF and PE specifications, RFC 1952, NumPy's NEP 1, the Git LFS specification.
const MAGIC: &[(&[u8], Format)] = &[
    (b"\x80\x02", Format::Pickle),
    (b"\x80\x03", Format::Pickle),
    (b"\x80\x04", Format::Pickle),
    (b"\x80\x05", Format::Pickle),
    (
        b"PK\x03\x04",
        Format::Archive("a zip archive, the form of .pt, .npz and .keras files"),
    ),
    (b"PK\x05\x06", Format::Archive("an empty zip archive")),
    (b"7z\xbc\xaf\x27\x1c", Format::Archive("a 7z archive")),
    (b"\x1f\x8b", Format::Archive("gzip data")),
    (b"BZh", Format::Archive("bzip2 data")),
    (b"\xfd7zXZ\0", Format::Archive("xz data")),
    (
        b"\x93NUMPY",
        Format::Unknown("a NumPy array, which may hold pickled objects"),
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        Format::Unknown("HDF5, the form of .h5 and old .keras files"),
    ),
    (b"GGUF", Format::Unknown("GGUF")),
    (b"\x7fELF", Format::Executable("an ELF program or library")),
    (b"MZ", Format::Executable("a Windows program or library")),
    (b"#!", Format::Executable("a script")),
    (
        b"version https://git-lfs",
        Format::Unknown("a Git LFS pointer: the file itself was not fetched"),
    ),
    (b"<!DOCTYPE", Format::Unknown("an HTML page")),
    (b"<html", Format::Unknown("an HTML page")),
];

impl Format {
    fn of(bytes: &[u8]) -> Option<Self> {
        MAGIC
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            .map(|(_, format)| *format)
    }

    const fn rejection(self) -> Rejection {
        match self {
            Self::Archive(_) => Rejection::FormatArchive,
            Self::Executable(_) => Rejection::FormatExecutable,
            Self::Pickle => Rejection::FormatPickle,
            Self::Unknown(_) => Rejection::FormatUnknown,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Archive(what) | Self::Executable(what) | Self::Unknown(what) => what,
            Self::Pickle => "a Python pickle, which runs code when it is loaded",
        })
    }
}
