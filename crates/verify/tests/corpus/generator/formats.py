"""Attacks by formats: what runs, unpacks or means two things, under whatever name."""

import io
import tarfile
import zlib

from .notation import file, raw, repeat, text
from .policy import LEGACY, LOST_STATE, PICKLE, beside
from .polyglot import archive


def tar():
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tarred:
        member = tarfile.TarInfo("data.pkl")
        member.size = len(PICKLE)
        tarred.addfile(member, io.BytesIO(PICKLE))
    return target.getvalue()


def formats():
    pickle, packed, program, unknown = "format-pickle", "format-archive", "format-executable", "format-unknown"
    text_pickle = b"cos\nsystem\n(S'id'\ntR."
    rows = [
        ("pickle_2", "pytorch_model.bin", b"\x80\x02}q\0.", pickle),
        ("pickle_3", "model.pkl", b"\x80\x03}q\0.", pickle),
        ("pickle_4", "policy.pt", PICKLE, pickle),
        ("pickle_5", "model.bin", b"\x80\x05" + PICKLE[2:], pickle),
        ("pickle_of_text", "rng_state.pth", text_pickle, pickle),
        ("pickle_of_torch", "model.pth", LEGACY, pickle),
        ("pickle_as_joblib", "scaler.joblib", PICKLE, pickle),
        ("pickle_as_weights", "model.safetensors", PICKLE, pickle),
        ("pickle_of_torch_as_weights", "model.safetensors", LEGACY, pickle),
        ("pickle_of_text_as_weights", "model.safetensors", text_pickle, pickle),
        ("pickle_as_card", "README.md", PICKLE, pickle),
        ("pickle_of_text_as_card", "README.md", text_pickle, pickle),
        ("pickle_of_text_as_licence", "LICENSE", b"(cbuiltins\nprint\nS'x'\no.", pickle),
        ("pickle_of_inst_as_vocabulary", "merges.txt", b"(S'id'\nios\nsystem\n.", pickle),
        ("pickle_as_config", "config.json", PICKLE, pickle),
        ("pickle_of_text_as_config", "config.json", text_pickle, pickle),
        ("pickle_as_tokenizer", "tokenizer.json", PICKLE, pickle),
        ("pickle_as_state", "policy_preprocessor_step_3_normalizer_processor.safetensors", PICKLE, pickle),
        ("zip_of_torch", "model.pt", archive(), packed),
        ("zip_as_weights", "model.safetensors", archive(), packed),
        ("zip_as_card", "README.md", archive(), packed),
        ("zip_empty", "model.npz", b"PK\5\6" + bytes(18), packed),
        ("zip_of_keras", "model.keras", archive(), packed),
        ("tar", "model.nemo", tar(), packed),
        ("tar_as_weights", "model.safetensors", tar(), packed),
        ("tar_as_card", "README.md", tar(), packed),
        ("seven_zip", "model.7z", b"7z\xbc\xaf\x27\x1c\0\4" + bytes(24), packed),
        ("gzip", "model.safetensors.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff\3\0" + bytes(8), packed),
        ("bzip2", "scaler.bz2", b"BZh91AY&SY" + bytes(8), packed),
        ("bzip2_as_joblib", "scaler.joblib", b"BZh91AY&SY" + bytes(8), pickle),
        ("xz", "scaler.xz", b"\xfd7zXZ\0\0\4" + bytes(8), packed),
        ("lz4", "scaler.lz4", b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(8), packed),
        ("zlib", "scaler.z", zlib.compress(PICKLE), packed),
        ("zlib_as_joblib", "scaler.joblib", zlib.compress(PICKLE), pickle),
        ("elf", "libpolicy.so", b"\x7fELF\2\1\1" + bytes(9), program),
        ("elf_as_card", "README.md", b"\x7fELF\2\1\1" + bytes(9), program),
        ("elf_as_weights", "model.safetensors", b"\x7fELF\2\1\1" + bytes(60), program),
        ("pe", "policy.dll", b"MZ\x90\0\3" + bytes(20), program),
        ("script", "run.sh", b"#!/bin/sh\nid\n", program),
        ("script_as_card", "README.md", b"#!/bin/sh\nid\n", program),
        ("script_as_licence", "LICENSE", b"#!/usr/bin/env python3\n", program),
        ("numpy", "stats.npy", b"\x93NUMPY\1\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", unknown),
        ("hdf5", "model.h5", b"\x89HDF\r\n\x1a\n" + bytes(8), unknown),
        ("hdf5_as_weights", "model.safetensors", b"\x89HDF\r\n\x1a\n" + bytes(88), unknown),
        ("gguf", "model.gguf", b"GGUF\3\0\0\0" + bytes(16), unknown),
        ("tflite", "model.tflite", b"\x1c\0\0\0TFL3" + bytes(8), unknown),
        (
            "lfs_pointer_as_weights",
            "model.safetensors",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n",
            unknown,
        ),
        (
            "lfs_pointer_as_config",
            "config.json",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n",
            unknown,
        ),
        ("error_page_as_weights", "model.safetensors", b"<!DOCTYPE html><html><body>Not Found</body></html>", unknown),
        ("binary_as_card", "README.md", b"# Walk\n\0\1\2", unknown),
        ("escape_in_card", "README.md", b"# Walk \x1b]0;x\x07\n", unknown),
        ("latin1_as_card", "README.md", b"# f\xfcr\n", unknown),
        ("utf16_as_vocabulary", "merges.txt", b"\xff\xfea\0b\0", unknown),
    ]
    for name, path, data, expect in rows:
        pieces = raw(data) if any(byte >= 0x80 or byte < 9 for byte in data) else text(data)
        yield beside(
            f"format_{name}",
            expect,
            "Runs, or unpacks, or means something else to a loader that looks at the bytes."
            if expect != unknown
            else "Bytes that are none of the allowed formats.",
            file(path, pieces),
            subject=path,
            **({"also": LOST_STATE} if "processor_step" in path else {}),
        )


def json_files():
    malformed, twice = "json-malformed", "json-duplicate-key"
    good = '{"type": "act"}'
    rows = [
        ("empty", "", malformed),
        ("array", "[1]", malformed),
        ("text", '"act"', malformed),
        ("null", "null", malformed),
        ("second_value", good + good, malformed),
        ("trailing_comma", '{"type": "act",}', malformed),
        ("comment", '{"type": "act" /* x */}', malformed),
        ("nan", '{"type": "act", "dropout": NaN}', malformed),
        ("infinity", '{"type": "act", "dropout": Infinity}', malformed),
        ("huge_number", '{"type": "act", "dropout": 1e999}', malformed),
        ("byte_order_mark", "\ufeff" + good, malformed),
        ("single_quotes", "{'type': 'act'}", malformed),
        ("raw_control", '{"type": "a\x01ct"}', malformed),
        ("lone_surrogate", '{"type": "\\ud800"}', malformed),
        ("not_utf8", b'{"type": "\xff"}', malformed),
        ("cut", '{"type": "ac', malformed),
        ("nested_deeply", '{"type": ' + "[" * 200 + "]" * 200 + "}", malformed),
        ("key_twice", '{"type": "act", "type": "smolvla"}', twice),
        ("key_twice_escaped", '{"type": "act", "typ\\u0065": "smolvla"}', twice),
        ("key_twice_below", '{"type": "act", "a": [{"b": 1, "b": 2}]}', twice),
    ]
    for name, data, expect in rows:
        yield beside(
            f"json_{name}",
            expect,
            "Readers disagree about what it says."
            if expect == twice
            else "Strict readers refuse it, lenient ones make something of it.",
            file("config.json", text(data)),
            subject="config.json",
        )
    for path in (
        "policy_preprocessor.json",
        "tokenizer_config.json",
        "train_config.json",
        "adapter_config.json",
        "generation_config.json",
    ):
        also = {"also": "processor-state-unsafe"} if "processor" in path else {}
        yield beside(
            f"json_key_twice_in_{path.split('.')[0]}",
            twice,
            "The same rule for every document.",
            file(path, text('{"a": 1, "a": 2}')),
            subject=path,
            **also,
        )
    yield beside(
        "json_of_17_mb",
        "json-too-large",
        "A document without end.",
        file("config.json", text("{") + repeat(17 << 20, text(" ")) + text("}")),
        subject="config.json",
    )
    yield beside(
        "text_of_17_mb",
        "json-too-large",
        "A card without end.",
        file("README.md", repeat(17 << 20, text("x"))),
        subject="README.md",
    )


def cases():
    yield from formats()
    yield from json_files()
