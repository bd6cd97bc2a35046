//! What is refused is called by its name, and nothing good is refused for a likeness.

use std::fs;

use tensorgate_verify::{Rejection, Result};

use crate::support::{CONFIG, survey};

fn judge(name: &str, bytes: &[u8]) -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    survey(folder.path()).map(drop)
}

#[test]
fn formats_that_no_policy_needs_are_named() {
    use Rejection::*;
    let at = |at: usize, magic: &[u8]| [&vec![b'.'; at][..], magic].concat();
    let hdf5 = b"\x89HDF\r\n\x1a\n";
    let cases: &[(&str, &[u8], Rejection, &str)] = &[
        (
            "model.pt",
            b"PK\x03\x04\0\0\0\0archive/data.pkl",
            FormatArchive,
            "zip",
        ),
        (
            "model.pt",
            b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
            FormatPickle,
            "pickle",
        ),
        ("model.pth", b"?", FormatPickle, "pickle"),
        (
            "pytorch_model.bin",
            b"\x80\x02}q\0.",
            FormatPickle,
            "pickle",
        ),
        ("state", b"cos\nsystem\n(S'x'\ntR.", FormatPickle, "pickle"),
        (
            "state",
            b"((S'x'\nios\nsystem\n.",
            FileKindForbidden,
            "no policy needs",
        ),
        ("state", b"(ios\nsystem\n.", FormatPickle, "pickle"),
        ("state", b"(dp0\n.", FormatPickle, "pickle"),
        (
            "state",
            b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.",
            FormatPickle,
            "pickle",
        ),
        ("state", b"cats\nand", FileKindForbidden, "no policy needs"),
        ("weights.npz", b"PK\x03\x04", FormatArchive, "zip"),
        ("weights.npy", b"\x93NUMPY\x01\0", FormatUnknown, "NumPy"),
        ("model.joblib", b"\x78\x9c", FormatPickle, "pickle"),
        ("model.joblib", b"\x04\x22\x4d\x18", FormatPickle, "pickle"),
        ("model.dat", b"ZF0x19      ", FormatPickle, "pickle"),
        ("model.dat", b"\x1f\x8b\x08", FormatArchive, "gzip"),
        ("model.dat", b"BZh91AY", FormatArchive, "bzip2"),
        ("model.dat", b"\xfd7zXZ\0", FormatArchive, "xz"),
        ("model.dat", b"\x04\x22\x4d\x18", FormatArchive, "lz4"),
        ("model.dat", b"\x78\xda", FormatArchive, "zlib"),
        ("model.7z", b"7z\xbc\xaf\x27\x1c", FormatArchive, "7z"),
        ("model.dat", &at(257, b"ustar\0"), FormatArchive, "tar"),
        ("model.h5", hdf5, FormatUnknown, "HDF5"),
        ("model.dat", &at(512, hdf5), FormatUnknown, "HDF5"),
        ("model.dat", &at(2048, hdf5), FormatUnknown, "HDF5"),
        ("model.gguf", b"GGUF\x03\0\0\0", FormatUnknown, "GGUF"),
        (
            "model.onnx",
            b"\x08\x08\x12\x07pytorch",
            FormatUnknown,
            "ONNX",
        ),
        (
            "model.dat",
            b"\x08\x08\x12\x07pytorch",
            FormatUnknown,
            "ONNX",
        ),
        (
            "model.tflite",
            b"\x1c\0\0\0TFL3",
            FormatUnknown,
            "TensorFlow Lite",
        ),
        ("saved_model.pb", b"\x08\x01", FormatUnknown, "TensorFlow"),
        ("lib.dat", b"\x7fELF\x02", FormatExecutable, "ELF"),
        ("lib.dat", b"MZ\x90\0", FormatExecutable, "Windows"),
        ("lib.so", b"?", FormatExecutable, "native"),
        ("a.dll", b"?", FormatExecutable, "native"),
        ("run", b"#!/bin/sh", FormatExecutable, "script"),
        ("run.sh", b"echo", FormatExecutable, "script"),
        ("a.pyc", b"\xcb\x0d\x0d\x0a", FormatExecutable, "Python"),
        ("a.whl", b"?", FormatExecutable, "Python"),
        ("a.ipynb", b"{}", FormatExecutable, "notebook"),
        (
            "chat_template.jinja",
            b"{{ x }}",
            FormatExecutable,
            "template",
        ),
        ("CONFIG.YAML", b"a: 1", FormatUnknown, "YAML"),
        (
            "model.dat",
            b"version https://git-lfs.github.com/spec/v1\n",
            FormatUnknown,
            "LFS",
        ),
        (
            "model.safetensors",
            b"<!DOCTYPE html>",
            FormatUnknown,
            "HTML",
        ),
        (
            "model.safetensors",
            b"{\"error\":\"Repository not found\"}",
            FormatUnknown,
            "error",
        ),
        (
            "model.safetensors",
            b"MZ\x90\0\x03\0\0\0\x04",
            FormatExecutable,
            "Windows",
        ),
        (
            "config.json",
            b"version https://git-lfs.github.com/spec/v1\n",
            FormatUnknown,
            "LFS",
        ),
        ("config.json", b"\x80\x04\x95", FormatPickle, "pickle"),
        (
            "vocab.txt",
            b"version https://git-lfs.github.com/spec/v1\n",
            FormatUnknown,
            "LFS",
        ),
        ("README.md", b"#!/bin/sh\n", FormatExecutable, "script"),
        ("vocab.txt", b"MZ\x90\0", FormatExecutable, "Windows"),
        ("merges.txt", b"BZh91AY&SY\0", FormatArchive, "bzip2"),
    ];
    for (name, bytes, expected, word) in cases {
        let error = judge(name, bytes).unwrap_err();
        assert_eq!(error.rejection(), Some(*expected), "{name}: {error}");
        assert!(error.to_string().contains(word), "{name}: {error}");
    }
}

#[test]
fn text_may_begin_with_any_word() {
    let words = [
        "MZ",
        "BZh",
        "(i",
        "PK",
        "GGUF",
        "#!",
        "ZF0x",
        "cat\ndog",
        "(dp0",
        "#version: 0.2",
        "x\u{9c}",
    ];
    for word in words {
        for name in ["vocab.txt", "merges.txt", "README.md", "LICENSE"] {
            let text = format!("{word}\nand more\n");
            judge(name, text.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    judge("config.json", CONFIG.as_bytes()).unwrap();
    judge("vocab.json", br#"{"error": 1, "MZ": 2}"#).unwrap();
}

#[test]
fn code_is_judged_by_who_reviewed_it_not_by_its_first_line() {
    let code = b"#!/usr/bin/env python\n";
    let rejection = judge("modeling.py", code)
        .err()
        .and_then(|error| error.rejection());
    assert_ne!(rejection, Some(Rejection::FormatExecutable));
}
