#!/usr/bin/env python3
"""Writes the attack corpus; with `--check`, only says whether it is as it would be written; with
`--seeds DIR`, writes what its files hold as first inputs of the fuzz targets.

The corpus is an implementation of the formats that is independent of the crate: digests and
signatures are computed here, in plain Python, and the tests find that both agree.
"""

import base64
import hashlib
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from generator import (
    content,
    envelope,
    formats,
    header,
    hostile,
    installed,
    listing,
    notation,
    policy,
    polyglot,
    revocations,
    shards,
    statement,
    statistics,
    table,
    trust,
    unusable,
    values,
)

HERE = Path(__file__).resolve().parent
KINDS = {
    "header": [header, table, values, polyglot],
    "envelope": [envelope, statement, listing],
    "trust": [trust, revocations, unusable],
    "policy": [policy, formats, content, statistics, shards, installed, hostile],
}

# Files of the fuzz target `content`, in the order of the byte that chooses them.
CONTENT = [
    "config.json",
    "policy_preprocessor.json",
    "model.safetensors",
    "policy_preprocessor_step_3_normalizer_processor.safetensors",
    "model.safetensors.index.json",
    "adapter_config.json",
    "tokenizer_config.json",
    "README.md",
    "modeling.py",
    "policy_postprocessor.json",
    "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
]


def cases():
    for kind, modules in KINDS.items():
        for module in modules:
            yield from ((kind, case) for case in module.cases())


def corpus():
    """Every file of the corpus: path and content."""
    files = {}
    for kind, case in cases():
        path = HERE / kind / f"{case.name}.case"
        assert path not in files, f"{path} has two meanings"
        files[path] = case.render()
    return files


def differences(files):
    present = {path for kind in KINDS for path in (HERE / kind).glob("*")}
    yield from (f"unknown: {path}" for path in sorted(present - files.keys()))
    for path, rendered in files.items():
        if path not in present:
            yield f"missing: {path}"
        elif path.read_text() != rendered:
            yield f"changed: {path}"


def write(files):
    for kind in KINDS:
        (HERE / kind).mkdir(exist_ok=True)
        for path in set((HERE / kind).glob("*")) - files.keys():
            path.unlink()
    for path, rendered in files.items():
        path.write_text(rendered)


def write_seeds(folder):
    """One input per file of a case, in a directory per fuzz target."""
    for kind, case in cases():
        for title, pieces in [("", case.body), *case.parts]:
            data = notation.content(pieces)
            for target, seed in seeds(title.rsplit("/", 1)[-1].removeprefix("file "), data):
                path = Path(folder) / target / f"{kind}-{hashlib.sha256(seed).hexdigest()[:16]}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(seed)


def seeds(name, data):
    """The targets for which the bytes of a file of this name are an input."""
    # Large inputs only make each run slow.
    if len(data) > 1 << 16:
        return
    if name == "" or name.endswith(".safetensors"):
        yield from (("header", data), ("differential", data))
    if name.endswith(".dsse.json"):
        yield "envelope", data
        yield from (("statement", payload) for payload in payloads(data))
    if name == "trust.toml":
        yield "trust", data
    if name in CONTENT:
        yield "content", bytes([CONTENT.index(name)]) + data
        yield "assembly", bytes([CONTENT.index(name)]) + data


def payloads(envelope):
    try:
        yield base64.b64decode(json.loads(envelope)["payload"], validate=True)
    except (ValueError, TypeError, KeyError):
        pass


def main():
    if sys.argv[1:2] == ["--seeds"]:
        return write_seeds(sys.argv[2])
    files = corpus()
    if sys.argv[1:] == ["--check"]:
        found = list(differences(files))
        print(*found or [f"{len(files)} cases are as generated"], sep="\n")
        sys.exit(bool(found))
    write(files)
    print(f"{len(files)} cases")


if __name__ == "__main__":
    main()
