"""Attacks on the list of files that a manifest is: a holder of a trusted key signs what no directory can be."""

from .envelope import MALFORMED, rewritten


def cases():
    def listing(name, expect, comment, change, **head):
        return rewritten(name, expect, comment, lambda inner: change(inner["files"]), **head)

    config, weights = 0, 1
    yield rewritten(
        "files_empty", MALFORMED, "A policy of no files has nothing wrong in it.", lambda inner: inner.update(files=[])
    )
    yield listing(
        "files_unordered",
        MALFORMED,
        "Two spellings of one list; a search by halves misses files.",
        lambda files: files.reverse(),
    )
    yield listing(
        "file_twice",
        "file-name-collision",
        "Two digests for one file: either may match.",
        lambda files: files.append(dict(files[weights])),
    )
    twin = lambda path: lambda files: files.insert(0, files[config] | {"path": path})
    yield listing(
        "file_case_twin",
        "file-name-collision",
        "One file where names have no case, and which?",
        lambda files: files.insert(0, files[config] | {"path": "Config.json", "kind": "config"}),
    )
    yield listing(
        "file_is_a_directory",
        "file-name-collision",
        "A name that is a file and a directory.",
        lambda files: files.insert(1, files[config] | {"path": "config.json/config.json"}),
    )
    for what, path in (
        ("climbing", "../config.json"),
        ("absolute", "/etc/config.json"),
        ("in_git", ".git/config.json"),
        ("in_git_of_another_case", ".GIT/config.json"),
        ("with_dot", "./config.json"),
        ("with_backslash", "a\\config.json"),
        ("with_nul", "config.json\0"),
        ("with_newline", "a\nconfig.json"),
        ("with_trailing_dot", "a./config.json"),
        ("with_colon", "c:config.json"),
        ("empty", ""),
        ("not_ascii", "c\u00f6nfig.json"),
        ("turned", "\u202enosj.gifnoc"),
        ("deep", "a/" * 16 + "config.json"),
        ("long", "a" * 256 + ".json"),
        ("of_a_double_slash", "a//config.json"),
    ):
        yield listing(
            f"file_name_{what}",
            MALFORMED,
            "A name that leaves the directory, or means another file elsewhere.",
            twin(path),
        )
    yield listing(
        "manifest_lists_itself",
        MALFORMED,
        "A file that cannot hold its own digest.",
        lambda files: files.append(files[config] | {"path": "policy.dsse.json"}),
    )
    yield listing(
        "kind_mismatch",
        "file-kind-mismatch",
        "Code passed off as a card, which nobody reads.",
        lambda files: files[config].update(kind="card"),
    )
    yield listing(
        "kind_of_weights_for_json",
        "file-kind-mismatch",
        "Judged by the rules of another kind.",
        lambda files: files[config].update(kind="weights"),
    )
    yield listing(
        "kind_unknown",
        MALFORMED,
        "A kind that this version does not know.",
        lambda files: files[config].update(kind="plugin"),
    )
    yield listing(
        "digest_in_upper_case",
        MALFORMED,
        "Two spellings of one digest.",
        lambda files: files[config].update(sha256=files[config]["sha256"].upper()),
    )
    yield listing(
        "digest_short",
        MALFORMED,
        "A prefix is easier to match.",
        lambda files: files[config].update(blake3=files[config]["blake3"][:32]),
    )
    yield listing("digest_missing", MALFORMED, "Not there: not checked.", lambda files: files[config].pop("blake3"))
    yield listing(
        "size_of_a_huge_text",
        "json-too-large",
        "A text of a terabyte, signed.",
        lambda files: files[config].update(size=1 << 40),
    )
    yield listing(
        "size_smaller_than_tensors",
        MALFORMED,
        "The tensors reach past the file.",
        lambda files: files[weights].update(size=4),
    )
    yield listing(
        "size_past_the_limit",
        MALFORMED,
        "More weights than any robot holds.",
        lambda files: files[weights].update(size=1 << 40),
    )
    yield listing(
        "weights_without_table",
        MALFORMED,
        "Weights whose tensors nobody signed.",
        lambda files: [files[weights].pop(key) for key in ("tensors", "header_blake3")],
    )
    yield listing(
        "config_with_table",
        MALFORMED,
        "A table of no tensors.",
        lambda files: files[config].update(header_blake3="0" * 64, tensors=[]),
    )
    first = lambda files: files[weights]["tensors"][0]
    yield listing(
        "table_empty",
        "header-too-large",
        "All of the file is header, it says.",
        lambda files: (files[weights].update(size=64 << 20), files[weights]["tensors"].clear()),
    )
    yield listing(
        "table_with_hole",
        "tensor-offsets-invalid",
        "Bytes that no digest covers.",
        lambda files: first(files).update(begin=4, shape=[1]),
    )
    yield listing(
        "table_overlap",
        "tensor-offsets-invalid",
        "Two names for one range.",
        lambda files: files[weights]["tensors"].append(first(files) | {"name": "b"}),
    )
    yield listing(
        "table_shape_overflow",
        "tensor-shape-overflow",
        "Wraps around to what fits.",
        lambda files: first(files).update(shape=[1 << 62, 4]),
    )
    yield listing(
        "table_shape_too_large",
        "tensor-size-mismatch",
        "The reader that trusts the shape reads past the range.",
        lambda files: first(files).update(shape=[3]),
    )
    yield listing(
        "table_of_no_elements",
        "tensor-empty",
        "A tensor without elements.",
        lambda files: first(files).update(shape=[0], end=0),
    )
    yield listing(
        "table_of_nine_dimensions",
        "tensor-rank-too-high",
        "More than any network has.",
        lambda files: first(files).update(shape=[1] * 8 + [2]),
    )
    yield listing(
        "table_misaligned",
        "tensor-misaligned",
        "Cannot be viewed in place.",
        lambda files: files[weights].update(size=files[weights]["size"] + 1),
    )
    yield listing(
        "table_name_unsafe",
        "tensor-name-unsafe",
        "A name that is a path.",
        lambda files: first(files).update(name="../../x"),
    )
    yield listing(
        "table_dtype_unknown", MALFORMED, "A type of unknown size.", lambda files: first(files).update(dtype="F31")
    )
    yield listing(
        "table_dtype_as_object",
        MALFORMED,
        "Mapped by readers in their own way.",
        lambda files: first(files).update(dtype={"F32": None}),
    )
    yield listing(
        "table_same_tensor_in_two_files",
        MALFORMED,
        "One controller takes the first, another the last.",
        lambda files: files.insert(1, files[weights] | {"path": "model-00001-of-00002.safetensors"}),
    )
