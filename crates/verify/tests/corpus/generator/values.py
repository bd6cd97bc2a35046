"""Attacks on what tensors hold."""

import struct

from .notation import Case, raw, repeat
from .tensors import WIDTH, entry, f32, file, tensors


def cases():
    quiet_nan = {
        "F16": 0x7E00,
        "BF16": 0x7FC0,
        "F32": 0x7FC00000,
        "F64": 0x7FF8000000000000,
        "F8_E5M2": 0x7E,
        "F8_E4M3": 0x7F,
    }
    infinity = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0000000000000, "F8_E5M2": 0x7C}
    for what, patterns in (("nan", quiet_nan), ("infinity", infinity)):
        for dtype, bits in patterns.items():
            element = bits.to_bytes(WIDTH[dtype], "little")
            data = bytes(WIDTH[dtype]) * 3 + element
            yield Case(
                f"{what}_{dtype.lower()}",
                "weights-non-finite",
                "One such weight makes every action after it meaningless.",
                tensors(("a", dtype, [4], data)),
                {"subject": "model.safetensors#a"},
            )
    for what, bits in (
        ("negative_infinity", 0xFF800000),
        ("signalling_nan", 0x7F800001),
        ("negative_nan_with_payload", 0xFFFFFFFF),
    ):
        yield Case(
            f"{what}_f32",
            "weights-non-finite",
            "The same with other bits: a scan for one pattern misses it.",
            tensors(("a", "F32", [2], f32(0) + struct.pack("<I", bits))),
        )
    yield Case(
        "nan_last_of_many",
        "weights-non-finite",
        "The last of 5,000: a scan that samples or forgets the tail misses it.",
        file(
            "{" + entry("a", "F32", [5001], 0, 20_004) + "}",
            repeat(5_000, raw(f32(0.5))) + raw(struct.pack("<I", 0x7FC00000)),
        ),
    )
    yield Case(
        "nan_in_second_tensor",
        "weights-non-finite",
        "Behind a tensor of integers, whose bits may be anything.",
        tensors(("ids", "I64", [1], b"\xff" * 8), ("w", "F32", [1], struct.pack("<I", 0x7FC00000))),
        {"subject": "model.safetensors#w"},
    )
    yield Case(
        "nan_waived",
        "accept",
        "An operator may let it pass, and is told.",
        tensors(("a", "F32", [1], struct.pack("<I", 0x7FC00000))),
        {"content": 'non_finite = "warn"', "notice": "weights-non-finite"},
    )
    yield Case(
        "integers_like_nan",
        "accept",
        "Integers have no NaN, whatever their bits are.",
        tensors(("a", "I32", [2], b"\xff" * 8), ("b", "U8", [8], b"\xff" * 8)),
    )
    yield Case(
        "largest_finite",
        "accept",
        "The largest number is finite.",
        tensors(
            ("a", "F32", [2], struct.pack("<II", 0x7F7FFFFF, 0xFF7FFFFF)),
            ("b", "BF16", [2], struct.pack("<HH", 0x7F7F, 1)),
        ),
    )
    yield Case(
        "bool_of_2",
        "tensor-bool-invalid",
        "Undefined behaviour where a BOOL is loaded as it is.",
        tensors(("a", "BOOL", [3], b"\0\1\2")),
        {"subject": "model.safetensors#a"},
    )
    yield Case(
        "bool_of_255",
        "tensor-bool-invalid",
        "True for one reader, -1 for another.",
        tensors(("a", "BOOL", [1], b"\xff")),
    )
    yield Case("bool_plain", "accept", "0 and 1.", tensors(("a", "BOOL", [4], b"\0\1\1\0")))
    yield Case(
        "dtype_forbidden",
        "tensor-dtype-forbidden",
        "A type that the robot's kernels do not have.",
        tensors(("a", "F64", [1], bytes(8))),
        {"content": 'dtypes = ["F32", "BF16"]'},
    )
