#!/usr/bin/env python3
"""Verifies policies as docs/formats/verification.md says, and judges the test vectors: `verify.py [CASE...]`.

Written, with the modules beside it, from those pages alone: it is the proof that they suffice. It is for
reading and for tests, not for robots: it holds files in memory, and does not ask who may write to the trust policy.
"""

import hashlib
import json
import os
import stat
import sys
from pathlib import Path

from blake3 import blake3

from content import audit, check_other, is_path, is_tensors
from envelope import POLICY, REVOCATIONS, Envelope, header_length, in_file, instant, is_revision, statement
from tensors import check_values, parse_header, refuse_polyglot
from trust import TrustPolicy
from words import CouldNotCheck, Findings, Rejected

HERE = Path(__file__).resolve().parent
SECOND, DAY = 10**9, 86_400 * 10**9


class Memory:
    """What was accepted: V15, and what V2, V4 and V10 ask for. `None` in place of one knows nothing."""

    def __init__(self):
        self.accepted, self.floor, self.revoked = {}, 0, set()

    def record(self, verified):
        manifest, digest, now = verified.manifest, verified.digest, verified.now
        self.accepted[key_of(manifest)] = (manifest["sequence"], digest)
        self.floor = max(self.floor, min(instant(manifest["issued"]), now))


def key_of(manifest):
    return (manifest["repo"]["type"], manifest["repo"]["id"])


class Verified:
    def __init__(self, manifest, digest, now):
        self.manifest, self.digest, self.now = manifest, digest, now


class Verifier:
    """One verification: a trust policy, and what is known beside the envelope."""

    def __init__(self, trust, now, memory=None, repo=None, revision=None, repo_type="model"):
        self.trust, self.memory = trust, memory
        self.repo, self.repo_type, self.revision = repo, repo_type, revision
        if revision is not None and not is_revision(revision):
            raise Rejected("revision-not-pinned", revision)
        self.now = max(now, memory.floor if memory else now)  # V2
        self.revoked = self.revoked_by(trust.revoked)

    def revoked_by(self, entries):
        return {(kind, entry[kind]) for entry in entries for kind in entry if kind != "reason"}

    def authenticate_list(self, data):
        """R1 to R5: from here on, what the list names is revoked."""
        envelope = Envelope(data, self.trust.limits)
        signers = in_list(self.count, envelope)
        value = statement(envelope.payload, REVOCATIONS, self.trust.limits)
        in_list(self.count_in_scope, signers, None)
        findings = Findings()
        self.judge_times(value, findings, "revocations.")
        findings.end()
        self.revoked |= self.revoked_by(value["revoked"])

    def authenticate(self, data):
        """V1 to V10."""
        envelope = Envelope(data, self.trust.limits)
        signers = self.count(envelope)
        if self.memory and envelope.digest in self.memory.revoked:
            raise Rejected("manifest-revoked", "manifest")
        manifest = statement(envelope.payload, POLICY, self.trust.limits)
        self.count_in_scope(signers, manifest["repo"]["id"])
        findings = Findings()
        self.judge_revoked(manifest, envelope.digest, findings)
        self.judge_times(manifest, findings)
        self.judge_expected(manifest["repo"], findings)
        self.judge_past(manifest, envelope.digest, findings)
        findings.end()
        return Verified(manifest, envelope.digest, self.now)

    def count(self, envelope):
        """V3."""
        signers, refused = [], []
        for key in self.trust.keys:
            if not envelope.is_signed_by(key.key):
                continue
            if ("key", key.id) in self.revoked:
                refused.append("key-revoked")
            elif key.not_after is not None and key.not_after <= self.now:
                refused.append("key-expired")
            else:
                signers.append(key)
        return self.require_threshold(signers, refused)

    def count_in_scope(self, signers, repo):
        """V6."""
        inside = [key for key in signers if key.speaks_for(repo)]
        return self.require_threshold(inside, ["key-out-of-scope"] * (len(signers) - len(inside)))

    def require_threshold(self, signers, refused):
        if len(signers) >= self.trust.threshold:
            return signers
        findings = Findings()
        last = "threshold-not-met" if signers or refused else "signature-invalid"
        for code in (*refused, last):
            findings.reject(code, "signatures")
        findings.end()

    def judge_revoked(self, manifest, digest, findings):
        """V7."""
        if ("manifest", digest) in self.revoked:
            findings.reject("manifest-revoked", "manifest")
        if ("revision", manifest["repo"]["revision"]) in self.revoked:
            findings.reject("revision-revoked", "revision")
        for file in manifest["files"]:
            rows = [(file["path"], file["blake3"]), (file["path"], file.get("header_blake3"))]
            rows += [(f"{file['path']}#{row['name']}", row["blake3"]) for row in file.get("tensors", [])]
            for subject, value in rows:
                if ("blake3", value) in self.revoked:
                    findings.reject("digest-revoked", subject)

    def judge_times(self, value, findings, prefix=""):
        """V8."""
        issued, rules = instant(value["issued"]), self.trust.freshness
        if instant(value["expires"]) <= self.now and rules.get("expires", "deny") == "deny":
            findings.reject("manifest-expired", f"{prefix}expires")
        if "max_age_days" in rules and issued + rules["max_age_days"] * DAY <= self.now:
            findings.reject("manifest-expired", f"{prefix}issued")
        if issued > self.now + 300 * SECOND:
            findings.reject("manifest-not-yet-valid", f"{prefix}issued")

    def judge_expected(self, repo, findings):
        """V9."""
        if self.repo is not None and (self.repo_type, self.repo) != (repo["type"], repo["id"]):
            findings.reject("repo-mismatch", "repo")
        if self.revision is not None and self.revision != repo["revision"]:
            findings.reject("revision-mismatch", "revision")

    def judge_past(self, manifest, digest, findings):
        """V10."""
        rules, sequence = self.trust.rollback, manifest["sequence"]
        if self.memory is None and rules.get("require_state"):
            findings.end()
            raise CouldNotCheck("no memory of what was accepted")
        before, known = (self.memory.accepted if self.memory else {}).get(key_of(manifest), (sequence, digest))
        if sequence < before or sequence == before and digest != known:
            findings.reject("manifest-rollback", "sequence")
        elif sequence - before > rules.get("max_jump", sequence):
            findings.reject("manifest-fast-forward", "sequence")

    def open(self, manifest, folder, full=False):
        """V11 to V14: the files of an authenticated manifest."""
        findings, entries = Findings(), manifest["files"]
        present = listing(folder, self.trust.limits, findings)
        listed = {entry["path"] for entry in entries}
        for path in present:
            if path not in listed and path != "policy.dsse.json":
                findings.reject("file-unexpected", path)
        files = {}
        for entry in entries:
            files[entry["path"]] = findings.note(self.check, entry, present, full)
        findings.end()
        audit({path: file for path, file in files.items() if file}, manifest, self.trust.content)

    def check(self, entry, present, full):
        """V13: the file's kind, digest and bytes."""
        path, kind = entry["path"], entry["kind"]
        if path not in present:
            raise Rejected("file-missing", path)
        if present[path].stat().st_size != entry["size"]:
            raise Rejected("size-mismatch", path)
        if kind not in self.trust.content.get("kinds", [kind]):
            raise Rejected("file-kind-forbidden", path)
        data = present[path].read_bytes()
        whole = (blake3(data).hexdigest(), hashlib.sha256(data).hexdigest())
        if (full or not is_tensors(kind)) and whole != (entry["blake3"], entry["sha256"]):
            raise Rejected("digest-mismatch", path)
        if is_tensors(kind):
            self.check_tensors(entry, data)
        else:
            check_other(path, kind, data)
        return kind, entry["sha256"], data

    def check_tensors(self, entry, data):
        path, start = entry["path"], header_length(entry)
        if blake3(data[:start]).hexdigest() != entry["header_blake3"]:
            raise Rejected("digest-mismatch", path)
        _, rows = in_file(path, parse_header, data[:start], len(data), self.trust.limits)
        signed = [
            {field: row[field] for field in ("name", "dtype", "shape", "begin", "end")} for row in entry["tensors"]
        ]
        if rows != signed:
            raise Rejected("manifest-malformed", path)
        findings = Findings()
        for row in entry["tensors"]:
            subject, piece = f"{path}#{row['name']}", data[start + row["begin"] : start + row["end"]]
            if blake3(piece).hexdigest() != row["blake3"]:
                findings.reject("digest-mismatch", subject)
            else:
                check_values(subject, row["dtype"], piece, self.trust.content, findings)
        refuse_polyglot(path, data, findings)
        findings.end()


def in_list(count, *args):
    """What is wrong with the list of revocations is said with its name."""
    try:
        return count(*args)
    except Rejected as fault:
        more = [(code, f"revocations.{subject}") for code, subject in fault.more]
        raise Rejected(fault.code, f"revocations.{fault.subject}", more) from None


def listing(folder, limits, findings):
    """V11: every file below, by its path in order."""
    found, seen = {}, 0

    def walk(directory, prefix):
        nonlocal seen
        for entry in sorted(os.scandir(directory), key=lambda entry: os.fsencode(entry.name)):
            seen += 1
            path, mode = f"{prefix}{entry.name}", entry.stat(follow_symlinks=False).st_mode
            if seen > 2 * limits["files"] + 1:
                raise Rejected("file-unexpected", prefix or ".")
            if not is_path(path):
                findings.reject("file-name-unsafe", path)
            elif stat.S_ISDIR(mode):
                walk(entry.path, f"{path}/")
            elif stat.S_ISREG(mode):
                found[path] = Path(entry.path)
            else:
                findings.reject("file-not-regular", path)

    walk(folder, "")
    return dict(sorted(found.items()))


# The test vectors


def judge(folder, memory=None):
    """What becomes of a case: the outcome, its code and subject, and every code."""
    case = json.loads((folder / "case.json").read_text())
    try:
        if memory is None and "after" in case:
            memory = Memory()
            for name in case["after"]:
                memory.record(run(folder.parent / name, memory))
        return {"verdict": "verified"} if run(folder, memory) else None
    except Rejected as fault:
        return {"verdict": "rejected", "code": fault.code, "subject": fault.subject}
    except CouldNotCheck:
        return {"verdict": "error"}


def run(folder, memory):
    case = json.loads((folder / "case.json").read_text())
    trust = TrustPolicy((folder / "trust.toml").read_text(), lambda name: (folder / name).read_text())
    now = instant(case["now"])
    verifier = Verifier(trust, now, memory, case.get("repo"), case.get("revision"))
    if (folder / "revocations.dsse.json").exists():
        verifier.authenticate_list((folder / "revocations.dsse.json").read_bytes())
    envelope = folder / "policy" / "policy.dsse.json"
    if not envelope.exists():
        raise Rejected("manifest-missing", "policy.dsse.json")
    verified = verifier.authenticate(envelope.read_bytes())
    verifier.open(verified.manifest, folder / "policy", case.get("full", False))
    return verified


def main():
    folders = [Path(name).resolve() for name in sys.argv[1:]] or sorted((HERE / "cases").iterdir())
    wrong = 0
    for folder in folders:
        expected = json.loads((folder / "case.json").read_text())["expect"]
        found = judge(folder)
        if found != expected:
            wrong += 1
            print(f"{folder.name}: {found}, expected {expected}")
    print(f"{len(folders) - wrong} of {len(folders)} cases are judged as expected")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
