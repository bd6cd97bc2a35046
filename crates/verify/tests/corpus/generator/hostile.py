"""What a holder of a trusted key signs, and what its signature does not excuse."""

import struct

from . import tensors
from .installed import KINDS, WHOLE, case, replaced
from .lerobot import config, document, normalizer, preprocessor, states, step
from .manifest import sha256, trust
from .notation import content, file, raw, text
from .policy import PICKLE
from .polyglot import CALL, GLOBAL, archive, u8, walkable


def lies():
    """A hostile holder of a trusted key: the list does not fit the bytes, or the bytes are hostile."""
    weights = lambda inner: next(entry for entry in inner["files"] if entry["path"] == "model.safetensors")

    def of(name, expect, comment, change, **head):
        return case(f"lie_{name}", expect, comment, WHOLE, change=change, **head)

    yield of(
        "about_sha256",
        "digest-mismatch",
        "The digest by which the Hub knows the file is another's.",
        lambda inner: weights(inner).update(sha256="0" * 64),
        proof="whole",
        subject="model.safetensors",
    )
    yield of(
        "about_blake3",
        "digest-mismatch",
        "The digest of the whole is another's.",
        lambda inner: weights(inner).update(blake3="0" * 64),
        proof="whole",
        subject="model.safetensors",
    )
    yield of(
        "about_tensor",
        "digest-mismatch",
        "The digest of a tensor is another's.",
        lambda inner: weights(inner)["tensors"][0].update(blake3="0" * 64),
        subject="model.safetensors#model.action_head.weight",
    )
    yield of(
        "about_header",
        "digest-mismatch",
        "The digest of the header is another's.",
        lambda inner: weights(inner).update(header_blake3="0" * 64),
        subject="model.safetensors",
    )
    yield of(
        "about_name",
        "manifest-malformed",
        "The table calls a tensor by another name than the header.",
        lambda inner: weights(inner)["tensors"][0].update(name="other"),
        subject="model.safetensors",
    )
    yield of(
        "about_shape",
        "manifest-malformed",
        "The table turns a matrix into a row.",
        lambda inner: weights(inner)["tensors"][0].update(shape=[4]),
        subject="model.safetensors",
    )
    yield of(
        "about_dtype",
        "manifest-malformed",
        "The table reads floats as integers.",
        lambda inner: weights(inner)["tensors"][0].update(dtype="I32"),
        subject="model.safetensors",
    )


def hostile():
    """Signed by a trusted key, and hostile all the same: a signature excuses nothing."""

    def of(name, expect, comment, *new, change=None, **head):
        return case(f"and_hostile_{name}", expect, comment, replaced(WHOLE, *new), change=change, **head)

    bad = lambda data: file("model.safetensors", data)
    yield of(
        "nan",
        "weights-non-finite",
        "One such weight makes every action meaningless.",
        bad(tensors.tensors(("w", "F32", [1], struct.pack("<I", 0x7FC00000)))),
        subject="model.safetensors#w",
    )
    yield of(
        "bool",
        "tensor-bool-invalid",
        "Undefined behaviour where it is loaded as it is.",
        bad(tensors.tensors(("w", "BOOL", [1], b"\2"))),
    )
    yield of("polyglot_pickle", "polyglot-pickle", "Also a pickle.", bad(walkable(GLOBAL + CALL)))
    yield of("polyglot_zip", "polyglot-zip", "Also an archive.", bad(u8(archive())))
    yield of(
        "pickle_as_card",
        "format-pickle",
        "A pickle under the name of a card.",
        file("README.md", raw(PICKLE)),
        subject="README.md",
    )
    yield of(
        "archive_as_card", "format-archive", "An archive under the name of a card.", file("README.md", raw(archive()))
    )
    yield of(
        "script_as_card",
        "format-executable",
        "A script under the name of a card.",
        file("README.md", text("#!/bin/sh\nid\n")),
    )
    yield of(
        "binary_as_card",
        "format-unknown",
        "Neither text nor anything else that is known.",
        file("README.md", raw(bytes(9))),
    )
    yield of(
        "json_key_twice",
        "json-duplicate-key",
        "Readers disagree about what it says.",
        file("config.json", text('{"type": "act", "type": "smolvla"}')),
    )
    yield of(
        "json_cut",
        "json-malformed",
        "Lenient readers make something of it.",
        file("config.json", text('{"type": "act"')),
    )
    yield of(
        "auto_map",
        "config-names-code",
        "Imports a module.",
        config(auto_map={"AutoModel": "x.Y"}),
        subject="config.json#/auto_map",
    )
    yield of(
        "remote_code",
        "remote-code-requested",
        "The loader runs what another repository brings.",
        config(trust_remote_code=True),
    )
    yield of(
        "step_class",
        "config-names-code",
        "Any callable of any module.",
        preprocessor({"class": "os.system", "config": {}}, normalizer()),
        also="processor-unknown",
    )
    yield of(
        "step_unknown", "processor-unknown", "A step of another package.", preprocessor(step("acme_step"), normalizer())
    )
    yield of(
        "state_elsewhere",
        "processor-state-unsafe",
        "Statistics from elsewhere.",
        preprocessor(normalizer(state="../state.safetensors")),
        also="normalizer-degenerate",
    )
    yield of(
        "statistics_negative", "normalizer-degenerate", "The action's sign turns.", *states({"action.std": (1.0, -2.0)})
    )
    yield of(
        "external",
        "external-unpinned",
        "A second model that nobody signed.",
        config(pretrained_backbone_weights="ResNet18_Weights.IMAGENET1K_V1"),
    )
    script = file("modeling.py", text("import os\n"))
    review = lambda digest: (
        lambda inner: inner.update(
            reviewed_code=[{"path": "modeling.py", "sha256": digest, "reviewer": "Eve", "note": "fine"}]
        )
    )
    good = review(sha256(content(script[1])))
    allow = trust(more='\n[content]\nreviewed_code = "allow"\n')
    yield of("code", "code-unreviewed", "Code that nobody reviewed.", script, trust_file=allow)
    yield of(
        "code_changed",
        "code-changed",
        "Code that differs from what was reviewed.",
        script,
        change=review("0" * 64),
        trust_file=allow,
    )
    yield of(
        "code_not_allowed", "code-unreviewed", "Reviewed; this robot's operator lets no code pass.", script, change=good
    )
    yield of(
        "code_allowed", "accept", "Reviewed, and the operator lets it pass.", script, change=good, trust_file=allow
    )
    yield of(
        "nan_waived",
        "accept",
        "The operator lets it pass, and is told.",
        bad(tensors.tensors(("w", "F32", [1], struct.pack("<I", 0x7FC00000)))),
        trust_file=trust(more='\n[content]\nnon_finite = "warn"\n'),
        notice="weights-non-finite",
    )
    yield of(
        "kind",
        "file-kind-forbidden",
        "A kind that this robot's operator does not let pass.",
        trust_file=trust(more='\n[content]\nkinds = ["weights", "config", "processor", "processor-state"]\n'),
        subject="README.md",
    )
    yield of(
        "dtype",
        "tensor-dtype-forbidden",
        "A type that this robot's kernels do not have.",
        bad(tensors.tensors(("w", "F64", [1], bytes(8)))),
        trust_file=trust(more='\n[content]\ndtypes = ["F32"]\n'),
    )
    index = file(
        "model.safetensors.index.json",
        document({"metadata": {"total_size": 16}, "weight_map": {"absent": "model.safetensors"}}),
    )
    KINDS["model.safetensors.index.json"] = "weights-index"
    yield of("index", "weights-index-invalid", "An index of other tensors.", index)


def cases():
    yield from lies()
    yield from hostile()
