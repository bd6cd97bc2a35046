"""Attacks on one safetensors file: its length field, its JSON."""

from .notation import Case, raw, repeat, text, u64
from .tensors import entry, f32, file, tensors

ONE = entry("a", "F32", [2], 0, 8)
TWO = entry("b", "F32", [2], 8, 16)
OK = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'
DATA = f32(0.5, -1.0)


def whole(name, expect, comment, header, data=DATA, **head):
    return Case(name, expect, comment, file(header, data), {key: str(value) for key, value in head.items()})


def named(name, body=OK):
    return f'{{"{name}":{{{body}}}}}'


def lengths():
    yield Case(
        "length_field_cut",
        "header-too-short",
        "A cut download: there is not even a length to read.",
        raw(b"\x40\0\0\0\0\0\0"),
    )
    yield Case(
        "empty_file", "header-too-short", "An empty file in place of weights; a loader may go on with random ones."
    )
    yield Case(
        "header_of_100_mb",
        "header-too-large",
        "The length alone makes a reader allocate; the file is tiny.",
        u64(100_000_000) + text("{"),
    )
    yield Case(
        "header_over_100_mb",
        "header-too-large",
        "One byte over a round bound.",
        u64(100_000_001) + text("{"),
    )
    yield Case(
        "header_length_all_ones",
        "header-too-large",
        "8 + n wraps around to 7 in careless arithmetic.",
        u64(2**64 - 1) + text("{"),
    )
    yield Case(
        "header_length_sign_bit",
        "header-too-large",
        "Negative in a signed integer, and so below every bound.",
        u64(2**63) + text("{"),
    )
    yield Case(
        "header_of_5_mb",
        "header-too-large",
        "A real header of 5 MB, nearly all of it padding: parsing time for nothing.",
        u64(5_000_000) + text("{" + ONE + "}") + repeat(5_000_000 - len(ONE) - 2, text(" ")) + raw(DATA),
    )
    yield Case(
        "header_past_the_end",
        "header-length-invalid",
        "The header would be read from memory behind the file.",
        u64(4096) + text("{" + ONE + "}"),
    )
    yield Case(
        "header_one_byte_past_the_end",
        "header-length-invalid",
        "Off by one: the last byte is not the file's.",
        u64(len(ONE) + 3) + text("{" + ONE + "}"),
    )
    yield Case(
        "git_lfs_pointer",
        "header-too-large",
        "A pointer committed in place of weights: its first bytes are read as a length.",
        text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 4\n"),
    )
    yield whole(
        "header_not_utf8",
        "header-not-utf8",
        "Readers replace or drop the byte, each in its own way, and see other names.",
        b'{"a\xff":{' + OK.encode() + b"}}",
    )
    yield whole(
        "header_overlong_utf8",
        "header-not-utf8",
        "A slash in two bytes slips past filters for names.",
        b'{"a\xc0\xaf":{' + OK.encode() + b"}}",
    )


def json_syntax():
    malformed = "header-malformed"
    yield whole("header_empty", malformed, "No JSON at all.", "", b"")
    yield whole(
        "header_is_array", malformed, "Not an object; a lenient reader may find no tensors and go on.", "[]", b""
    )
    yield whole("header_is_null", malformed, "Not an object.", "null", b"")
    yield whole("header_only_spaces", "header-leading-space", "Nothing but padding.", " " * 8, b"")
    for what, space in (("space", " "), ("tab", "\t"), ("newline", "\n"), ("return", "\r")):
        yield whole(
            f"leading_{what}",
            "header-leading-space",
            "Shifts where the JSON begins: readers that look for `{` disagree with those that skip.",
            space + "{" + ONE + "}",
        )
    yield whole(
        "byte_order_mark", malformed, "Skipped by some readers, part of the text for others.", "\ufeff{" + ONE + "}"
    )
    yield whole(
        "nul_padding", malformed, "Ends the text for C strings; what follows is read by others.", "{" + ONE + "}\0"
    )
    yield whole(
        "second_value",
        malformed,
        "Readers that stop after one value never see the second.",
        "{" + ONE + "}{" + TWO + "}",
        DATA + DATA,
    )
    yield whole("comment_in_json", malformed, "Lenient readers skip what others choke on.", "{/*x*/" + ONE + "}")
    yield whole("trailing_comma", malformed, "Accepted by lenient readers only.", "{" + ONE + ",}")
    yield whole("single_quotes", malformed, "Accepted by lenient readers only.", "{" + ONE.replace('"', "'") + "}")
    yield whole(
        "nested_deeply",
        malformed,
        "A recursive parser runs out of stack and the process dies.",
        '{"a":' + "[" * 200 + "]" * 200 + "}",
    )
    yield Case(
        "nested_a_million_times",
        malformed,
        "The same with a million levels, in 1 MB.",
        u64(1_000_000) + text("{") + repeat(999_999, text("[")),
    )
    yield whole(
        "raw_control_in_name",
        malformed,
        "A raw control byte in a string, which JSON forbids and logs obey.",
        named("a\x1b[2J"),
    )
    yield whole(
        "lone_surrogate", malformed, "Half a character: readers replace it and then meet a twin.", named("\\ud800")
    )
    yield whole("bad_escape", malformed, "An escape that JSON does not have.", named("\\x61"))
    yield whole(
        "not_a_number",
        malformed,
        "NaN is no JSON; where it is accepted every comparison with it is false.",
        "{" + ONE.replace("[2]", "[NaN]") + "}",
    )


def duplicates():
    twice, last = "json-duplicate-key", "Two entries for what is one tensor."
    yield whole("tensor_twice", twice, "One name, two entries, one range: " + last, "{" + ONE + "," + ONE + "}")
    yield whole("tensor_twice_other_type", twice, last, "{" + ONE + "," + entry("a", "I64", [1], 0, 8) + "}")
    yield whole("tensor_twice_other_range", twice, last, "{" + ONE + "," + TWO.replace('"b"', '"a"') + "}", DATA + DATA)
    yield whole(
        "tensor_twice_apart",
        twice,
        "The pair hides between other tensors.",
        "{" + ONE + "," + TWO + "," + ONE + "}",
        DATA + DATA,
    )
    yield whole(
        "tensor_twice_escaped",
        twice,
        "Equal only after unescaping: a filter on raw text sees two names.",
        "{" + ONE + "," + ONE.replace('"a"', '"\\u0061"') + "}",
    )
    yield whole(
        "metadata_twice", twice, last, '{"__metadata__":{"format":"pt"},"__metadata__":{"format":"np"},' + ONE + "}"
    )
    yield whole(
        "metadata_twice_escaped",
        twice,
        "The second is written with an escape.",
        '{"__metadata__":{},"\\u005f_metadata__":{},' + ONE + "}",
    )
    yield whole("metadata_key_twice", twice, last, '{"__metadata__":{"licence":"a","licence":"b"},' + ONE + "}")
    yield whole("metadata_key_twice_escaped", twice, last, '{"__metadata__":{"x":"a","\\u0078":"b"},' + ONE + "}")
    yield whole("dtype_twice", twice, last, named("a", OK + ',"dtype":"I32"'))
    yield whole("dtype_twice_escaped", twice, last, named("a", OK + ',"d\\u0074ype":"I32"'))
    yield whole("shape_twice", twice, last, named("a", OK + ',"shape":[1,2]'))
    yield whole("offsets_twice", twice, last, named("a", OK + ',"data_offsets":[0,8]'))
    yield whole(
        "unknown_field_twice",
        "header-unknown-field",
        "A field that readers skip, with two values.",
        named("a", OK + ',"x":1,"x":2'),
    )


def good():
    rows = [
        ("plain", tensors(("a", "F32", [2], DATA)), "A tensor."),
        ("scalar", tensors(("a", "F32", [], f32(0.5))), "A scalar has no dimensions."),
        ("metadata", tensors(("a", "F32", [2], DATA), metadata={"format": "pt"}), "As PyTorch's writers have it."),
        ("metadata_empty", tensors(("a", "F32", [2], DATA), metadata={}), "Nothing said."),
        (
            "mixed_types",
            tensors(
                ("ids", "I64", [1], b"\x05" + bytes(7)),
                ("w", "F32", [1, 2], DATA),
                ("h", "BF16", [2], bytes(4)),
                ("mask", "BOOL", [1], b"\1"),
            ),
            "Largest alignment first, as writers order them.",
        ),
        ("any_order", file("{" + TWO + "," + ONE + "}", DATA + DATA), "The order in the header is free."),
        ("escaped_dtype", file("{" + ONE.replace("F32", "\\u004632") + "}", DATA), "Odd, but of one meaning."),
        ("name_of_256_bytes", file(named("n" * 256), DATA), "As long as a name may be."),
        (
            "eight_dimensions",
            file(named("a", f'"dtype":"F32","shape":[{"1," * 7}2],"data_offsets":[0,8]'), DATA),
            "As many as there may be.",
        ),
        (
            "half_bytes",
            file(named("a", '"dtype":"F4","shape":[4],"data_offsets":[0,2]'), b"\x12\x34"),
            "Four elements of 4 bits are two bytes.",
        ),
    ]
    for name, body, comment in rows:
        yield Case(f"good_{name}", "accept", comment, body)
    for n in (640, 896, 1152, 1408):
        text_ = "{" + ONE + "}"
        yield Case(
            f"good_header_of_{n}_bytes",
            "accept",
            f"The length {n} is written {n % 256:02x} {n // 256:02x}, like the start of a pickle of protocol {n // 256}; it is none.",
            u64(n) + text(text_) + repeat(n - len(text_), text(" ")) + raw(DATA),
        )


def cases():
    for group in (lengths, json_syntax, duplicates, good):
        yield from group()
