"""A signed policy on the robot's disk: what may happen to it there."""

from . import tensors
from .lerobot import (
    ACT,
    MODEL,
    POST,
    POST_STATE,
    PRE,
    directory,
    postprocessor,
    preprocessor,
    state,
)
from .manifest import manifest_file, predicate, signed, statement, trust
from .notation import Case, content, file, link, raw, repeat, special, text
from .policy import PICKLE
from .polyglot import archive

CARD = file("README.md", text("# Walk\n"))
KINDS = {
    "config.json": "config",
    "README.md": "card",
    "LICENSE": "card",
    f"{PRE}.json": "processor",
    f"{POST}.json": "processor",
    "modeling.py": "reviewed-code",
    ".gitattributes": "repository",
    "tokenizer.json": "tokenizer",
    "merges.txt": "tokenizer",
}


def kind(path):
    if path in KINDS:
        return KINDS[path]
    return "processor-state" if "processor_step_" in path else "weights"


def manifest(parts, **changes):
    return predicate(
        [(title.removeprefix("file "), pieces, kind(title.removeprefix("file "))) for title, pieces in parts], **changes
    )


def case(name, expect, comment, signed_parts, disk=None, change=None, trust_file=None, **head):
    """`signed_parts` are signed, `disk` is what lies there; `change` edits the predicate."""
    inner = manifest(signed_parts)
    if change:
        change(inner)
    parts = [trust_file or trust(), manifest_file(signed(statement(inner)))]
    return Case(
        f"signed_{name}", expect, comment, head=head, parts=parts + directory(*(signed_parts if disk is None else disk))
    )


def replaced(parts, *new):
    names = [title for title, _ in new]
    return [part for part in parts if part[0] not in names] + list(new)


def without(parts, path):
    return [part for part in parts if part[0] != f"file {path}"]


WHOLE = [*ACT, CARD]


def flipped(pieces, at):
    data = content(pieces)
    at %= len(data)
    return raw(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


def tampered():
    other, size = "digest-mismatch", "size-mismatch"

    def of(name, expect, comment, *new, **head):
        return case(name, expect, comment, WHOLE, replaced(WHOLE, *new), **head)

    yield case("good", "accept", "As it was signed.", WHOLE)
    yield case(
        "good_with_its_manifest",
        "accept",
        "The manifest lies beside the files.",
        WHOLE,
        WHOLE + [file("policy.dsse.json", text("{}"))],
    )
    lengths = [
        0,
        1,
        2,
        63,
        64,
        65,
        127,
        128,
        129,
        1023,
        1024,
        1025,
        2047,
        2048,
        2049,
        3072,
        3073,
        4096,
        4097,
        8192,
        8193,
        31744,
    ]
    many = [file(f"text-{length}.md", repeat(length, text("x"))) for length in lengths]
    KINDS.update({title.removeprefix("file "): "card" for title, _ in many})
    yield case(
        "good_of_many_lengths",
        "accept",
        "Lengths around the borders of BLAKE3's blocks, chunks and trees: two implementations agree.",
        many,
        proof="whole",
    )
    yield of(
        "config_flipped",
        other,
        "One bit of the configuration.",
        file("config.json", text(content(ACT[0][1]).decode().replace("100", "101"))),
        subject="config.json",
    )
    yield of(
        "weights_flipped_first",
        other,
        "One bit of the first weight.",
        file("model.safetensors", flipped(MODEL[1], -16)),
        subject="model.safetensors#model.action_head.weight",
    )
    yield of(
        "weights_flipped_last",
        other,
        "One bit of the last weight.",
        file("model.safetensors", flipped(MODEL[1], -1)),
        subject="model.safetensors#model.action_head.weight",
    )
    yield of(
        "header_flipped",
        other,
        "Another name for a tensor.",
        file("model.safetensors", flipped(MODEL[1], 12)),
        subject="model.safetensors",
    )
    yield of(
        "length_flipped",
        other,
        "Another length of the header.",
        file("model.safetensors", flipped(MODEL[1], 0)),
        subject="model.safetensors",
    )
    yield of(
        "statistics_flipped", other, "One bit of what scales the motors.", file(POST_STATE, flipped(ACT[5][1], -1))
    )
    yield of(
        "statistics_swapped",
        other,
        "Genuine statistics of another release: mix and match.",
        state(POST_STATE, {"action.mean": (0.25, -0.5)}),
    )
    yield of(
        "weights_of_another_release",
        other,
        "Genuine weights of another release: mix and match.",
        file(
            "model.safetensors", tensors.tensors(("model.action_head.weight", "F32", [2, 2], tensors.f32(1, 2, 3, 4)))
        ),
    )
    yield of(
        "config_longer", size, "One space more.", file("config.json", ACT[0][1] + text(" ")), subject="config.json"
    )
    yield of("config_shorter", size, "Cut.", file("config.json", ACT[0][1][:-1]))
    yield of("config_empty", size, "Emptied: a loader falls back on its defaults.", file("config.json", []))
    yield of(
        "weights_longer", size, "An archive behind the weights.", file("model.safetensors", MODEL[1] + raw(archive()))
    )
    yield of("weights_cut", size, "Cut by half.", file("model.safetensors", raw(content(MODEL[1])[:-8])))
    yield of("weights_pickle", size, "A pickle in place of the weights.", file("model.safetensors", raw(PICKLE)))
    yield case(
        "processors_exchanged",
        size,
        "What belongs behind the network, before it.",
        WHOLE,
        replaced(WHOLE, (f"file {PRE}.json", postprocessor()[1]), (f"file {POST}.json", preprocessor()[1])),
    )


def sets():
    unexpected, missing = "file-unexpected", "file-missing"

    def of(name, expect, comment, disk, **head):
        return case(name, expect, comment, WHOLE, disk, **head)

    yield of("card_missing", missing, "A part of it.", without(WHOLE, "README.md"), subject="README.md")
    yield of(
        "statistics_missing",
        missing,
        "Without its statistics: actions are not scaled.",
        without(WHOLE, POST_STATE),
        subject=POST_STATE,
    )
    yield of("everything_missing", missing, "Nothing at all.", [special("directory", ".")])
    for name, path, pieces in (
        ("config", "generation_config.json", text("{}")),
        ("weights", "model2.safetensors", MODEL[1]),
        ("module", "torch.py", text("import os\n")),
        ("dotfile", ".env", text("X=1\n")),
        ("empty_dotfile", ".hidden", []),
        ("gitattributes", ".gitattributes", text("* filter=x\n")),
        ("gitignore", ".gitignore", text("*\n")),
        ("file_below", "a/b/c.json", text("{}")),
        ("second_manifest", "a/policy.dsse.json", text("{}")),
        ("signature", "model.sig", text("{}")),
        ("revocations", "revocations.dsse.json", text("{}")),
        ("pickle", "optimizer.pt", raw(PICKLE)),
    ):
        yield of(
            f"extra_{name}",
            unexpected,
            "A file that nobody signed, beside those that somebody did.",
            WHOLE + [file(path, pieces)],
            subject=path,
        )
    yield of(
        "extra_in_git",
        "file-name-unsafe",
        "Hooks that git runs.",
        WHOLE + [file(".git/hooks/post-merge", text("#!/bin/sh\n"))],
    )
    yield of("extra_fifo", "file-not-regular", "Opened, it waits for ever.", WHOLE + [special("fifo", "pipe.md")])
    yield of(
        "link_for_a_file",
        "file-not-regular",
        "The signed bytes, under a name that can turn to others.",
        [*without(WHOLE, "README.md"), link("README.md", "config.json")],
        also=missing,
    )
    yield of(
        "directory_for_a_file",
        missing,
        "A directory where a file was signed.",
        [*without(WHOLE, "README.md"), special("directory", "README.md")],
    )
    yield of(
        "fifo_for_a_file",
        "file-not-regular",
        "Opened, it waits for ever.",
        [*without(WHOLE, "config.json"), special("fifo", "config.json")],
        also=missing,
    )
    yield of(
        "renamed_by_case",
        unexpected,
        "The signed bytes under another name.",
        [*without(WHOLE, "README.md"), file("readme.md", CARD[1])],
        also=missing,
    )


def cases():
    for group in (tampered, sets):
        yield from group()
