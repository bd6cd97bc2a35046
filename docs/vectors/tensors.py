"""safetensors, strictly: written from docs/formats/content.md."""

import json
import re

from words import Rejected, finite, integer, is_u64, no

BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}
BITS |= dict.fromkeys("BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ".split(), 8)
BITS |= dict.fromkeys("I16 U16 F16 BF16".split(), 16) | dict.fromkeys("I32 U32 F32".split(), 32)
BITS |= dict.fromkeys("I64 U64 F64 C64".split(), 64)
# The bytes of a number, and the bits that are all set where it is not finite.
NOT_FINITE = {"F8_E5M2": (1, 0x7C), "F8_E4M3": (1, 0x7F), "F8_E8M0": (1, 0xFF)}
NOT_FINITE |= {"F16": (2, 0x7C00), "BF16": (2, 0x7F80), "F32": (4, 0x7F800000), "C64": (4, 0x7F800000)}
NOT_FINITE |= {"F64": (8, 0x7FF0000000000000)}


def parse_header(data, size, limits):
    """The length of the header, and the table in order."""
    if len(data) < 8:
        raise Rejected("header-too-short", "header")
    start = 8 + int.from_bytes(data[:8], "little")
    if start - 8 > limits["header_bytes"]:
        raise Rejected("header-too-large", "header")
    if start > size or len(data) < start:
        raise Rejected("header-length-invalid", "header")
    try:
        text = data[8:start].decode()
    except UnicodeDecodeError:
        raise Rejected("header-not-utf8", "header") from None
    if text[:1] in (" ", "\t", "\r", "\n"):
        raise Rejected("header-leading-space", "header")
    rows = parse_table(text, limits)
    rows.sort(key=lambda row: (row["begin"], row["end"], row["name"]))
    check_layout(rows, start, size)
    return start, rows


def parse_table(text, limits):
    try:
        # Objects as lists of pairs, so that none is lost.
        pairs = json.loads(text, object_pairs_hook=Pairs, parse_constant=no, parse_float=finite, parse_int=integer)
        json.dumps(pairs, ensure_ascii=False).encode()  # a lone surrogate has no UTF-8
    except (ValueError, RecursionError):
        pairs = None
    if not isinstance(pairs, Pairs):
        raise Rejected("header-malformed", "header")
    rows = []
    for name, value in pairs:
        if name == "__metadata__":
            check_metadata(value, limits)
            continue
        if len(rows) == limits["tensors"]:
            raise Rejected("tensor-too-many", "header")
        check_name(name, limits)
        rows.append(parse_row(name, value, limits))
    names = [name for name, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else ():
        raise Rejected("json-duplicate-key", twice[0])
    return rows


class Pairs(list):
    """The fields of an object, in order."""


def check_metadata(value, limits):
    if not isinstance(value, Pairs) or not all(isinstance(text, str) for _, text in value):
        raise Rejected("header-malformed", "header")
    if sum(len(key.encode()) + len(text.encode()) for key, text in value) > limits["metadata_bytes"]:
        raise Rejected("header-too-large", "__metadata__")
    if len(dict(value)) < len(value):
        raise Rejected("json-duplicate-key", "__metadata__")


def check_name(name, limits):
    plain = re.fullmatch(r"[!-~]+", name) and not set(name) & {'"', "\\"}
    if not plain or len(name) > limits["tensor_name_bytes"] or ".." in name.split("/"):
        raise Rejected("tensor-name-unsafe", name)


def parse_row(name, value, limits):
    if not isinstance(value, Pairs):
        raise Rejected("header-malformed", "header")
    for field, inner in value:
        if field not in ("dtype", "shape", "data_offsets"):
            raise Rejected("header-unknown-field", name)
        if field == "shape" and isinstance(inner, list) and len(inner) > limits["rank"]:
            raise Rejected("tensor-rank-too-high", name)
    if len(dict(value)) < len(value):
        raise Rejected("json-duplicate-key", name)
    row = dict(value)
    dtype, shape, offsets = row.get("dtype"), row.get("shape"), row.get("data_offsets")
    numbers = [isinstance(x, list) and not isinstance(x, Pairs) and all(map(is_u64, x)) for x in (shape, offsets)]
    if not (isinstance(dtype, str) and dtype in BITS and all(numbers) and len(offsets) == 2):
        raise Rejected("header-malformed", "header")
    return {"name": name, "dtype": dtype, "shape": shape, "begin": offsets[0], "end": offsets[1]}


def check_layout(rows, start, size):
    if not rows:
        raise Rejected("tensor-empty", "header")
    reached = 0
    for row in rows:
        name, bits = row["name"], BITS[row["dtype"]]
        if row["end"] < row["begin"]:
            raise Rejected("tensor-offsets-invalid", name)
        product = 1
        for factor in (*row["shape"], bits):
            product *= factor
            if product >= 1 << 64:
                raise Rejected("tensor-shape-overflow", name)
        if product == 0:
            raise Rejected("tensor-empty", name)
        if product != 8 * (row["end"] - row["begin"]):
            raise Rejected("tensor-size-mismatch", name)
        if row["begin"] != reached:
            raise Rejected("tensor-offsets-invalid", name)
        if (start + row["begin"]) % max(bits // 8, 1):
            raise Rejected("tensor-misaligned", name)
        reached = row["end"]
    if start + reached != size:
        raise Rejected("trailing-bytes" if start + reached < size else "tensor-offsets-invalid", "header")


def check_values(subject, dtype, data, content, findings):
    if dtype not in content.get("dtypes", BITS):
        findings.reject("tensor-dtype-forbidden", subject)
    if dtype == "BOOL" and max(data) > 1:
        findings.reject("tensor-bool-invalid", subject)
    width, mask = NOT_FINITE.get(dtype, (1, 0))
    numbers = (int.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width))
    odd = any(number & mask == mask for number in numbers) if mask else dtype.endswith("FNUZ") and 0x80 in data
    if odd and content.get("non_finite", "deny") == "deny":
        findings.reject("weights-non-finite", subject)


OPERANDS = {
    (0, 0): "28 29 2e 30 31 32 4e 51 52 5d 61 62 64 65 6c 6f 73 74 75 7d 81 85 86 87 88 89 8f 90 91 92 93 94 97 98",
    (1, 0): "4b 68 71 80 82",
    (2, 0): "4d 83",
    (4, 0): "4a 6a 72 84",
    (8, 0): "47 95",
    (0, 1): "43 55 8a 8c",
    (0, 4): "42 58",
    (0, -4): "54 8b",
    (0, 8): "8d 8e 96",
    (0, "line"): "46 49 4c 50 53 56 67 70",
    (0, "lines"): "63 69",
}
OPCODES = {byte: what for what, bytes_ in OPERANDS.items() for byte in bytes.fromhex(bytes_)}
IMPORT = re.compile(rb"[A-Za-z_\x80-\xff][A-Za-z0-9_.\x80-\xff]*\n[A-Za-z_\x80-\xff][A-Za-z0-9_.\x80-\xff]*")


def walk_pickle(data, to_the_end=False):
    """Whether a loader of pickles would import; `to_the_end`: and the walk ends with the last byte, a STOP."""
    at, strings, imports = 0, 0, False
    for _ in range(1 << 20):
        if at >= len(data) or data[at] not in OPCODES:
            return False
        opcode, (fixed, counted) = data[at], OPCODES[data[at]]
        begin = at + 1
        if isinstance(counted, str):
            end = data.find(b"\n", begin)
            if counted == "lines" and end >= 0:
                end = data.find(b"\n", end + 1)
            if end < 0:
                return False
            operand, at = data[begin:end], end + 1
        else:
            width = abs(counted)
            length = fixed + int.from_bytes(data[begin : begin + width], "little", signed=counted < 0)
            operand, at = data[begin + width : begin + width + length], begin + width + length
        if at > len(data) or at < begin or opcode == 0x80 and operand[0] > 5:
            return False
        found = opcode in b"ci" and IMPORT.fullmatch(operand) or opcode == 0x93 and strings >= 2
        if found and not to_the_end:
            return True
        imports = imports or bool(found)
        if to_the_end and opcode == 0x2E and at == len(data):
            return imports
        if opcode in b"STUVX\x8c\x8d" or strings and opcode in b"2ghj":
            strings += 1
    return True


def refuse_polyglot(path, data, findings):
    if walk_pickle(data):
        findings.reject("polyglot-pickle", path)
    if is_zip(data):
        findings.reject("polyglot-zip", path)
    if is_tar(data):
        findings.reject("format-archive", path)


def is_zip(data):
    at = data.find(b"PK\x05\x06", max(0, len(data) - 65_557))
    while 0 <= at <= len(data) - 22:
        size, offset = (int.from_bytes(data[at + x : at + x + 4], "little") for x in (12, 16))
        comment = int.from_bytes(data[at + 20 : at + 22], "little")
        if at + 22 + comment == len(data) and size + offset <= at:
            return True
        if any(0 <= p and data[p : p + 4] == b"PK\x01\x02" for p in (offset, at - size)):
            return True
        if at >= 20 and data[at - 20 : at - 16] == b"PK\x06\x07":
            return True
        at = data.find(b"PK\x05\x06", at + 1)
    return False


def is_tar(data):
    if len(data) < 512:
        return False
    block = data[:148] + b" " * 8 + data[156:512]
    field, sums = data[148:156], {sum(block), sum(x - 256 * (x > 127) for x in block)}
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big") in sums
    try:
        return int(field.split(b"\0")[0] or b"0", 8) in sums
    except ValueError:
        return False
