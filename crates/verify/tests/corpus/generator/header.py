"""Attacks on one safetensors file: its length field, its JSON, its table, its values."""

import struct

from . import polyglot
from .notation import Case, raw, repeat, text, u64
from .tensors import WIDTH, entry, f32, file, table, tensors

ONE = entry("a", "F32", [2], 0, 8)
TWO = entry("b", "F32", [2], 8, 16)
OK = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'
DATA = f32(0.5, -1.0)


def whole(name, expect, comment, header, data=DATA, **head):
    return Case(name, expect, comment, file(header, data), {key: str(value) for key, value in head.items()})


def named(name, body=OK):
    return f'{{"{name}":{{{body}}}}}'


def lengths():
    yield Case("length_field_cut", "header-too-short", "A cut download: there is not even a length to read.", raw(b"\x40\0\0\0\0\0\0"))
    yield Case("empty_file", "header-too-short", "An empty file in place of weights; a loader may go on with random ones.")
    yield Case("header_of_100_mb", "header-too-large", "The length alone makes a reader allocate; the file is tiny.", u64(100_000_000) + text("{"))
    yield Case("header_over_100_mb", "header-too-large", "One byte over the bound that common readers have.", u64(100_000_001) + text("{"))
    yield Case("header_length_all_ones", "header-too-large", "8 + n wraps around to 7 in careless arithmetic.", u64(2**64 - 1) + text("{"))
    yield Case("header_length_sign_bit", "header-too-large", "Negative in a signed integer, and so below every bound.", u64(2**63) + text("{"))
    yield Case("header_of_5_mb", "header-too-large", "A real header of 5 MB, nearly all of it padding: parsing time for nothing.",
               u64(5_000_000) + text("{" + ONE + "}") + repeat(5_000_000 - len(ONE) - 2, text(" ")) + raw(DATA))
    yield Case("header_past_the_end", "header-length-invalid", "The header would be read from memory behind the file.", u64(4096) + text("{" + ONE + "}"))
    yield Case("header_one_byte_past_the_end", "header-length-invalid", "Off by one: the last byte is not the file's.",
               u64(len(ONE) + 3) + text("{" + ONE + "}"))
    yield Case("git_lfs_pointer", "header-too-large", "A pointer committed in place of weights: its first bytes are read as a length.",
               text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 4\n"))
    yield whole("header_not_utf8", "header-not-utf8", "Readers replace or drop the byte, each in its own way, and see other names.", b'{"a\xff":{' + OK.encode() + b"}}")
    yield whole("header_overlong_utf8", "header-not-utf8", "A slash in two bytes slips past filters for names.", b'{"a\xc0\xaf":{' + OK.encode() + b"}}")


def json_syntax():
    malformed = "header-malformed"
    yield whole("header_empty", malformed, "No JSON at all.", "", b"")
    yield whole("header_is_array", malformed, "Not an object; a lenient reader may find no tensors and go on.", "[]", b"")
    yield whole("header_is_null", malformed, "Not an object.", "null", b"")
    yield whole("header_only_spaces", "header-leading-space", "Nothing but padding.", " " * 8, b"")
    for what, space in (("space", " "), ("tab", "\t"), ("newline", "\n"), ("return", "\r")):
        yield whole(f"leading_{what}", "header-leading-space", "Shifts where the JSON begins: readers that look for `{` disagree with those that skip.", space + "{" + ONE + "}")
    yield whole("byte_order_mark", malformed, "Skipped by some readers, part of the text for others.", "\ufeff{" + ONE + "}")
    yield whole("nul_padding", malformed, "Ends the text for C strings; what follows is read by others.", "{" + ONE + "}\0")
    yield whole("second_value", malformed, "Readers that stop after one value never see the second.", "{" + ONE + "}{" + TWO + "}", DATA + DATA)
    yield whole("comment_in_json", malformed, "Lenient readers skip what others choke on.", "{/*x*/" + ONE + "}")
    yield whole("trailing_comma", malformed, "Accepted by lenient readers only.", "{" + ONE + ",}")
    yield whole("single_quotes", malformed, "Accepted by lenient readers only.", "{" + ONE.replace('"', "'") + "}")
    yield whole("nested_deeply", malformed, "A recursive parser runs out of stack and the process dies.",
                '{"a":' + "[" * 200 + "]" * 200 + "}")
    yield Case("nested_a_million_times", malformed, "The same with a million levels, in 1 MB.", u64(1_000_000) + text("{") + repeat(999_999, text("[")))
    yield whole("raw_control_in_name", malformed, "A raw control byte in a string, which JSON forbids and logs obey.", named("a\x1b[2J"))
    yield whole("lone_surrogate", malformed, "Half a character: readers replace it and then meet a twin.", named("\\ud800"))
    yield whole("bad_escape", malformed, "An escape that JSON does not have.", named("\\x61"))
    yield whole("not_a_number", malformed, "NaN is no JSON; where it is accepted every comparison with it is false.", "{" + ONE.replace("[2]", "[NaN]") + "}")


def duplicates():
    twice, last = "json-duplicate-key", "What was checked is the first; what a last-wins reader loads is the second."
    yield whole("tensor_twice", twice, "One name, two entries, one range: " + last, "{" + ONE + "," + ONE + "}")
    yield whole("tensor_twice_other_type", twice, last, "{" + ONE + "," + entry("a", "I64", [1], 0, 8) + "}")
    yield whole("tensor_twice_other_range", twice, last, "{" + ONE + "," + TWO.replace('"b"', '"a"') + "}", DATA + DATA)
    yield whole("tensor_twice_apart", twice, "The pair hides between other tensors.", "{" + ONE + "," + TWO + "," + ONE + "}", DATA + DATA)
    yield whole("tensor_twice_escaped", twice, "Equal only after unescaping: a filter on raw text sees two names.", "{" + ONE + "," + ONE.replace('"a"', '"\\u0061"') + "}")
    yield whole("metadata_twice", twice, last, '{"__metadata__":{"format":"pt"},"__metadata__":{"format":"np"},' + ONE + "}")
    yield whole("metadata_twice_escaped", twice, "The second is written with an escape.", '{"__metadata__":{},"\\u005f_metadata__":{},' + ONE + "}")
    yield whole("metadata_key_twice", twice, last, '{"__metadata__":{"licence":"a","licence":"b"},' + ONE + "}")
    yield whole("metadata_key_twice_escaped", twice, last, '{"__metadata__":{"x":"a","\\u0078":"b"},' + ONE + "}")
    yield whole("dtype_twice", twice, last, named("a", OK + ',"dtype":"I32"'))
    yield whole("dtype_twice_escaped", twice, last, named("a", OK + ',"d\\u0074ype":"I32"'))
    yield whole("shape_twice", twice, last, named("a", OK + ',"shape":[1,2]'))
    yield whole("offsets_twice", twice, last, named("a", OK + ',"data_offsets":[0,8]'))
    yield whole("unknown_field_twice", "header-unknown-field", "A field that readers skip, with two values.", named("a", OK + ',"x":1,"x":2'))


def forms():
    malformed = "header-malformed"
    yield whole("unknown_field", "header-unknown-field", "Room for data that no reader shows.", named("a", OK + ',"note":"x"'))
    yield whole("unknown_field_nested", "header-unknown-field", "The same, with a tree of any size below.", named("a", OK + ',"note":[{"deep":[{}]}]'))
    yield whole("entry_as_array", malformed, "Read by position where a reader maps arrays to fields.", '{"a":["F32",[2],[0,8]]}')
    yield whole("entry_is_null", malformed, "A tensor that some readers skip and others invent.", '{"a":null}', b"")
    yield whole("dtype_as_object", malformed, "An element type that is no string: readers map it in their own way.", "{" + ONE.replace('"F32"', '{"F32":null}') + "}")
    yield whole("dtype_lower_case", malformed, "Accepted where names are compared without case.", "{" + ONE.replace("F32", "f32") + "}")
    yield whole("dtype_unknown", malformed, "A type of unknown size: no range can be checked.", "{" + ONE.replace("F32", "F31") + "}")
    yield whole("dtype_null", malformed, "A type that is not there.", "{" + ONE.replace('"F32"', "null") + "}")
    for field in ("dtype", "shape", "data_offsets"):
        body = ",".join(part for part in ('"dtype":"F32"', '"shape":[2]', '"data_offsets":[0,8]') if field not in part)
        yield whole(f"missing_{field}", malformed, "A reader's default takes the place of what was left out.", named("a", body))
    yield whole("three_offsets", malformed, "Which two count?", "{" + ONE.replace("[0,8]", "[0,8,16]") + "}")
    yield whole("one_offset", malformed, "The end is left to the reader.", "{" + ONE.replace("[0,8]", "[0]") + "}")
    for what, value in (("negative", "-2"), ("negative_zero", "-0"), ("fraction", "2.0"), ("exponent", "2e0"), ("string", '"2"'),
                        ("past_64_bits", "18446744073709551616"), ("leading_zero", "02"), ("boolean", "true")):
        yield whole(f"dimension_{what}", malformed, "A dimension that readers turn into different numbers.", "{" + ONE.replace("[2]", f"[{value}]") + "}")
    yield whole("offset_fraction", malformed, "An offset that readers round differently.", "{" + ONE.replace("[0,8]", "[0,8.0]") + "}")
    yield whole("offset_negative", malformed, "An offset before the data: the header read as weights.", "{" + ONE.replace("[0,8]", "[-8,0]") + "}")
    yield whole("metadata_null", malformed, "Neither there nor left out.", '{"__metadata__":null,' + ONE + "}")
    yield whole("metadata_number", malformed, "A value that is no string.", '{"__metadata__":{"x":1},' + ONE + "}")
    yield whole("metadata_nested", malformed, "A tree where the format has strings.", '{"__metadata__":{"x":{"y":"z"}},' + ONE + "}")
    yield Case("metadata_huge", "header-too-large", "Free text without end in the part that nobody reads.",
               u64(70_000 + len('{"__metadata__":{"x":""},' + ONE + "}")) + text('{"__metadata__":{"x":"') + repeat(70_000, text("y")) + text('"},' + ONE + "}") + raw(DATA))


def names():
    unsafe = "tensor-name-unsafe"
    for what, name, gain in (
        ("empty", "", "No name: what is it called in a path or a table?"),
        ("nul", "a\\u0000b", "Ends the name for C strings: a twin of `a`."),
        ("newline", "a\\nINFO verified", "A forged line in the log."),
        ("escape_sequence", "\\u001b[2J\\u001b[1;1H", "Clears the operator's screen and writes what it likes."),
        ("delete", "a\\u007f", "Invisible on a terminal."),
        ("next_line", "a\\u0085b", "A line end for some, nothing for others."),
        ("line_separator", "a\\u2028b", "A line end in JavaScript and in some logs."),
        ("zero_width", "act\\u200bor", "Looks like `actor`, is another tensor."),
        ("right_to_left", "a\\u202etxt", "Turns the order of what the operator reads."),
        ("composed", "\u00e9", "One spelling of a letter that has two."),
        ("decomposed", "e\u0301", "The other spelling: looks the same beside the first."),
        ("cyrillic", "\u0430ctor.weight", "A letter of another alphabet that looks like `a`."),
        ("climbing", "../../etc/passwd", "Leaves the directory of whoever saves tensors by name."),
        ("climbing_within", "a/../../b", "The same from the middle."),
        ("quote", 'a\\"b', "Ends a string in whatever is built by pasting."),
        ("backslash", "a\\\\b", "A directory separator on other systems."),
        ("space", "a b", "Splits into two words in shells and logs."),
        ("noncharacter", "a\\uffff", "Refused by some readers, kept by others."),
    ):
        yield whole(f"name_{what}", unsafe, gain, named(name))
    yield whole("name_twins_of_unicode", unsafe, "Two spellings of one name side by side: a reader that normalises drops one.",
                '{"\u00e9":{' + OK + '},"e\u0301":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}', DATA + DATA)
    yield whole("name_of_257_bytes", unsafe, "Longer than any real one; fills logs and tables.", named("n" * 257))
    yield Case("name_of_1_mb", unsafe, "One name as long as a book.",
               u64(1_000_000 + len(named(""))) + text('{"') + repeat(1_000_000, text("n")) + text('":{' + OK + "}}") + raw(DATA))


def layout():
    offsets, size = "tensor-offsets-invalid", "tensor-size-mismatch"
    yield whole("shape_overflow_before_zero", "tensor-shape-overflow", "Wraps around before the zero makes it harmless.", named("a", '"dtype":"F32","shape":[18446744073709551615,2,0],"data_offsets":[0,0]'), b"")
    yield whole("shape_overflow_elements", "tensor-shape-overflow", "2^32 * 2^32 wraps to 0 elements; the loop that copies trusts the shape.", "{" + ONE.replace("[2]", "[4294967296,4294967296]") + "}")
    yield whole("shape_overflow_bits", "tensor-shape-overflow", "Fits as elements, wraps as bits.", "{" + ONE.replace("[2]", "[4611686018427387904]") + "}")
    yield whole("shape_larger_than_range", size, "The reader that trusts the shape reads past the range.", "{" + ONE.replace("[2]", "[3]") + "}")
    yield whole("shape_smaller_than_range", size, "Bytes that belong to a tensor and are in none of its elements.", "{" + ONE.replace("[2]", "[1]") + "}")
    yield whole("dtype_narrower_than_range", size, "Half of the range is read, the rest is room to hide in.", "{" + ONE.replace("F32", "F16") + "}")
    yield whole("half_byte_left", size, "Three elements of 4 bits: where does the last one end?", named("a", '"dtype":"F4","shape":[3],"data_offsets":[0,2]'), b"\0\0")
    yield whole("range_reversed", offsets, "The length is negative, or huge when unsigned.", "{" + ONE.replace("[0,8]", "[8,0]") + "}")
    yield whole("hole_at_the_start", offsets, "Bytes before the first tensor that nobody checks.", "{" + TWO + "}", DATA + DATA)
    yield whole("hole_between", offsets, "Bytes between two tensors that nobody checks.", "{" + ONE + "," + TWO.replace("[8,16]", "[16,24]") + "}", DATA * 3)
    yield whole("overlap_whole", offsets, "Two names for one range: a write through one changes the other.", "{" + ONE + "," + ONE.replace('"a"', '"b"') + "}")
    yield whole("overlap_part", offsets, "Half of each is the other's.", "{" + ONE + "," + TWO.replace("[8,16]", "[4,12]") + "}", DATA + f32(0))
    yield whole("range_past_the_end", offsets, "A cut file: the last tensor would be read from behind it.", "{" + ONE + "}", DATA[:4])
    yield whole("range_far_past_the_end", offsets, "An offset that is a pointer to anywhere.", named("a", '"dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,4611686018427387904]').replace("U8", "F4").replace("[4611686018427387904]", "[1152921504606846976]").replace("4611686018427387904", "576460752303423488"), b"\0")
    yield whole("range_wraps_around", offsets, "begin + length is past 2^64.", named("a", '"dtype":"U8","shape":[8],"data_offsets":[18446744073709551608,18446744073709551615]').replace("[8]", "[7]"), b"\0" * 8)
    yield whole("trailing_byte", "trailing-bytes", "One byte that no tensor owns: the file hash changes and no weight does.", "{" + ONE + "}", DATA + b"\0")
    yield whole("trailing_archive", "trailing-bytes", "An archive behind the last tensor; zip readers begin at the end.", "{" + ONE + "}", DATA + b"PK\x05\x06" + bytes(18))
    yield whole("odd_offset", "tensor-misaligned", "Cannot be viewed in place: a reader that casts the pointer has undefined behaviour.",
                "{" + entry("b", "U8", [1], 0, 1) + "," + entry("a", "F32", [1], 1, 5) + "}", b"\x01" + f32(0.5))
    text_ = "{" + ONE + "}"
    yield Case("odd_header", "tensor-misaligned", "A header of odd length shifts every tensor off its alignment.", file(text_ + " " * (-len(text_) % 8 + 1), DATA, pad=False))
    yield whole("no_tensors", "tensor-empty", "Nothing to load; a loader that is not strict goes on with random weights.", "{}", b"")
    yield whole("only_metadata", "tensor-empty", "Nothing to load but words.", '{"__metadata__":{"format":"pt"}}', b"")
    yield whole("zero_dimension", "tensor-empty", "A tensor without elements: any number of them fits at one offset.", "{" + entry("a", "F32", [0], 0, 0) + "," + ONE.replace('"a"', '"b"') + "}")
    yield whole("zero_times_huge", "tensor-empty", "[0, 2^64-1]: no bytes, and a huge loop over the other dimension.", named("a", '"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]'), b"")
    yield whole("nine_dimensions", "tensor-rank-too-high", "More dimensions than any network has; arrays of fixed rank overflow.", named("a", f'"dtype":"F32","shape":[{"1," * 8}2],"data_offsets":[0,8]'))
    yield whole("a_thousand_dimensions", "tensor-rank-too-high", "Strides, reprs and stacks that grow with the rank.", named("a", f'"dtype":"F32","shape":[{"1," * 999}2],"data_offsets":[0,8]'))
    yield whole("too_many_tensors", "tensor-too-many", "Tables cost far more memory than their text.", "{" + ONE + "," + TWO + "}", DATA + DATA, limits="tensors = 1")


def values():
    quiet_nan = {"F16": 0x7E00, "BF16": 0x7FC0, "F32": 0x7FC00000, "F64": 0x7FF8000000000000, "F8_E5M2": 0x7E, "F8_E4M3": 0x7F}
    infinity = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0000000000000, "F8_E5M2": 0x7C}
    for what, patterns in (("nan", quiet_nan), ("infinity", infinity)):
        for dtype, bits in patterns.items():
            element = bits.to_bytes(WIDTH[dtype], "little")
            data = bytes(WIDTH[dtype]) * 3 + element
            yield Case(f"{what}_{dtype.lower()}", "weights-non-finite", "One such weight makes every action after it meaningless.",
                       tensors(("a", dtype, [4], data)), {"subject": "model.safetensors#a"})
    for what, bits in (("negative_infinity", 0xFF800000), ("signalling_nan", 0x7F800001), ("negative_nan_with_payload", 0xFFFFFFFF)):
        yield Case(f"{what}_f32", "weights-non-finite", "The same with other bits: a scan for one pattern misses it.", tensors(("a", "F32", [2], f32(0) + struct.pack("<I", bits))))
    yield Case("nan_last_of_many", "weights-non-finite", "The last of 5,000: a scan that samples or forgets the tail misses it.",
               file("{" + entry("a", "F32", [5001], 0, 20_004) + "}", repeat(5_000, raw(f32(0.5))) + raw(struct.pack("<I", 0x7FC00000))))
    yield Case("nan_in_second_tensor", "weights-non-finite", "Behind a tensor of integers, whose bits may be anything.",
               tensors(("ids", "I64", [1], b"\xff" * 8), ("w", "F32", [1], struct.pack("<I", 0x7FC00000))), {"subject": "model.safetensors#w"})
    yield Case("nan_waived", "accept", "An operator may let it pass, and is told.", tensors(("a", "F32", [1], struct.pack("<I", 0x7FC00000))),
               {"content": 'non_finite = "warn"', "notice": "weights-non-finite"})
    yield Case("integers_like_nan", "accept", "Integers have no NaN, whatever their bits are.", tensors(("a", "I32", [2], b"\xff" * 8), ("b", "U8", [8], b"\xff" * 8)))
    yield Case("largest_finite", "accept", "The largest number is finite.", tensors(("a", "F32", [2], struct.pack("<II", 0x7F7FFFFF, 0xFF7FFFFF)), ("b", "BF16", [2], struct.pack("<HH", 0x7F7F, 1))))
    yield Case("bool_of_2", "tensor-bool-invalid", "Undefined behaviour where a BOOL is loaded as it is.", tensors(("a", "BOOL", [3], b"\0\1\2")), {"subject": "model.safetensors#a"})
    yield Case("bool_of_255", "tensor-bool-invalid", "True for one reader, -1 for another.", tensors(("a", "BOOL", [1], b"\xff")))
    yield Case("bool_plain", "accept", "0 and 1.", tensors(("a", "BOOL", [4], b"\0\1\1\0")))
    yield Case("dtype_forbidden", "tensor-dtype-forbidden", "A type that the robot's kernels do not have.", tensors(("a", "F64", [1], bytes(8))), {"content": 'dtypes = ["F32", "BF16"]'})


def good():
    rows = [("plain", tensors(("a", "F32", [2], DATA)), "A tensor."),
            ("scalar", tensors(("a", "F32", [], f32(0.5))), "A scalar has no dimensions."),
            ("metadata", tensors(("a", "F32", [2], DATA), metadata={"format": "pt"}), "As PyTorch's writers have it."),
            ("metadata_empty", tensors(("a", "F32", [2], DATA), metadata={}), "Nothing said."),
            ("mixed_types", tensors(("ids", "I64", [1], b"\x05" + bytes(7)), ("w", "F32", [1, 2], DATA), ("h", "BF16", [2], bytes(4)), ("mask", "BOOL", [1], b"\1")), "Largest alignment first, as writers order them."),
            ("any_order", file("{" + TWO + "," + ONE + "}", DATA + DATA), "The order in the header is free."),
            ("escaped_dtype", file("{" + ONE.replace("F32", "\\u004632") + "}", DATA), "Odd, but of one meaning."),
            ("name_of_256_bytes", file(named("n" * 256), DATA), "As long as a name may be."),
            ("eight_dimensions", file(named("a", f'"dtype":"F32","shape":[{"1," * 7}2],"data_offsets":[0,8]'), DATA), "As many as there may be."),
            ("half_bytes", file(named("a", '"dtype":"F4","shape":[4],"data_offsets":[0,2]'), b"\x12\x34"), "Four elements of 4 bits are two bytes.")]
    for name, body, comment in rows:
        yield Case(f"good_{name}", "accept", comment, body)
    for n in (640, 896, 1152, 1408):
        text_ = "{" + ONE + "}"
        yield Case(f"good_header_of_{n}_bytes", "accept", f"The length {n} is written {n % 256:02x} {n // 256:02x}, like the start of a pickle of protocol {n // 256}; it is none.",
                   u64(n) + text(text_) + repeat(n - len(text_), text(" ")) + raw(DATA))


def cases():
    for group in (lengths, json_syntax, duplicates, forms, names, layout, values, good, polyglot.cases):
        yield from group()
