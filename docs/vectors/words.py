"""What the other modules share: the words for what was found, limits, and JSON's numbers (docs/formats.md)."""

import math
from pathlib import Path

try:
    import tomllib
except ImportError:  # before Python 3.11
    import tomli as tomllib

AUDIT = Path(__file__).resolve().parents[2] / "crates/verify/src/audit"
LIMITS = {
    "manifest_bytes": 33_554_432,
    "signatures": 16,
    "revocations": 100_000,
    "files": 10_000,
    "small_file_bytes": 16_777_216,
    "weights_bytes": 68_719_476_736,
    "header_bytes": 4_194_304,
    "tensors": 65_536,
    "rank": 8,
    "tensor_name_bytes": 256,
    "metadata_bytes": 65_536,
}


class Rejected(Exception):
    """Checked, and refused; `more` are the faults that were found besides."""

    def __init__(self, code, subject, more=()):
        super().__init__(f"{code}: {subject}")
        self.code, self.subject, self.more = code, subject, more


class CouldNotCheck(Exception):
    """Neither a rejection nor a pass."""


class Findings:
    """Faults that are found together; the first decides."""

    def __init__(self):
        self.found = []

    def reject(self, code, subject):
        self.found.append((code, subject))

    def note(self, check, *args):
        try:
            return check(*args)
        except Rejected as fault:
            self.found += [(fault.code, fault.subject), *fault.more]

    def end(self):
        if self.found:
            raise Rejected(*self.found[0], more=self.found[1:])


class Duplicate(ValueError):
    """A key that occurs twice in one object."""

    def __init__(self, key):
        super().__init__(key)
        self.key = key


def no(name):
    raise ValueError(f"{name} is no JSON")


def finite(digits):
    if not math.isfinite(float(digits)):
        raise ValueError("a number beyond binary64")
    return float(digits)


def integer(digits):
    """`-0` is no u64."""
    return -0.0 if digits == "-0" else int(digits) if len(digits) < 400 else finite(digits)


def is_u64(value):
    return type(value) is int and 0 <= value < 1 << 64


# Fields of JSON that name code, in whatever document.
CODE = "_attn_implementation_internal _target_ auto_map chat_template class class_name custom_pipeline".split()
CODE += ["custom_pipelines", "module"]
LIBRARIES = {"megatron_core": "megatron.core", "parent_library": "lerobot.policies."}


def names_code(key, value):
    key = key.lower()
    if key == "trust_remote_code" and value is not False:
        return "remote-code-requested"
    if value is None or type(value) in (int, float):
        return None
    text = value if isinstance(value, str) else None
    bad = key in CODE or key.endswith("_class") and (text is None or bool(set(text) & set("./\\:")))
    bad = bad or key in LIBRARIES and not (text or "").startswith(LIBRARIES[key])
    return "config-names-code" if bad else None
