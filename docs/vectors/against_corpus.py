#!/usr/bin/env python3
"""Puts the attack corpus before the verifier beside this file, which was written from docs/formats/ alone.

Of each case, the first code must be the expected one; content.md leaves free how a foreign format is called.
"""

import hashlib
import importlib.util
import json
import os
import socket
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[1] / "crates/verify/tests/corpus"
sys.path.insert(1, str(CORPUS))

from generator import notation  # noqa: E402

import envelope  # noqa: E402
from content import audit, check_other, is_tensors, kind_of  # noqa: E402
from tensors import check_values, parse_header, refuse_polyglot  # noqa: E402
from trust import TrustPolicy  # noqa: E402
from verify import Memory, Verifier, listing  # noqa: E402
from words import LIMITS, CouldNotCheck, Findings, Rejected, tomllib  # noqa: E402

NOW = "2026-11-23T12:00:00Z"
KINDS = ("header", "envelope", "trust", "policy")


def cases():
    """Every case of the corpus; its generator has the name of ours."""
    spec = importlib.util.spec_from_file_location("corpus", CORPUS / "generate.py")
    corpus = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corpus)
    return corpus.cases()


def main():
    counts, wrong = Counter(), []
    for kind, case in cases():
        found = outcome(kind, case)
        counts[kind] += 1
        if not agrees(found, case.expect):
            wrong.append(f"{kind}/{case.name}: {found}, expected {case.expect}")
    print(*wrong, sep="\n" if wrong else "")
    for kind in KINDS:
        print(f"{kind}: {counts[kind]} cases")
    sys.exit(bool(wrong))


def agrees(found, expected):
    """Whether a found code will do."""
    refused = found.startswith(("format-", "header-", "json-malformed", "file-kind-forbidden"))
    return found == expected or expected.startswith("format-") and refused


def outcome(kind, case):
    try:
        judge(kind, case)
        return "accept"
    except Rejected as fault:
        return fault.code
    except CouldNotCheck:
        return "could-not-check"


def judge(kind, case):
    content, limits = (tomllib.loads(case.head.get(key, "")) for key in ("content", "limits"))
    limits = LIMITS | limits
    if kind == "header":
        data = notation.content(case.body)
        return judge_tensors("model.safetensors", data, content, limits)
    files = {title.removeprefix("file "): notation.content(body) for title, body in case.parts if title[:5] == "file "}
    if "trust.toml" in files:
        return judge_signed(kind, case, files)
    with tempfile.TemporaryDirectory() as folder:
        present = make(case, folder, limits)
        judge_unsigned(case, present, files, content, limits)


def judge_signed(kind, case, files):
    head = case.head
    trust = TrustPolicy(files["trust.toml"].decode(), lambda name: read(files, name))
    memory = None
    if "accepted" in head or "floor" in head:
        memory = Memory()
        memory.floor = envelope.instant(head.get("floor", "1970-01-01T00:00:00Z"))
    repo, revision, repo_type = head.get("repo"), head.get("revision"), head.get("repo-type", "model")
    verifier = Verifier(trust, envelope.instant(head.get("now", NOW)), memory, repo, revision, repo_type)
    if "accepted" in head:
        sequence, _, digest = head["accepted"].partition(" ")
        if not digest:
            raise CouldNotCheck("what was accepted is lost")
        memory.accepted = Any((int(sequence), digest))
    if "revocations.dsse.json" in files:
        verifier.authenticate_list(files["revocations.dsse.json"])
    verified = verifier.authenticate(files["policy.dsse.json"])
    if kind == "policy":
        with tempfile.TemporaryDirectory() as folder:
            make(case, folder, trust.limits, Findings())
            verifier.open(verified.manifest, f"{folder}/policy", head.get("proof") == "whole")


class Any:
    """The same release of every repository."""

    def __init__(self, release):
        self.release = release

    def get(self, _repo, _default):
        return self.release


def read(files, name):
    if name not in files:
        raise CouldNotCheck(name)
    return files[name].decode()


def make(case, folder, limits, findings=None):
    """The tree of a case; the paths of the policy in it."""
    for title, body in case.parts:
        what, _, name = title.partition(" ")
        name = name.encode().decode("unicode_escape").encode("latin-1") if "\\" in name else os.fsencode(name)
        name, _, target = name.partition(b" -> ")
        path = os.path.join(os.fsencode(folder), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if what == "file":
            with open(path, "wb") as file:
                file.write(notation.content(body))
        elif what == "link":
            os.symlink(target, path)
        elif what == "fifo":
            os.mkfifo(path)
        elif what == "directory":
            os.makedirs(path, exist_ok=True)
        elif what == "socket":
            socket.socket(socket.AF_UNIX).bind(path)
    if findings is None:
        findings = Findings()
        present = listing(f"{folder}/policy", limits, findings)
        return present, findings


def judge_unsigned(case, tree, files, content, limits):
    """What `audit` does: every file by itself, then all together."""
    present, findings = tree
    present.pop("policy.dsse.json", None)
    repo_type = case.head.get("repo-type", "model")
    if len({path.lower() for path in present}) < len(present):
        findings.reject("file-name-collision", ".")
    if not present:
        findings.reject("file-missing", ".")
    seen = {}
    for path, file in present.items():
        seen[path] = findings.note(describe, path, file, repo_type, content, limits, findings)
    declared = {name: json.loads(files.get(f"{name}.json", b"[]")) for name in ("externals", "reviewed_code")}
    if repo_type == "model":
        findings.note(audit, {path: one for path, one in seen.items() if one}, declared, content)
    findings.end()


def describe(path, file, repo_type, content, limits, findings):
    kind = kind_of(path, repo_type)
    if kind is None:
        raise Rejected("file-kind-forbidden", path)
    if kind not in content.get("kinds", [kind]):
        raise Rejected("file-kind-forbidden", path)
    size = file.stat().st_size
    large = is_tensors(kind) or kind in ("table", "video")
    if size > limits["weights_bytes" if large else "small_file_bytes"]:
        raise Rejected("size-mismatch" if large else "json-too-large", path)
    data = file.read_bytes()
    if is_tensors(kind):
        judge_tensors(path, data, content, limits, findings)
    else:
        check_other(path, kind, data)
    return kind, hashlib.sha256(data).hexdigest(), data


def judge_tensors(path, data, content, limits, findings=None):
    alone = findings is None
    findings = findings or Findings()
    start, rows = envelope.in_file(path, parse_header, data, len(data), limits)
    for row in rows:
        check_values(path, row["dtype"], data[start + row["begin"] : start + row["end"]], content, findings)
    refuse_polyglot(path, data, findings)
    if alone:
        findings.end()


if __name__ == "__main__":
    main()
