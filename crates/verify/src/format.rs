//! Formats that are refused, by what they begin with or are called: a better word for the refusal,
//! never a pass.

use std::fmt;

use crate::polyglot::is_pickle;
use crate::{FilePath, Rejection};

/// Formats worth a name of their own in a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Archive(&'static str),
    /// A stream that may hold anything; the file's name says more.
    Compressed(&'static str),
    Executable(&'static str),
    Pickle,
    Unknown(&'static str),
}

use Format::{Archive, Compressed, Executable, Pickle, Unknown};

/// First bytes that are looked at: HDF5 may begin at 0, 512, 1024 or 2048, tar says so at 257.
pub(crate) const HEAD: usize = 4 << 10;

const ZIP: Format = Archive("a zip archive, the form of .pt, .npz and .keras files");
const TAR: Format = Archive("a tar archive");
const NUMPY: Format = Unknown("a NumPy array, which may hold pickled objects");
const HDF5: Format = Unknown("HDF5, the form of .h5 and old .keras files, which may name code");
const GGUF: Format = Unknown("GGUF, whose chat template is code");
const ONNX: Format = Unknown("ONNX, which may refer to other files");
const TFLITE: Format = Unknown("a TensorFlow Lite model");
const PYTHON: Format = Executable("Python code");
const LIBRARY: Format = Executable("a native program or library");
const SCRIPT: Format = Executable("a script");
const POINTER: Format = Unknown("a Git LFS pointer, which `git lfs pull` replaces by the file");
const PAGE: Format = Unknown("an HTML page");

/// Where, which bytes, and what they mean. Sources: pickle protocols 2 to 5 (`pickletools`), PyTorch
/// before 1.6 (its magic number, a LONG1), APPNOTE.TXT, POSIX `pax`, RFC 1950 and 1952, the formats
/// of 7z, bzip2, xz, lz4, joblib, HDF5 (superblock), GGUF, ELF, Mach-O, PE, WebAssembly, TensorFlow
/// Lite (its FlatBuffers identifier), NumPy's NEP 1, the Git LFS specification.
const MAGIC: &[(usize, &[u8], Format)] = &[
    (0, b"\x80\x02", Pickle),
    (0, b"\x80\x03", Pickle),
    (0, b"\x80\x04", Pickle),
    (0, b"\x80\x05", Pickle),
    (0, b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19", Pickle),
    (0, b"(dp0\n", Pickle),
    (0, b"(lp0\n", Pickle),
    (0, b"PK\x03\x04", ZIP),
    (0, b"PK\x05\x06", Archive("an empty zip archive")),
    (257, b"ustar", TAR),
    (0, b"7z\xbc\xaf\x27\x1c", Archive("a 7z archive")),
    (0, b"\x1f\x8b", Compressed("gzip data")),
    (0, b"BZh", Compressed("bzip2 data")),
    (0, b"\xfd7zXZ\0", Compressed("xz data")),
    (0, b"\x04\x22\x4d\x18", Compressed("lz4 data")),
    (0, b"\x78\x01", Compressed("zlib data")),
    (0, b"\x78\x5e", Compressed("zlib data")),
    (0, b"\x78\x9c", Compressed("zlib data")),
    (0, b"\x78\xda", Compressed("zlib data")),
    (0, b"ZF0x", Pickle),
    (0, b"\x93NUMPY", NUMPY),
    (0, b"\x89HDF\r\n\x1a\n", HDF5),
    (512, b"\x89HDF\r\n\x1a\n", HDF5),
    (1024, b"\x89HDF\r\n\x1a\n", HDF5),
    (2048, b"\x89HDF\r\n\x1a\n", HDF5),
    (0, b"GGUF", GGUF),
    (4, b"TFL3", TFLITE),
    (0, b"\x7fELF", Executable("an ELF program or library")),
    (0, b"MZ", Executable("a Windows program or library")),
    (
        0,
        b"\xcf\xfa\xed\xfe",
        Executable("a macOS program or library"),
    ),
    (0, b"\0asm", Executable("a WebAssembly program")),
    (0, b"#!", SCRIPT),
    (0, b"version https://git-lfs", POINTER),
    (0, b"<!DOCTYPE", PAGE),
    (0, b"<!doctype", PAGE),
    (0, b"<html", PAGE),
    (
        0,
        b"{\"error\"",
        Unknown("an error message in place of the file"),
    ),
];

/// What is itself text, and in a text file not what it should be.
const TEXT: &[(&[u8], Format)] = &[
    (b"#!/", SCRIPT),
    (b"#! /", SCRIPT),
    (b"version https://git-lfs", POINTER),
    (b"<!DOCTYPE", PAGE),
    (b"<!doctype", PAGE),
    (b"<html", PAGE),
];

/// Endings of names, for what has no mark of its own or whose content says less.
const ENDINGS: &[(&[&str], Format)] = &[
    (
        &[
            "pkl", "pickle", "joblib", "dill", "pt", "pth", "bin", "ckpt",
        ],
        Pickle,
    ),
    (&["zip", "npz", "keras"], ZIP),
    (&["tar", "tgz"], TAR),
    (&["npy"], NUMPY),
    (&["h5", "hdf5"], HDF5),
    (&["gguf"], GGUF),
    (&["onnx"], ONNX),
    (&["tflite"], TFLITE),
    (&["pb"], Unknown("a TensorFlow graph, which is a program")),
    (&["py", "pyc", "pyi", "whl"], PYTHON),
    (&["ipynb"], Executable("a notebook, which holds code")),
    (&["jinja", "j2"], Executable("a template, which is code")),
    (&["so", "dll", "dylib", "exe"], LIBRARY),
    (&["sh", "bash", "bat", "ps1"], SCRIPT),
    (
        &["yaml", "yml"],
        Unknown("YAML, from which loaders can make objects"),
    ),
];

impl Format {
    /// What a file that begins with `head` is.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        let magic = |(at, magic, _): &&(usize, &[u8], Self)| {
            head.get(*at..).is_some_and(|from| from.starts_with(magic))
        };
        let found = MAGIC.iter().find(magic).map(|(_, _, format)| *format);
        found
            .or_else(|| imports(head).then_some(Pickle))
            .or_else(|| is_onnx(head).then_some(ONNX))
    }

    /// What a file of this name that begins with `head` is.
    pub(crate) fn of_file(path: &FilePath, head: &[u8]) -> Option<Self> {
        let ending = path
            .file_name()
            .rsplit_once('.')
            .map(|(_, ending)| ending.to_ascii_lowercase());
        let named = || {
            let row = ENDINGS
                .iter()
                .find(|(all, _)| ending.as_deref().is_some_and(|e| all.contains(&e)));
            row.map(|(_, format)| *format)
        };
        match Self::of(head) {
            Some(Compressed(what)) => named().or(Some(Compressed(what))),
            found => found.or_else(named),
        }
    }

    /// What a text is in place of what it should be. Whatever is text is no native program and no
    /// archive, and a vocabulary may begin with any word; so a pickle is one only as a whole.
    pub(crate) fn of_text(text: &[u8]) -> Option<Self> {
        let found = TEXT.iter().find(|(start, _)| text.starts_with(start));
        found
            .map(|(_, format)| *format)
            .or_else(|| is_pickle(text).then_some(Pickle))
    }

    pub(crate) const fn rejection(self) -> Rejection {
        match self {
            Archive(_) | Compressed(_) => Rejection::FormatArchive,
            Executable(_) => Rejection::FormatExecutable,
            Pickle => Rejection::FormatPickle,
            Unknown(_) => Rejection::FormatUnknown,
        }
    }
}

/// Whether a pickle of protocol 0 or 1 begins with what it imports: GLOBAL or INST, two lines.
fn imports(head: &[u8]) -> bool {
    let from = head
        .iter()
        .position(|byte| *byte != b'(')
        .unwrap_or_default();
    let Some((b'c' | b'i', rest)) = head.get(from..).and_then(<[u8]>::split_first) else {
        return false;
    };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.".contains(byte);
    let mut lines = rest.split(|byte| *byte == b'\n');
    // The third is what follows the second's end.
    let names = [lines.next(), lines.next()];
    lines.next().is_some()
        && names
            .iter()
            .flatten()
            .all(|line| !line.is_empty() && line.iter().all(plain))
}

/// A protobuf that begins with a small `ir_version` and a `producer_name` (onnx.proto).
fn is_onnx(head: &[u8]) -> bool {
    matches!(head, [0x08, 1..=0x20, 0x12, ..])
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Archive(what) | Compressed(what) | Executable(what) | Unknown(what) => what,
            Pickle => "a Python pickle, which runs code when it is loaded",
        })
    }
}
