"""Whose signatures count: written from docs/formats/trust.md."""

import hashlib
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from envelope import fits, instant, is_digest, is_low_order, is_repo, is_revision, is_string, is_text, one_of, unknown
from tensors import BITS
from words import LIMITS, CouldNotCheck, tomllib

# Any spelling with a zone; the zone is taken off below.
ZONED = r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?(?:[Zz]|([+-])(\d\d):?(\d\d)?)"
KINDS = "card config processor processor-state repository reviewed-code tokenizer weights weights-index table video"


def is_number(value):
    return type(value) is int and 0 <= value < 1 << 63


def is_glob(value):
    return isinstance(value, str) and is_repo(value.replace("*", "x"))


def globs(value):
    return isinstance(value, list) and bool(value) and all(map(is_glob, value))


def some_of(*names):
    return lambda value: isinstance(value, list) and all(item in names for item in value)


def with_zone(text):
    """Nanoseconds since 1970, or None."""
    found = re.fullmatch(ZONED, text, re.ASCII) if isinstance(text, str) else None
    if not found:
        return None
    day, time, fraction, sign, hours, minutes = found.groups()
    at = instant(f"{day}T{time}" + (":00" if len(time) == 5 else "") + "Z")
    offset = (int(hours or 0) * 60 + int(minutes or 0)) * 60 * 10**9
    return at and at + int((fraction or "").ljust(9, "0")) - (-offset if sign == "-" else offset)


KEY = {
    "name": is_string,
    "public_key?": is_string,
    "public_key_file?": is_string,
    "not_after?": lambda value: with_zone(value) is not None,
    "repos?": globs,
}
FRESHNESS = {"expires?": one_of("deny", "warn"), "max_age_days?": lambda value: is_number(value) and value < 1 << 32}
ROLLBACK = {"max_jump?": is_number, "require_state?": lambda value: isinstance(value, bool)}
CONTENT = {
    "kinds?": some_of(*KINDS.split(), "metadata"),
    "dtypes?": some_of(*BITS),
    "non_finite?": one_of("deny", "warn"),
    "constant_statistics?": one_of("deny", "warn"),
    "reviewed_code?": one_of("deny", "allow"),
}
REVOKED = {
    "key?": is_digest,
    "manifest?": is_digest,
    "blake3?": is_digest,
    "revision?": is_revision,
    "reason": is_text,
}
OMS = {"repos": globs, "public_key_file?": is_string, "root_certificate_file?": is_string, "subject?": is_string}
TABLES = {
    "freshness": FRESHNESS,
    "rollback": ROLLBACK,
    "content": CONTENT,
    "limits": {f"{name}?": is_number for name in LIMITS},
}
LISTS = {"keys": KEY, "revoked": REVOKED, "oms": OMS}


def require(good, why):
    if not good:
        raise CouldNotCheck(f"trust policy: {why}")


class Key:
    def __init__(self, entry, read_file):
        require(("public_key" in entry) != ("public_key_file" in entry), "one of public_key and public_key_file")
        pem = entry["public_key"] if "public_key" in entry else read_file(entry["public_key_file"])
        try:
            self.key = load_pem_public_key(pem.encode())
        except (ValueError, UnsupportedAlgorithm) as error:
            raise CouldNotCheck(f"trust policy: {error}") from None
        require(isinstance(self.key, Ed25519PublicKey) and pem.lstrip().startswith("-----BEGIN PUBLIC KEY-----"), pem)
        point = self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        require(is_on_curve(point) and not is_low_order(point), "a key under which anybody could sign")
        self.id = hashlib.sha256(bytes.fromhex("302a300506032b6570032100") + point).hexdigest()
        self.name, self.repos = entry["name"], entry.get("repos")
        self.not_after = with_zone(entry["not_after"]) if "not_after" in entry else None

    def speaks_for(self, repo):
        """`None` stands for all repositories."""
        if self.repos is None:
            return True
        patterns = ("[^/]*".join(map(re.escape, glob.split("*"))) for glob in self.repos)
        return repo is not None and any(re.fullmatch(pattern, repo) for pattern in patterns)


def is_on_curve(point):
    """RFC 8032, section 5.1.3."""
    p = 2**255 - 19
    y = int.from_bytes(point, "little") & (1 << 255) - 1
    d = -121665 * pow(121666, -1, p) % p
    square = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    return square == 0 or pow(square, (p - 1) // 2, p) == 1


class TrustPolicy:
    def __init__(self, text, read_file=None):
        try:
            file = tomllib.loads(text)
        except ValueError as error:
            raise CouldNotCheck(f"trust policy: {error}") from None
        for name, value in file.items():
            form = LISTS.get(name) or TABLES.get(name)
            values = value if name in LISTS else [value]
            require(name == "threshold" or form and isinstance(values, list), name)
            require(name == "threshold" or all(fits(x, form) and not unknown(x, form) for x in values), name)
        self.keys = [Key(entry, read_file) for entry in file.get("keys", [])]
        for unique in ({key.id for key in self.keys}, {key.name for key in self.keys}):
            require(len(unique) == len(self.keys), "a key or a name twice")
        self.threshold = file.get("threshold")
        require(is_number(self.threshold) and 1 <= self.threshold <= len(self.keys), "threshold")
        self.revoked = file.get("revoked", [])
        require(all(len(entry) == 2 for entry in self.revoked), "[[revoked]]")
        for entry in file.get("oms", []):
            anchors = ("public_key_file" in entry, "root_certificate_file" in entry)
            require(sum(anchors) == 1 and (anchors[1] or "subject" not in entry), "[[oms]]")
        self.freshness, self.rollback = file.get("freshness", {}), file.get("rollback", {})
        self.content, self.limits = file.get("content", {}), LIMITS | file.get("limits", {})
