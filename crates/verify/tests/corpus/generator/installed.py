"""A signed policy on the robot's disk: what may happen to it there, and what a signature does not excuse."""

import struct

from . import tensors
from .header import DATA, ONE
from .lerobot import (ACT, MODEL, POST, POST_STATE, PRE, PRE_STATE, config, directory, document, normalizer, postprocessor, preprocessor, state,
                      states, step)
from .manifest import FILES, manifest_file, predicate, sha256, signed, statement, trust
from .notation import Case, Piece, content, file, link, raw, repeat, special, text
from .policy import PICKLE, archive
from .polyglot import CALL, GLOBAL, u8, walkable
from .trust import revoked, signature
from .blake3 import blake3

CARD = file("README.md", text("# Walk\n"))
KINDS = {"config.json": "config", "README.md": "card", "LICENSE": "card", f"{PRE}.json": "processor", f"{POST}.json": "processor", "modeling.py": "reviewed-code", ".gitattributes": "repository",
         "tokenizer.json": "tokenizer", "merges.txt": "tokenizer"}


def kind(path):
    if path in KINDS:
        return KINDS[path]
    return "processor-state" if "processor_step_" in path else "weights"


def manifest(parts, **changes):
    return predicate([(title.removeprefix("file "), pieces, kind(title.removeprefix("file "))) for title, pieces in parts], **changes)


def case(name, expect, comment, signed_parts, disk=None, change=None, trust_file=None, **head):
    """`signed_parts` are signed, `disk` is what lies there; `change` edits the predicate."""
    inner = manifest(signed_parts)
    if change:
        change(inner)
    parts = [trust_file or trust(), manifest_file(signed(statement(inner)))]
    return Case(f"signed_{name}", expect, comment, head=head, parts=parts + directory(*(signed_parts if disk is None else disk)))


def replaced(parts, *new):
    names = [title for title, _ in new]
    return [part for part in parts if part[0] not in names] + list(new)


def without(parts, path):
    return [part for part in parts if part[0] != f"file {path}"]


WHOLE = [*ACT, CARD]


def flipped(pieces, at):
    data = content(pieces)
    at %= len(data)
    return raw(data[:at] + bytes([data[at] ^ 1]) + data[at + 1:])


def tampered():
    other, size = "digest-mismatch", "size-mismatch"
    def of(name, expect, comment, *new, **head):
        return case(name, expect, comment, WHOLE, replaced(WHOLE, *new), **head)
    yield case("good", "accept", "As it was signed.", WHOLE)
    yield case("good_with_its_manifest", "accept", "The manifest lies beside the files.", WHOLE, WHOLE + [file("policy.dsse.json", text("{}"))])
    lengths = [0, 1, 2, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 3073, 4096, 4097, 8192, 8193, 31744]
    many = [file(f"text-{length}.md", repeat(length, text("x"))) for length in lengths]
    KINDS.update({title.removeprefix("file "): "card" for title, _ in many})
    yield case("good_of_many_lengths", "accept", "Lengths around the borders of BLAKE3's blocks, chunks and trees: two implementations agree.", many, proof="whole")
    yield of("config_flipped", other, "One bit of the configuration.", file("config.json", text(content(ACT[0][1]).decode().replace("100", "101"))), subject="config.json")
    yield of("weights_flipped_first", other, "One bit of the first weight.", file("model.safetensors", flipped(MODEL[1], -16)), subject="model.safetensors#model.action_head.weight")
    yield of("weights_flipped_last", other, "One bit of the last weight.", file("model.safetensors", flipped(MODEL[1], -1)), subject="model.safetensors#model.action_head.weight")
    yield of("header_flipped", other, "Another name for a tensor.", file("model.safetensors", flipped(MODEL[1], 12)), subject="model.safetensors")
    yield of("length_flipped", other, "Another length of the header.", file("model.safetensors", flipped(MODEL[1], 0)), subject="model.safetensors")
    yield of("statistics_flipped", other, "One bit of what scales the motors.", file(POST_STATE, flipped(ACT[5][1], -1)))
    yield of("statistics_swapped", other, "Genuine statistics of another release: mix and match.", state(POST_STATE, {"action.mean": (0.25, -0.5)}))
    yield of("weights_of_another_release", other, "Genuine weights of another release: mix and match.", file("model.safetensors", tensors.tensors(("model.action_head.weight", "F32", [2, 2], tensors.f32(1, 2, 3, 4)))))
    yield of("config_longer", size, "One space more.", file("config.json", ACT[0][1] + text(" ")), subject="config.json")
    yield of("config_shorter", size, "Cut.", file("config.json", ACT[0][1][:-1]))
    yield of("config_empty", size, "Emptied: a loader falls back on its defaults.", file("config.json", []))
    yield of("weights_longer", size, "An archive behind the weights.", file("model.safetensors", MODEL[1] + raw(archive())))
    yield of("weights_cut", size, "Cut by half.", file("model.safetensors", raw(content(MODEL[1])[:-8])))
    yield of("weights_pickle", size, "A pickle in place of the weights.", file("model.safetensors", raw(PICKLE)))
    yield case("processors_exchanged", size, "What belongs behind the network, before it.", WHOLE, replaced(WHOLE, (f"file {PRE}.json", postprocessor()[1]), (f"file {POST}.json", preprocessor()[1])))


def sets():
    unexpected, missing = "file-unexpected", "file-missing"
    def of(name, expect, comment, disk, **head):
        return case(name, expect, comment, WHOLE, disk, **head)
    yield of("card_missing", missing, "A part of it.", without(WHOLE, "README.md"), subject="README.md")
    yield of("statistics_missing", missing, "Without its statistics: actions are not scaled.", without(WHOLE, POST_STATE), subject=POST_STATE)
    yield of("everything_missing", missing, "Nothing at all.", [special("directory", ".")])
    for name, path, pieces in (("config", "generation_config.json", text("{}")), ("weights", "model2.safetensors", MODEL[1]), ("module", "torch.py", text("import os\n")), ("dotfile", ".env", text("X=1\n")),
                               ("empty_dotfile", ".hidden", []), ("gitattributes", ".gitattributes", text("* filter=x\n")), ("gitignore", ".gitignore", text("*\n")), ("file_below", "a/b/c.json", text("{}")),
                               ("second_manifest", "a/policy.dsse.json", text("{}")), ("signature", "model.sig", text("{}")), ("revocations", "revocations.dsse.json", text("{}")), ("pickle", "optimizer.pt", raw(PICKLE))):
        yield of(f"extra_{name}", unexpected, "A file that nobody signed, beside those that somebody did.", WHOLE + [file(path, pieces)], subject=path)
    yield of("extra_in_git", "file-name-unsafe", "Hooks that git runs.", WHOLE + [file(".git/hooks/post-merge", text("#!/bin/sh\n"))])
    yield of("extra_fifo", "file-not-regular", "Opened, it waits for ever.", WHOLE + [special("fifo", "pipe.md")])
    yield of("link_for_a_file", "file-not-regular", "The signed bytes, under a name that can turn to others.", [*without(WHOLE, "README.md"), link("README.md", "config.json")], also=missing)
    yield of("directory_for_a_file", missing, "A directory where a file was signed.", [*without(WHOLE, "README.md"), special("directory", "README.md")])
    yield of("fifo_for_a_file", "file-not-regular", "Opened, it waits for ever.", [*without(WHOLE, "config.json"), special("fifo", "config.json")], also=missing)
    yield of("renamed_by_case", unexpected, "The signed bytes under another name.", [*without(WHOLE, "README.md"), file("readme.md", CARD[1])], also=missing)


def lies():
    """A hostile holder of a trusted key: the list does not fit the bytes, or the bytes are hostile."""
    weights = lambda inner: next(entry for entry in inner["files"] if entry["path"] == "model.safetensors")
    def of(name, expect, comment, change, **head):
        return case(f"lie_{name}", expect, comment, WHOLE, change=change, **head)
    yield of("about_sha256", "digest-mismatch", "The digest by which the Hub knows the file is another's.", lambda inner: weights(inner).update(sha256="0" * 64), proof="whole", subject="model.safetensors")
    yield of("about_blake3", "digest-mismatch", "The digest of the whole is another's.", lambda inner: weights(inner).update(blake3="0" * 64), proof="whole", subject="model.safetensors")
    yield of("about_tensor", "digest-mismatch", "The digest of a tensor is another's.", lambda inner: weights(inner)["tensors"][0].update(blake3="0" * 64), subject="model.safetensors#model.action_head.weight")
    yield of("about_header", "digest-mismatch", "The digest of the header is another's.", lambda inner: weights(inner).update(header_blake3="0" * 64), subject="model.safetensors")
    yield of("about_name", "manifest-malformed", "The table calls a tensor by another name than the header.", lambda inner: weights(inner)["tensors"][0].update(name="other"), subject="model.safetensors")
    yield of("about_shape", "manifest-malformed", "The table turns a matrix into a row.", lambda inner: weights(inner)["tensors"][0].update(shape=[4]), subject="model.safetensors")
    yield of("about_dtype", "manifest-malformed", "The table reads floats as integers.", lambda inner: weights(inner)["tensors"][0].update(dtype="I32"), subject="model.safetensors")


def hostile():
    """Signed by a trusted key, and hostile all the same: a signature excuses nothing."""
    def of(name, expect, comment, *new, change=None, **head):
        return case(f"and_hostile_{name}", expect, comment, replaced(WHOLE, *new), change=change, **head)
    bad = lambda data: file("model.safetensors", data)
    yield of("nan", "weights-non-finite", "One such weight makes every action meaningless.", bad(tensors.tensors(("w", "F32", [1], struct.pack("<I", 0x7FC00000)))), subject="model.safetensors#w")
    yield of("bool", "tensor-bool-invalid", "Undefined behaviour where it is loaded as it is.", bad(tensors.tensors(("w", "BOOL", [1], b"\2"))))
    yield of("polyglot_pickle", "polyglot-pickle", "Also a pickle.", bad(walkable(GLOBAL + CALL)))
    yield of("polyglot_zip", "polyglot-zip", "Also an archive.", bad(u8(archive())))
    yield of("pickle_as_card", "format-pickle", "A pickle under the name of a card.", file("README.md", raw(PICKLE)), subject="README.md")
    yield of("archive_as_card", "format-archive", "An archive under the name of a card.", file("README.md", raw(archive())))
    yield of("script_as_card", "format-executable", "A script under the name of a card.", file("README.md", text("#!/bin/sh\nid\n")))
    yield of("binary_as_card", "format-unknown", "Neither text nor anything else that is known.", file("README.md", raw(bytes(9))))
    yield of("json_key_twice", "json-duplicate-key", "Readers disagree about what it says.", file("config.json", text('{"type": "act", "type": "smolvla"}')))
    yield of("json_cut", "json-malformed", "Lenient readers make something of it.", file("config.json", text('{"type": "act"')))
    yield of("auto_map", "config-names-code", "Imports a module.", config(auto_map={"AutoModel": "x.Y"}), subject="config.json#/auto_map")
    yield of("remote_code", "remote-code-requested", "The loader runs what another repository brings.", config(trust_remote_code=True))
    yield of("step_class", "config-names-code", "Any callable of any module.", preprocessor({"class": "os.system", "config": {}}, normalizer()), also="processor-unknown")
    yield of("step_unknown", "processor-unknown", "A step of another package.", preprocessor(step("acme_step"), normalizer()))
    yield of("state_elsewhere", "processor-state-unsafe", "Statistics from elsewhere.", preprocessor(normalizer(state="../state.safetensors")), also="normalizer-degenerate")
    yield of("statistics_negative", "normalizer-degenerate", "The action's sign turns.", *states({"action.std": (1.0, -2.0)}))
    yield of("external", "external-unpinned", "A second model that nobody signed.", config(pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1"))
    script = file("modeling.py", text("import os\n"))
    review = lambda digest: lambda inner: inner.update(reviewed_code=[{"path": "modeling.py", "sha256": digest, "reviewer": "Eve", "note": "fine"}])
    good = review(sha256(content(script[1])))
    allow = trust(more='\n[content]\nreviewed_code = "allow"\n')
    yield of("code", "code-unreviewed", "Code that nobody reviewed.", script, trust_file=allow)
    yield of("code_changed", "code-changed", "Code that differs from what was reviewed.", script, change=review("0" * 64), trust_file=allow)
    yield of("code_not_allowed", "code-unreviewed", "Reviewed; this robot's operator lets no code pass.", script, change=good)
    yield of("code_allowed", "accept", "Reviewed, and the operator lets it pass.", script, change=good, trust_file=allow)
    yield of("nan_waived", "accept", "The operator lets it pass, and is told.", bad(tensors.tensors(("w", "F32", [1], struct.pack("<I", 0x7FC00000)))), trust_file=trust(more='\n[content]\nnon_finite = "warn"\n'), notice="weights-non-finite")
    yield of("kind", "file-kind-forbidden", "A kind that this robot's operator does not let pass.", trust_file=trust(more='\n[content]\nkinds = ["weights", "config", "processor", "processor-state"]\n'), subject="README.md")
    yield of("dtype", "tensor-dtype-forbidden", "A type that this robot's kernels do not have.", bad(tensors.tensors(("w", "F64", [1], bytes(8)))), trust_file=trust(more='\n[content]\ndtypes = ["F32"]\n'))
    index = file("model.safetensors.index.json", document({"metadata": {"total_size": 16}, "weight_map": {"absent": "model.safetensors"}}))
    KINDS["model.safetensors.index.json"] = "weights-index"
    yield of("index", "weights-index-invalid", "An index of other tensors.", index)


def cases():
    for group in (tampered, sets, lies, hostile):
        yield from group()
