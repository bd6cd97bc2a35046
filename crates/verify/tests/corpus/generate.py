#!/usr/bin/env python3
"""Writes the attack corpus; with `--check`, only says whether it is as it would be written.

The corpus is an implementation of the formats that is independent of the crate: digests and
signatures are computed here, in plain Python, and the tests find that both agree.
"""

import sys
from pathlib import Path

sys.dont_write_bytecode = True

from generator import content, envelope, header, installed, policy, trust

HERE = Path(__file__).resolve().parent
KINDS = {"header": [header], "envelope": [envelope], "trust": [trust], "policy": [policy, content, installed]}


def corpus():
    """Every file of the corpus: path and content."""
    files = {}
    for kind, modules in KINDS.items():
        for case in (case for module in modules for case in module.cases()):
            path = HERE / kind / f"{case.name}.case"
            assert path not in files, f"{path} has two meanings"
            files[path] = case.render()
    return files


def differences(files):
    present = {path for kind in KINDS for path in (HERE / kind).glob("*")}
    yield from (f"unknown: {path}" for path in sorted(present - files.keys()))
    for path, content in files.items():
        if path not in present:
            yield f"missing: {path}"
        elif path.read_text() != content:
            yield f"changed: {path}"


def write(files):
    for kind in KINDS:
        (HERE / kind).mkdir(exist_ok=True)
        for path in set((HERE / kind).glob("*")) - files.keys():
            path.unlink()
    for path, content in files.items():
        path.write_text(content)


def main():
    files = corpus()
    if sys.argv[1:] == ["--check"]:
        found = list(differences(files))
        print(*found or [f"{len(files)} cases are as generated"], sep="\n")
        sys.exit(bool(found))
    write(files)
    print(f"{len(files)} cases")


if __name__ == "__main__":
    main()
