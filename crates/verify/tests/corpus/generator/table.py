"""Attacks on the table of a safetensors file: its entries, their names, where they lie."""

from .header import DATA, OK, ONE, TWO, named, whole
from .notation import Case, raw, repeat, text, u64
from .tensors import entry, f32, file


def forms():
    malformed = "header-malformed"
    yield whole(
        "unknown_field", "header-unknown-field", "Room for data that no reader shows.", named("a", OK + ',"note":"x"')
    )
    yield whole(
        "unknown_field_nested",
        "header-unknown-field",
        "The same, with a tree of any size below.",
        named("a", OK + ',"note":[{"deep":[{}]}]'),
    )
    yield whole(
        "entry_as_array", malformed, "Read by position where a reader maps arrays to fields.", '{"a":["F32",[2],[0,8]]}'
    )
    yield whole("entry_is_null", malformed, "A tensor that some readers skip and others invent.", '{"a":null}', b"")
    yield whole(
        "dtype_as_object",
        malformed,
        "An element type that is no string: readers map it in their own way.",
        "{" + ONE.replace('"F32"', '{"F32":null}') + "}",
    )
    yield whole(
        "dtype_lower_case",
        malformed,
        "Accepted where names are compared without case.",
        "{" + ONE.replace("F32", "f32") + "}",
    )
    yield whole(
        "dtype_unknown",
        malformed,
        "A type of unknown size: no range can be checked.",
        "{" + ONE.replace("F32", "F31") + "}",
    )
    yield whole("dtype_null", malformed, "A type that is not there.", "{" + ONE.replace('"F32"', "null") + "}")
    for field in ("dtype", "shape", "data_offsets"):
        body = ",".join(part for part in ('"dtype":"F32"', '"shape":[2]', '"data_offsets":[0,8]') if field not in part)
        yield whole(
            f"missing_{field}", malformed, "A reader's default takes the place of what was left out.", named("a", body)
        )
    yield whole("three_offsets", malformed, "Which two count?", "{" + ONE.replace("[0,8]", "[0,8,16]") + "}")
    yield whole("one_offset", malformed, "The end is left to the reader.", "{" + ONE.replace("[0,8]", "[0]") + "}")
    for what, value in (
        ("negative", "-2"),
        ("negative_zero", "-0"),
        ("fraction", "2.0"),
        ("exponent", "2e0"),
        ("string", '"2"'),
        ("past_64_bits", "18446744073709551616"),
        ("leading_zero", "02"),
        ("boolean", "true"),
    ):
        yield whole(
            f"dimension_{what}",
            malformed,
            "A dimension that readers turn into different numbers.",
            "{" + ONE.replace("[2]", f"[{value}]") + "}",
        )
    yield whole(
        "offset_fraction",
        malformed,
        "An offset that readers round differently.",
        "{" + ONE.replace("[0,8]", "[0,8.0]") + "}",
    )
    yield whole(
        "offset_negative",
        malformed,
        "An offset before the data: the header read as weights.",
        "{" + ONE.replace("[0,8]", "[-8,0]") + "}",
    )
    yield whole("metadata_null", malformed, "Neither there nor left out.", '{"__metadata__":null,' + ONE + "}")
    yield whole("metadata_number", malformed, "A value that is no string.", '{"__metadata__":{"x":1},' + ONE + "}")
    yield whole(
        "metadata_nested",
        malformed,
        "A tree where the format has strings.",
        '{"__metadata__":{"x":{"y":"z"}},' + ONE + "}",
    )
    yield Case(
        "metadata_huge",
        "header-too-large",
        "Free text without end in the part that nobody reads.",
        u64(70_000 + len('{"__metadata__":{"x":""},' + ONE + "}"))
        + text('{"__metadata__":{"x":"')
        + repeat(70_000, text("y"))
        + text('"},' + ONE + "}")
        + raw(DATA),
    )


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
    yield whole(
        "name_twins_of_unicode",
        unsafe,
        "Two spellings of one name side by side: a reader that normalises drops one.",
        '{"\u00e9":{' + OK + '},"e\u0301":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
        DATA + DATA,
    )
    yield whole("name_of_257_bytes", unsafe, "Longer than any real one; fills logs and tables.", named("n" * 257))
    yield Case(
        "name_of_1_mb",
        unsafe,
        "One name as long as a book.",
        u64(1_000_000 + len(named("")))
        + text('{"')
        + repeat(1_000_000, text("n"))
        + text('":{' + OK + "}}")
        + raw(DATA),
    )


def layout():
    offsets, size = "tensor-offsets-invalid", "tensor-size-mismatch"
    yield whole(
        "shape_overflow_before_zero",
        "tensor-shape-overflow",
        "Wraps around before the zero makes it harmless.",
        named("a", '"dtype":"F32","shape":[18446744073709551615,2,0],"data_offsets":[0,0]'),
        b"",
    )
    yield whole(
        "shape_overflow_elements",
        "tensor-shape-overflow",
        "2^32 * 2^32 wraps to 0 elements; the loop that copies trusts the shape.",
        "{" + ONE.replace("[2]", "[4294967296,4294967296]") + "}",
    )
    yield whole(
        "shape_overflow_bits",
        "tensor-shape-overflow",
        "Fits as elements, wraps as bits.",
        "{" + ONE.replace("[2]", "[4611686018427387904]") + "}",
    )
    yield whole(
        "shape_larger_than_range",
        size,
        "The reader that trusts the shape reads past the range.",
        "{" + ONE.replace("[2]", "[3]") + "}",
    )
    yield whole(
        "shape_smaller_than_range",
        size,
        "Bytes that belong to a tensor and are in none of its elements.",
        "{" + ONE.replace("[2]", "[1]") + "}",
    )
    yield whole(
        "dtype_narrower_than_range",
        size,
        "Half of the range is read, the rest is room to hide in.",
        "{" + ONE.replace("F32", "F16") + "}",
    )
    yield whole(
        "half_byte_left",
        size,
        "Three elements of 4 bits: where does the last one end?",
        named("a", '"dtype":"F4","shape":[3],"data_offsets":[0,2]'),
        b"\0\0",
    )
    yield whole(
        "range_reversed",
        offsets,
        "The length is negative, or huge when unsigned.",
        "{" + ONE.replace("[0,8]", "[8,0]") + "}",
    )
    yield whole(
        "hole_at_the_start", offsets, "Bytes before the first tensor that nobody checks.", "{" + TWO + "}", DATA + DATA
    )
    yield whole(
        "hole_between",
        offsets,
        "Bytes between two tensors that nobody checks.",
        "{" + ONE + "," + TWO.replace("[8,16]", "[16,24]") + "}",
        DATA * 3,
    )
    yield whole(
        "overlap_whole",
        offsets,
        "Two names for one range: a write through one changes the other.",
        "{" + ONE + "," + ONE.replace('"a"', '"b"') + "}",
    )
    yield whole(
        "overlap_part",
        offsets,
        "Half of each is the other's.",
        "{" + ONE + "," + TWO.replace("[8,16]", "[4,12]") + "}",
        DATA + f32(0),
    )
    yield whole(
        "range_past_the_end",
        offsets,
        "A cut file: the last tensor would be read from behind it.",
        "{" + ONE + "}",
        DATA[:4],
    )
    yield whole(
        "range_far_past_the_end",
        offsets,
        "An offset that is a pointer to anywhere.",
        named("a", '"dtype":"U8","shape":[4611686018427387904],"data_offsets":[0,4611686018427387904]')
        .replace("U8", "F4")
        .replace("[4611686018427387904]", "[1152921504606846976]")
        .replace("4611686018427387904", "576460752303423488"),
        b"\0",
    )
    yield whole(
        "range_wraps_around",
        offsets,
        "begin + length is past 2^64.",
        named("a", '"dtype":"U8","shape":[8],"data_offsets":[18446744073709551608,18446744073709551615]').replace(
            "[8]", "[7]"
        ),
        b"\0" * 8,
    )
    yield whole(
        "trailing_byte",
        "trailing-bytes",
        "One byte that no tensor owns: the file hash changes and no weight does.",
        "{" + ONE + "}",
        DATA + b"\0",
    )
    yield whole(
        "trailing_archive",
        "trailing-bytes",
        "An archive behind the last tensor; zip readers begin at the end.",
        "{" + ONE + "}",
        DATA + b"PK\x05\x06" + bytes(18),
    )
    yield whole(
        "odd_offset",
        "tensor-misaligned",
        "Cannot be viewed in place: a reader that casts the pointer has undefined behaviour.",
        "{" + entry("b", "U8", [1], 0, 1) + "," + entry("a", "F32", [1], 1, 5) + "}",
        b"\x01" + f32(0.5),
    )
    text_ = "{" + ONE + "}"
    yield Case(
        "odd_header",
        "tensor-misaligned",
        "A header of odd length shifts every tensor off its alignment.",
        file(text_ + " " * (-len(text_) % 8 + 1), DATA, pad=False),
    )
    yield whole(
        "no_tensors",
        "tensor-empty",
        "Nothing to load; a loader that is not strict goes on with random weights.",
        "{}",
        b"",
    )
    yield whole("only_metadata", "tensor-empty", "Nothing to load but words.", '{"__metadata__":{"format":"pt"}}', b"")
    yield whole(
        "zero_dimension",
        "tensor-empty",
        "A tensor without elements: any number of them fits at one offset.",
        "{" + entry("a", "F32", [0], 0, 0) + "," + ONE.replace('"a"', '"b"') + "}",
    )
    yield whole(
        "zero_times_huge",
        "tensor-empty",
        "[0, 2^64-1]: no bytes, and a huge loop over the other dimension.",
        named("a", '"dtype":"F32","shape":[0,18446744073709551615],"data_offsets":[0,0]'),
        b"",
    )
    yield whole(
        "nine_dimensions",
        "tensor-rank-too-high",
        "More dimensions than any network has; arrays of fixed rank overflow.",
        named("a", f'"dtype":"F32","shape":[{"1," * 8}2],"data_offsets":[0,8]'),
    )
    yield whole(
        "a_thousand_dimensions",
        "tensor-rank-too-high",
        "Strides, reprs and stacks that grow with the rank.",
        named("a", f'"dtype":"F32","shape":[{"1," * 999}2],"data_offsets":[0,8]'),
    )
    yield whole(
        "too_many_tensors",
        "tensor-too-many",
        "Tables cost far more memory than their text.",
        "{" + ONE + "," + TWO + "}",
        DATA + DATA,
        limits="tensors = 1",
    )


def cases():
    for group in (forms, names, layout):
        yield from group()
