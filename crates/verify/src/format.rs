//! Formats that are refused, by their first bytes: a better word for the refusal, never a pass.

use std::fmt;

use crate::Rejection;

/// Formats worth a name of their own in a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
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
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        MAGIC
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            .map(|(_, format)| *format)
    }

    pub(crate) const fn rejection(self) -> Rejection {
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
