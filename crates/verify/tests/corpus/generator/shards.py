"""Attacks by files that are judged together: shards and their index, code and its review, data sets."""

import json

from . import tensors
from .content import INDEX
from .lerobot import document
from .manifest import sha256
from .notation import content, file, text
from .policy import CARD, WEIGHTS, beside, case


def shards():
    one = file("model-00001-of-00002.safetensors", tensors.tensors(("a", "F32", [2], tensors.f32(0.5, -1.0))))
    two = file("model-00002-of-00002.safetensors", tensors.tensors(("b", "F32", [1], tensors.f32(0.25))))
    good = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}

    def of(name, expect, comment, weight_map=good, size=12, parts=(one, two), **fields):
        index = file(
            "model.safetensors.index.json",
            document({"metadata": {"total_size": size}, "weight_map": weight_map} | fields),
        )
        return case(f"shards_{name}", expect, comment, CARD, index, *parts)

    yield of("good", "accept", "Two shards and their index.")
    yield of("one_missing", INDEX, "Half of the weights; the other half stays random.", parts=[one])
    yield of(
        "one_not_listed",
        INDEX,
        "A shard that one loader reads and another does not.",
        weight_map={"a": good["a"]},
        size=8,
    )
    yield of(
        "tensor_elsewhere",
        INDEX,
        "The index sends the reader to the wrong shard.",
        weight_map={"a": good["b"], "b": good["a"]},
    )
    yield of(
        "tensor_twice",
        INDEX,
        "One controller takes the first, another the last.",
        parts=[
            one,
            file(
                "model-00002-of-00002.safetensors",
                tensors.tensors(("b", "F32", [1], tensors.f32(0.25)), ("a", "F32", [2], tensors.f32(9, 9))),
            ),
        ],
        size=20,
    )
    yield of("tensor_missing", INDEX, "A tensor that is in no shard stays random.", weight_map=good | {"c": good["a"]})
    for what, path in (
        ("climbing", "../model.safetensors"),
        ("absolute", "/tmp/model.safetensors"),
        ("card", "README.md"),
    ):
        yield of(f"path_{what}", INDEX, "Weights from elsewhere.", weight_map=good | {"a": path})
    yield of("size_wrong", INDEX, "A reader allocates what the index says.", size=1 << 40)
    yield of("map_of_numbers", INDEX, "No file names.", weight_map={"a": 1, "b": 2})
    yield of("map_is_list", INDEX, "No map.", weight_map=["a"])
    yield of("unknown_field", INDEX, "A field of a later version.", base="acme/other")
    yield case("shards_without_index", INDEX, "Nothing says which tensors there are.", CARD, one, two)
    yield of(
        "beside_whole_file",
        INDEX,
        "Two sets of weights: which loader takes which?",
        parts=[one, two, file("model.safetensors", tensors.tensors(("c", "F32", [1], tensors.f32(1.0))))],
    )


def code():
    source = text("import torch\n")
    review = lambda pieces, path="modeling.py": (
        "file ../reviewed_code.json",
        text(
            json.dumps(
                [{"path": path, "sha256": sha256(content(pieces)), "reviewer": "Ada", "note": "reads tensors only"}]
            )
        ),
    )
    allow = {"content": 'reviewed_code = "allow"'}
    script = file("modeling.py", source)
    yield beside("code", "code-unreviewed", "A module that the loader imports.", script, subject="modeling.py")
    yield beside(
        "code_reviewed_but_not_allowed",
        "code-unreviewed",
        "Reviewed, and this robot's operator lets no code pass.",
        script,
        review(source),
        subject="modeling.py",
    )
    yield beside(
        "code_reviewed",
        "accept",
        "Reviewed byte for byte, and the operator lets it pass.",
        script,
        review(source),
        **allow,
    )
    yield beside(
        "code_not_reviewed_but_allowed",
        "code-unreviewed",
        "The operator lets reviewed code pass; this is none.",
        script,
        **allow,
    )
    yield beside(
        "code_changed",
        "code-changed",
        "One line more than the reviewer saw.",
        file("modeling.py", source + text("import os\n")),
        review(source),
        subject="modeling.py",
        **allow,
    )
    yield beside(
        "code_of_another_name",
        "code-unreviewed",
        "The reviewed bytes in a place where they are imported.",
        file("torch.py", source),
        review(source),
        also="file-missing",
        **allow,
    )
    yield beside(
        "code_in_a_directory",
        "code-unreviewed",
        "A package.",
        file("lerobot/__init__.py", source),
        subject="lerobot/__init__.py",
    )
    yield beside(
        "code_reviewed_and_missing",
        "file-missing",
        "What was reviewed is not there; it is found on the path instead.",
        review(source),
        **allow,
    )


def data_sets():
    info = file("meta/info.json", document({"codebase_version": "v3.0", "fps": 30}))
    table = file("data/chunk-000/file-000.parquet", text("PAR1xxxxPAR1"))
    dataset = {"repo_type": "dataset"}
    yield case("dataset", "accept", "Episodes, and what they say of themselves.", info, table, CARD, **dataset)
    yield case(
        "dataset_with_weights", "file-kind-forbidden", "Weights where data is expected.", info, WEIGHTS, **dataset
    )
    yield case(
        "dataset_table_of_pickle",
        "format-unknown",
        "A pickle under the name of a table.",
        file("data/a.parquet", text("cos\nsystem\n")),
        **dataset,
    )
    yield case(
        "dataset_table_cut",
        "format-unknown",
        "The directory of a table is at its end.",
        file("data/a.parquet", text("PAR1xxxxxxxx")),
        **dataset,
    )
    yield case(
        "dataset_video_of_another_form",
        "format-unknown",
        "A playlist that names other files.",
        file("videos/a.mp4", text("#EXTM3U\nfile:///etc/passwd\n")),
        **dataset,
    )
    yield case(
        "dataset_script",
        "format-executable",
        "A loading script that is run.",
        info,
        file("walk.py", text("import os\n")),
        **dataset,
    )


def cases():
    for group in (shards, code, data_sets):
        yield from group()
