"""Envelopes, manifests and lists of revocations: written from docs/formats/manifest.md."""

import base64
import hashlib
import re
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature

from content import is_path, is_tensors, kind_of, parse_json
from tensors import BITS, check_layout, check_name
from words import Duplicate, Rejected, is_u64

PAYLOAD_TYPE = "application/vnd.in-toto+json"
POLICY, REVOCATIONS = "urn:tensorgate:policy:v1", "urn:tensorgate:revocations:v1"
LOW_ORDER = """
0000000000000000000000000000000000000000000000000000000000000000
0100000000000000000000000000000000000000000000000000000000000000
26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05
c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
""".split()
# 9999-12-30T22:00:00.999999999Z
LATEST = 253_402_207_200_999_999_999
MALFORMED = "manifest-malformed"


# Common types: each says whether a JSON value is one.


def is_digest(value):
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def is_revision(value):
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{40}", value))


def is_repo(value):
    parts = value.split("/") if isinstance(value, str) else []
    plain = [re.fullmatch(r"(?!.*(--|\.\.))(?![-.])[A-Za-z0-9._-]{1,96}(?<![-.])", part) for part in parts]
    return len(parts) == 2 and all(plain)


def is_text(value):
    odd = "[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]"
    return isinstance(value, str) and 1 <= len(value.encode()) <= 1024 and not re.search(odd, value)


def is_name(value):
    return isinstance(value, str) and is_path(value)


def instant(text, spellings=r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{0,8}[1-9]))?Z"):
    """Nanoseconds since 1970, or None."""
    found = re.fullmatch(spellings, text, re.ASCII) if isinstance(text, str) else None
    try:
        seconds = datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc).timestamp()
    except (TypeError, ValueError):
        return None
    at = int(seconds) * 10**9 + int((found[2] or "").ljust(9, "0"))
    return at if at <= LATEST else None


def is_instant(value):
    return instant(value) is not None


def is_string(value):
    return isinstance(value, str)


def one_of(*names):
    return lambda value: isinstance(value, str) and value in names


def list_of(form):
    return lambda value: isinstance(value, list) and all(fits(item, form) for item in value)


def fits(value, form):
    """Whether a value has a form: a predicate, or the fields of an object (`?` marks those that may be left out)."""
    if callable(form):
        return form(value)
    if not isinstance(value, dict):
        return False
    return all(
        fits(value[field.rstrip("?")], inner) if field.rstrip("?") in value else field.endswith("?")
        for field, inner in form.items()
    )


def unknown(value, form, place=""):
    """The path of the first field that a form does not name."""
    if isinstance(value, list):
        below = (unknown(item, form, f"{place}{index}.") for index, item in enumerate(value))
        return next(filter(None, below), None)
    if not isinstance(form, dict) or not isinstance(value, dict):
        return None
    names = {field.rstrip("?"): inner for field, inner in form.items()}
    for field, inner in value.items():
        if field not in names:
            return f"{place}{field}"
        if found := unknown(inner, getattr(names[field], "form", names[field]), f"{place}{field}."):
            return found
    return None


def many(form):
    """A list of a form, into which `unknown` looks."""
    check = list_of(form)
    check.form = form
    return check


ENVELOPE = {
    "payloadType": is_string,
    "payload": is_string,
    "signatures": many({"keyid?": is_string, "sig": is_string}),
}
TENSOR = {
    "name": is_string,
    "dtype": one_of(*BITS),
    "shape": list_of(is_u64),
    "begin": is_u64,
    "end": is_u64,
    "blake3": is_digest,
}
FILE = {
    "path": is_name,
    "size": is_u64,
    "sha256": is_digest,
    "blake3": is_digest,
    "kind": one_of(
        *"weights weights-index config processor processor-state tokenizer card reviewed-code repository".split(),
        *"table video metadata".split(),
    ),
    "header_blake3?": is_digest,
    "tensors?": many(TENSOR),
}
EXTERNAL = {
    "field": is_string,
    "name": is_string,
    "decision": one_of("absent", "pinned"),
    "reason?": is_string,
    "repo?": is_repo,
    "revision?": is_revision,
    "files?": many({"path": is_name, "size": is_u64, "sha256": is_digest}),
}
MANIFEST = {
    "repo": {"type": one_of("model", "dataset"), "id": is_repo, "revision": is_revision},
    "sequence": is_u64,
    "issued": is_instant,
    "expires": is_instant,
    "policy": {"type": is_string, "robot?": is_string, "name?": is_string},
    "files": many(FILE),
    "externals": many(EXTERNAL),
    "reviewed_code": many({"path": is_name, "sha256": is_digest, "reviewer": is_string, "note": is_string}),
}


def is_revocation(value):
    kinds = {"key": is_digest, "manifest": is_digest, "blake3": is_digest, "revision": is_revision}
    if not isinstance(value, dict) or len(value) != 2 or not isinstance(value.get("reason"), str):
        return False
    return all(kinds[field](value[field]) if field in kinds else field == "reason" for field in value)


LIST = {"sequence": is_u64, "issued": is_instant, "expires": is_instant, "revoked": list_of(is_revocation)}


def read(data, form, subject):
    """One JSON value of a form, in the one spelling."""
    try:
        value = parse_json(data)
    except Duplicate as fault:
        raise Rejected("json-duplicate-key", fault.key) from None
    except (ValueError, RecursionError):
        raise Rejected(MALFORMED, subject) from None
    if not fits(value, form):
        raise Rejected(MALFORMED, subject)
    if field := unknown(value, form):
        raise Rejected("manifest-unknown-field", field)
    return value


# Envelope and statement: manifest.md


class Envelope:
    def __init__(self, data, limits):
        if len(data) > limits["manifest_bytes"]:
            raise Rejected("manifest-too-large", "envelope")
        value = read(data, ENVELOPE, "envelope")
        if value["payloadType"] != PAYLOAD_TYPE:
            raise Rejected("payload-type-unsupported", "payloadType")
        if len(value["signatures"]) > limits["signatures"]:
            raise Rejected(MALFORMED, "signatures")
        self.payload = unbase64(value["payload"], "payload")
        self.signatures = [unbase64(one["sig"], "sig") for one in value["signatures"]]
        if any(len(sig) != 64 for sig in self.signatures):
            raise Rejected(MALFORMED, "sig")
        self.digest = hashlib.sha256(self.payload).hexdigest()

    def is_signed_by(self, key):
        message = f"DSSEv1 28 {PAYLOAD_TYPE} {len(self.payload)} ".encode() + self.payload
        return any(is_good(key, sig, message) for sig in self.signatures)


def unbase64(text, subject):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise Rejected(MALFORMED, subject) from None
    if base64.b64encode(data).decode() != text:
        raise Rejected(MALFORMED, subject)
    return data


def is_low_order(point):
    return (point[:31] + bytes([point[31] & 0x7F])).hex() in LOW_ORDER


def is_good(key, sig, message):
    """The library checks the cofactorless equation, S, and the encoding of R."""
    try:
        key.verify(sig, message)
    except InvalidSignature:
        return False
    return not is_low_order(sig[:32])


def statement(payload, predicate_type, limits):
    try:
        value = parse_json(payload)
    except Duplicate as fault:
        raise Rejected("json-duplicate-key", fault.key) from None
    except (ValueError, RecursionError):
        raise Rejected(MALFORMED, "statement") from None
    if not fits(value, {"_type": is_string, "predicateType": is_string}):
        raise Rejected(MALFORMED, "statement")
    if (value["_type"], value["predicateType"]) != ("https://in-toto.io/Statement/v1", predicate_type):
        raise Rejected("predicate-type-unsupported", "predicateType")
    predicate, judge = (MANIFEST, judge_manifest) if predicate_type == POLICY else (LIST, judge_list)
    form = {"_type": is_string, "subject": list_of(is_subject), "predicateType": is_string, "predicate": predicate}
    value = read(payload, form, "statement")
    subjects = judge(value["predicate"], limits)
    if value["subject"] != subjects:
        raise Rejected(MALFORMED, "subject")
    return value["predicate"]


def is_subject(value):
    fields = {"name": is_string, "digest": lambda digest: isinstance(digest, dict)}
    return fits(value, fields) and len(value) == 2 and all(map(is_string, value["digest"].values()))


def require(good, subject, code=MALFORMED):
    if not good:
        raise Rejected(code, subject)


def judge_list(value, limits):
    require(instant(value["expires"]) > instant(value["issued"]), "expires")
    require(len(value["revoked"]) <= limits["revocations"], "revoked")
    require(all(is_text(entry["reason"]) for entry in value["revoked"]), "revoked")
    algorithms = {"key": "sha256", "manifest": "sha256", "blake3": "blake3", "revision": "gitCommit"}
    named = [next((k, entry[k]) for k in algorithms if k in entry) for entry in value["revoked"]]
    return [{"name": k, "digest": {algorithms[k]: what}} for k, what in named]


def judge_manifest(value, limits):
    files = value["files"]
    paths = [file["path"] for file in files]
    require(instant(value["expires"]) > instant(value["issued"]), "expires")
    require(1 <= len(files) <= limits["files"], "files")
    folded = sorted((path.lower(), path) for path in paths)
    for (before, _), (fold, path) in zip(folded, folded[1:]):
        require(fold != before, path, "file-name-collision")
    for fold, path in folded:
        above = {fold[: at.start()] for at in re.finditer("/", fold)}
        require(not above & {other for other, _ in folded}, path, "file-name-collision")
    require(paths == sorted(paths, key=str.encode), "files")
    require(all(is_text(text) for text in value["policy"].values()), "policy")
    for file in files:
        judge_entry(file, value["repo"]["type"], limits)
    names = [row["name"] for file in files if file["kind"] == "weights" for row in file["tensors"]]
    require(len(names) == len(set(names)), "files")
    require(all(is_text(x["reviewer"]) and is_text(x["note"]) for x in value["reviewed_code"]), "reviewed_code")
    for external in value["externals"]:
        texts = [external["field"], external["name"], external.get("reason", "none")]
        require(all(map(is_text, texts)), "externals")
        fields = ["reason"] if external["decision"] == "absent" else ["repo", "revision", "files"]
        require(external.keys() == {"field", "name", "decision", *fields}, external["field"])
    return [{"name": file["path"], "digest": {"sha256": file["sha256"]}} for file in files]


def judge_entry(file, repo_type, limits):
    path, size = file["path"], file["size"]
    require(path.split("/")[0] != "policy.dsse.json", path)
    require(kind_of(path, repo_type) == file["kind"], path, "file-kind-mismatch")
    require(("tensors" in file, "header_blake3" in file) == (is_tensors(file["kind"]),) * 2, path)
    if file["kind"] in ("table", "video"):
        return require(size <= limits["weights_bytes"], path, "size-mismatch")
    if not is_tensors(file["kind"]):
        return require(size <= limits["small_file_bytes"], path, "json-too-large")
    require(size <= limits["weights_bytes"], path)
    rows = file["tensors"]
    start = header_length(file)
    require(start >= 0, path)
    require(start >= 8, path, "header-too-short")
    require(start - 8 <= limits["header_bytes"], path, "header-too-large")
    require(len(rows) <= limits["tensors"], path, "tensor-too-many")
    in_file(path, judge_rows, rows, start, size, limits)


def judge_rows(rows, start, size, limits):
    for row in rows:
        check_name(row["name"], limits)
        require(len(row["shape"]) <= limits["rank"], row["name"], "tensor-rank-too-high")
    check_layout(rows, start, size)


def header_length(file):
    return file["size"] - (file["tensors"][-1]["end"] if file["tensors"] else 0)


def in_file(path, check, *args):
    """What is found inside a file is said with its path."""
    try:
        return check(*args)
    except Rejected as fault:
        raise Rejected(fault.code, path if fault.subject == "header" else f"{path}#{fault.subject}") from None
