"""Weights that are also a pickle or a zip archive, and weights that only look so.

The pickles name `print`, and nothing here is run.
"""

import io
import zipfile

from .notation import Case, raw, repeat, text, u64
from .tensors import entry, f32, file, table

# 58 05 00 00 00: BINUNICODE of five bytes, the rest of the length and `{"`. The header is this long.
LENGTH = 0x0558
START = 8 + len('{"')
# Bytes that SHORT_BINSTRING (`U`) can skip in one hop, written as letters or digits.
HOPS = [ord(c) for c in "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA9876543210"]


def walkable(data, names=4, width=250):
    """A header whose names lead a pickle from byte 0 to the first byte of `data`, U8s of the last tensor."""
    rows = [(f"{'n' * (width - 1)}{i}", "U8", [1], b"\1") for i in range(names)] + [("n" * 99, "U8", [len(data)], data)]
    header, _ = table(*rows)
    header = header.ljust(LENGTH).encode()
    free = {8 + at for at, byte in enumerate(header) if byte == ord("n") and header[at + 1] == ord("n")}
    for at, hop in path(free, START, 8 + LENGTH + names):
        header = header[: at - 8] + b"U" + bytes([hop]) + header[at - 6 :]
    return u64(LENGTH) + text(header) + raw(b"\1" * names + data)


def path(free, start, goal):
    """(position, hop) from `start` to exactly `goal`; U and its operand must lie in names."""
    before = {start: None}
    queue = [start]
    for at in queue:
        for hop in HOPS if at in free else []:
            to = at + 2 + hop
            if to not in before:
                before[to] = (at, hop)
                queue.append(to)
    steps, at = [], goal
    while before[at]:
        steps.append(before[at])
        at = before[at][0]
    return steps[::-1]


def short(word):
    return b"\x8c" + bytes([len(word)]) + word


GLOBAL = b"cbuiltins\nprint\n"
STACK_GLOBAL = short(b"builtins") + short(b"print") + b"\x93"
CALL = b"(X\x05\0\0\0hellotR."


def pickles():
    pickle = "polyglot-pickle"
    for name, code, comment in (
        ("global", GLOBAL + CALL, "Opcodes in the tensor's data; names, length and padding lead there from byte 0."),
        ("stack_global", STACK_GLOBAL + CALL, "The same by the opcode of protocol 4."),
        ("inst", b"(X\x02\0\0\0hiibuiltins\nprint\n.", "The same by the opcode of protocol 0 that calls at once."),
        (
            "memoized",
            short(b"builtins") + b"\x940" + short(b"print") + b"\x940h\0h\1\x93" + CALL,
            "The two strings come out of the memo.",
        ),
        ("duplicated", short(b"print") + b"2\x93" + CALL, "One string, twice."),
        (
            "behind_5000_steps",
            b"N0" * 2500 + GLOBAL + CALL,
            "A walk that gives up after some thousand steps does not get there.",
        ),
        ("behind_a_frame", b"\x95" + len(GLOBAL + CALL).to_bytes(8, "little") + GLOBAL + CALL, "A frame around it."),
        ("behind_a_long_string", b"B\x80\0\0\0" + b"x" * 128 + GLOBAL + CALL, "Behind an operand of its own length."),
        ("with_dotted_name", b"cos.path\njoin.real\n" + CALL, "Names with dots."),
        ("with_foreign_letters", b"c\xc3\xa9t\xc3\xa9\nappel\n" + CALL, "Names of modules need not be ASCII."),
    ):
        yield Case(f"polyglot_{name}", pickle, comment, walkable(code), {"subject": "model.safetensors"})
    name = b'q\xc4\x8c "a.module.whose.name.has.32.chars"'.replace(b'"', b"") + b"q\xc2\x93."
    header = b'{"' + name + b'":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    yield Case(
        "polyglot_in_a_name",
        "tensor-name-unsafe",
        "Opcodes in a tensor's name.",
        u64(LENGTH) + text(header) + repeat(LENGTH - len(header), text(" ")) + raw(f32(0)),
    )
    yield Case(
        "polyglot_that_stops", "accept", "A walk that comes to STOP and named no code is harmless.", walkable(b"N.")
    )
    yield Case(
        "polyglot_that_breaks",
        "accept",
        "A walk that comes to a byte of no meaning is harmless.",
        walkable(b"\xff" + GLOBAL + CALL),
    )
    yield Case(
        "polyglot_without_names",
        "accept",
        "GLOBAL whose lines are no names: bytes by chance.",
        walkable(b"c\x01\x02\n\x03\n" + CALL),
    )
    yield Case(
        "opcodes_out_of_reach",
        "accept",
        "The opcodes are there, and no walk from byte 0 comes to them.",
        file("{" + entry("a", "U8", [len(GLOBAL + CALL)], 0, len(GLOBAL + CALL)) + "}", GLOBAL + CALL),
    )


def archive(comment=b""):
    """A zip archive as PyTorch's, with a pickle inside that names `print`; the same bytes every time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\x02" + GLOBAL + b".")
        zipped.comment = comment
    return target.getvalue()


def u8(data):
    return file("{" + entry("a", "U8", [len(data)], 0, len(data)) + "}", data)


def zips():
    whole = archive()
    yield Case(
        "zip_at_the_end",
        "polyglot-zip",
        "Zip readers begin at the end of the file: the last tensor is an archive.",
        u8(whole),
        {"subject": "model.safetensors"},
    )
    yield Case("zip_with_comment", "polyglot-zip", "A comment behind the record.", u8(archive(b"x" * 40)))
    yield Case(
        "zip_with_comment_of_64_kb",
        "polyglot-zip",
        "The longest comment: the record is far from the end.",
        file(
            "{" + entry("a", "U8", [len(whole) + 65_535], 0, len(whole) + 65_535) + "}",
            raw(whole[:-2] + b"\xff\xff") + repeat(65_535, text("x")),
        ),
    )
    yield Case(
        "zip_with_bytes_behind",
        "polyglot-zip",
        "Bytes behind the archive that its record does not speak of, and readers skip.",
        u8(whole + bytes(100)),
    )
    yield Case(
        "zip_empty", "polyglot-zip", "An archive of nothing, to which files can be added.", u8(b"PK\5\6" + bytes(18))
    )
    yield Case(
        "zip_signature_in_the_middle",
        "accept",
        "Four bytes by chance; the record does not end with the file.",
        u8(bytes(32) + b"PK\5\6" + b"\x07" * 60),
    )
    yield Case(
        "zip_signature_too_late",
        "accept",
        "Four bytes by chance; there is no room for a record.",
        u8(bytes(32) + b"PK\5\6" + bytes(4)),
    )
    yield Case(
        "zip_directory_outside",
        "accept",
        "A record whose directory would lie behind the file.",
        u8(b"PK\5\6" + bytes(8) + b"\xff\xff\xff\x7f" * 2 + bytes(2)),
    )


def cases():
    yield from pickles()
    yield from zips()
