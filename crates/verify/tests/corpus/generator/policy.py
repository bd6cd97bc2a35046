"""Attacks on a directory: which files lie there, and under which names."""

from . import tensors
from .lerobot import ACT, directory
from .notation import Case, content, file, link, raw, special, text

PICKLE = b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x08builtins\x94\x8c\x05print\x94\x93\x94."
LOST_STATE = "normalizer-degenerate processor-state-unsafe"
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\0."


def case(name, expect, comment, *parts, **head):
    """A directory of exactly these parts."""
    return Case(
        name,
        expect,
        comment,
        head={key.replace("_", "-"): value for key, value in head.items()},
        parts=directory(*parts),
    )


def beside(name, expect, comment, *parts, **head):
    """A good policy and these parts, which take the place of those of the same name."""
    new = {title.split(" ", 1)[1].split(" -> ")[0] for title, _ in parts}
    return case(name, expect, comment, *[part for part in ACT if part[0].split(" ", 1)[1] not in new], *parts, **head)


CARD = file("README.md", text("# Walk\n"))
WEIGHTS = file("model.safetensors", tensors.tensors(("w", "F32", [2], tensors.f32(0.5, -1.0))))


def good():
    yield case(
        "good_act",
        "accept",
        "A policy as it is published.",
        *ACT,
        CARD,
        file(".gitattributes", text("*.safetensors filter=lfs\n")),
    )
    yield case("good_bare", "accept", "Weights and a card.", WEIGHTS, CARD)
    yield case(
        "good_card_of_utf8",
        "accept",
        "People write in their own script.",
        WEIGHTS,
        file("README.md", text("# Laufen f\u00fcr \u30ed\u30dc\u30c3\u30c8\n")),
    )
    yield case(
        "good_empty_text", "accept", "An empty licence says nothing, and does nothing.", WEIGHTS, file("LICENSE", [])
    )
    yield case(
        "good_vocabulary_like_a_pickle",
        "accept",
        "Words that read like opcodes, and the end of a line, which is none.",
        WEIGHTS,
        file("merges.txt", text("cat\ndog\neel\n.\n")),
    )
    yield case(
        "good_file_that_looks_like_a_manifest",
        "accept",
        "The manifest's name is no part of the policy.",
        WEIGHTS,
        file("policy.dsse.json", text("{}")),
    )


def entries():
    irregular, unsafe = "file-not-regular", "file-name-unsafe"
    yield case(
        "nothing",
        "file-missing",
        "An empty directory: a loader may go on with random weights.",
        special("directory", "."),
    )
    yield case("nothing_but_a_manifest", "file-missing", "A manifest of nothing.", file("policy.dsse.json", text("{}")))
    yield beside(
        "link_to_a_secret",
        irregular,
        "The robot's own secret is published as a file of the policy.",
        link("README.md", "/etc/shadow"),
        subject="README.md",
    )
    yield beside(
        "link_within",
        irregular,
        "Checked under one name, exchanged under another.",
        file("tokenizer.json", text("{}")),
        link("vocab.json", "tokenizer.json"),
        subject="vocab.json",
    )
    yield beside("link_to_nothing", irregular, "Filled after the check.", link("README.md", "later"))
    yield beside("link_to_itself", irregular, "Followed for ever.", link("README.md", "README.md"))
    yield beside(
        "link_to_a_directory", irregular, "Files from elsewhere under listed names.", link("tokenizer", "/etc")
    )
    yield beside(
        "link_in_place_of_weights",
        irregular,
        "The bytes are whatever the link means at the moment.",
        link("model.safetensors", "../model.safetensors"),
    )
    yield beside("fifo", irregular, "Opened, it waits for ever.", special("fifo", "README.md"), subject="README.md")
    yield beside("socket", irregular, "No file.", special("socket", "README.md"))
    yield beside(
        "git_directory",
        unsafe,
        "Hooks and configuration that git runs.",
        file(".git/config", text("[core]\n\tfsmonitor = touch /tmp/x\n")),
        subject=".git",
    )
    yield beside(
        "git_directory_of_another_case",
        unsafe,
        "The same where names have no case.",
        file(".GIT/hooks/post-checkout", text("#!/bin/sh\n")),
    )
    yield beside("git_directory_below", unsafe, "The same in a directory below.", file("assets/.git/config", text("")))
    for what, name, gain in (
        ("newline", b"a\nb.md", "A forged line in the log."),
        ("escape", b"\x1b[2J.md", "Clears the operator's screen."),
        ("not_utf8", b"\xff.md", "Shown and compared differently by everybody."),
        ("not_ascii", "c\u00e4rd.md".encode(), "Two spellings on two file systems."),
        ("turned", "\u202edm.exe".encode(), "Reads as another kind of file."),
        ("backslash", b"..\\..\\x.md", "A path on other systems."),
        ("colon", b"card.md:hidden", "A second stream of a file on other systems."),
        ("trailing_dot", b"README.md.", "The same file on other systems."),
        ("trailing_space", b"README.md ", "The same file on other systems."),
        ("leading_dash", b"-rf.md", "An option to whatever is called with `*`."),
        ("tilde", b"~root.md", "Somebody's home."),
        ("star", b"*.md", "Means all of them."),
        ("place", b"config.json#.md", "Names a place inside config.json, about which something else was decided."),
        ("quote", b'a".md', "Ends a string in whatever is built by pasting."),
        ("device", b"nul.md", "A device on other systems."),
        ("device_with_number", b"COM1.md", "A device on other systems."),
    ):
        yield Case(
            f"name_{what}",
            unsafe,
            gain,
            parts=directory(WEIGHTS, file(name.decode("utf-8", "surrogateescape"), text("x\n"))),
        )
    yield beside("deep", unsafe, "Directories without end.", special("directory", "/".join("d" * 20)))
    yield beside(
        "case_twins",
        "file-name-collision",
        "One file where names have no case, and which?",
        CARD,
        file("readme.md", text("# Other\n")),
    )
    yield beside(
        "case_twins_of_weights",
        "file-name-collision",
        "The signed weights, or the others.",
        file("Model.safetensors", WEIGHTS[1]),
        also="file-kind-forbidden",
    )
    yield beside(
        "case_twins_of_directories",
        "file-name-collision",
        "Two directories that are one elsewhere.",
        file("assets/a.md", text("x\n")),
        file("Assets/A.md", text("y\n")),
    )


def kinds():
    forbidden = "file-kind-forbidden"
    unknown, program = "format-unknown", "format-executable"
    for name, expect, gain in (
        (".hidden", forbidden, "Out of sight."),
        (".gitignore", forbidden, "Hides files from those who look with git."),
        (".env", forbidden, "Settings for whatever runs here."),
        ("__init__.pyc", program, "Compiled code without its source."),
        ("setup.cfg", forbidden, "Settings that tools run."),
        ("requirements.txt", forbidden, "Names what is installed."),
        ("config.yaml", unknown, "A second configuration that another loader prefers."),
        ("notebook.ipynb", program, "Code in cells."),
        ("model.safetensors.bak", forbidden, "A second file of weights."),
        ("model2.safetensors", forbidden, "A second file of weights."),
        ("Makefile", forbidden, "Commands."),
        ("template.jinja", program, "A program of a template language."),
        ("page.html", forbidden, "Opened in a browser."),
        ("model.ckpt", "format-pickle", "Weights of a format that runs code."),
        ("policy.onnx", unknown, "Weights that other files hide behind."),
        ("model_index.json", forbidden, "Names classes of libraries."),
        ("training_state.json", forbidden, "Of training, not of the robot."),
        ("desktop.ini", forbidden, "Settings for a file manager."),
        ("no_extension", forbidden, "Nothing says what it is."),
    ):
        yield beside(
            f"kind_of_{name.strip('._').replace('.', '_').lower()}", expect, gain, file(name, text("x\n")), subject=name
        )
    for name in ("optimizer_state.safetensors", "rng_state.safetensors"):
        yield beside(
            f"kind_of_{name.split('.')[0]}",
            forbidden,
            "State of training: tensors that no robot needs.",
            file(name, WEIGHTS[1]),
        )
    yield beside(
        "kind_not_wanted",
        forbidden,
        "The operator lets fewer kinds pass.",
        CARD,
        content='kinds = ["weights", "config", "processor", "processor-state"]',
        subject="README.md",
    )


def weights():
    header = WEIGHTS[1]
    yield beside(
        "weights_empty",
        "header-too-short",
        "Nothing in place of weights.",
        file("model.safetensors", []),
        subject="model.safetensors",
    )
    yield beside(
        "weights_cut",
        "tensor-offsets-invalid",
        "A download that was cut.",
        file("model.safetensors", header[:-1] + raw(content(header[-1:])[:4])),
    )
    yield beside(
        "weights_with_old_statistics",
        "normalizer-degenerate",
        "Statistics inside the weights, where nobody judges them.",
        file(
            "model.safetensors",
            tensors.tensors(
                ("normalize_inputs.buffer_observation_state.mean", "F32", [2], tensors.f32(0, 0)),
                ("w", "F32", [1], tensors.f32(1)),
            ),
        ),
    )
    yield beside(
        "state_header_broken",
        "header-malformed",
        "The same strict rules for statistics.",
        file("policy_preprocessor_step_3_normalizer_processor.safetensors", tensors.file("[]")),
        also=LOST_STATE,
    )
    yield beside(
        "state_without_tensors",
        "tensor-empty",
        "Statistics of nothing: values pass unscaled.",
        file("policy_preprocessor_step_3_normalizer_processor.safetensors", tensors.file("{}")),
        also=LOST_STATE,
    )


def cases():
    for group in (good, entries, kinds, weights):
        yield from group()
