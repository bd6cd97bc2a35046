"""A policy as LeRobot publishes it: ACT with two joints, its processors and their statistics."""

import json

from . import tensors
from .notation import file, text

FEATURES = {"observation.state": {"type": "STATE", "shape": [2]}, "action": {"type": "ACTION", "shape": [2]}}
MODES = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
CONFIG = {
    "type": "act",
    "n_obs_steps": 1,
    "input_features": {"observation.state": FEATURES["observation.state"]},
    "output_features": {"action": FEATURES["action"]},
    "device": "cuda",
    "use_amp": False,
    "use_peft": False,
    "push_to_hub": False,
    "normalization_mapping": MODES,
    "chunk_size": 100,
    "vision_backbone": "resnet18",
    "pretrained_backbone_weights": None,
}
PRE, POST = "policy_preprocessor", "policy_postprocessor"
PRE_STATE = f"{PRE}_step_3_normalizer_processor.safetensors"
POST_STATE = f"{POST}_step_0_unnormalizer_processor.safetensors"


def document(fields):
    """JSON with a line for each field, and for each step."""

    def shown(value):
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
        return json.dumps(value)

    rows = ",\n".join(f"  {json.dumps(key)}: {shown(value)}" for key, value in fields.items())
    return text("{\n" + rows + "\n}\n")


def config(**changes):
    return file("config.json", document(CONFIG | changes))


def normalizer(name="normalizer_processor", state=PRE_STATE, config=None, **fields):
    settings = {"eps": 1e-08, "features": FEATURES, "norm_map": MODES} | (config or {})
    step = {"registry_name": name, "config": settings, "state_file": state} | fields
    return {key: value for key, value in step.items() if value is not None}


def step(name, config=None, **fields):
    return {"registry_name": name, "config": config or {}} | fields


HEAD = [
    step("rename_observations_processor", {"rename_map": {}}),
    step("to_batch_processor"),
    step("device_processor", {"device": "cuda", "float_dtype": None}),
]
TAIL = [step("device_processor", {"device": "cpu", "float_dtype": None})]


def preprocessor(*steps, **fields):
    return file(f"{PRE}.json", document({"name": PRE, "steps": HEAD + list(steps or [normalizer()])} | fields))


def postprocessor(*steps, **fields):
    steps = list(steps) or [normalizer("unnormalizer_processor", POST_STATE)]
    return file(f"{POST}.json", document({"name": POST, "steps": steps + TAIL} | fields))


STATISTICS = {
    "action.mean": (0.5, -0.5),
    "action.std": (1.0, 2.0),
    "action.min": (-1.0, -3.0),
    "action.max": (1.0, 3.0),
    "observation.state.mean": (0.0, 0.25),
    "observation.state.std": (1.0, 0.5),
    "observation.state.min": (-2.0, -1.0),
    "observation.state.max": (2.0, 1.0),
}


def state(path, changes=None, without=()):
    """Statistics by name; a change is a tuple of values, or (dtype, shape, bytes)."""
    rows = {
        name: ("F32", [len(values)], tensors.f32(*values))
        for name, values in (STATISTICS | (changes or {})).items()
        if name not in without and not isinstance(values[0], str)
    }
    rows |= {name: values for name, values in (changes or {}).items() if isinstance(values[0], str)}
    return file(path, tensors.tensors(*[(name, *row) for name, row in rows.items()]))


def states(changes=None, without=()):
    """Both files, of one set of statistics as they are saved."""
    return [state(PRE_STATE, changes, without), state(POST_STATE, changes, without)]


MODEL = file(
    "model.safetensors", tensors.tensors(("model.action_head.weight", "F32", [2, 2], tensors.f32(0.5, -1.0, 0.25, 2.0)))
)
ACT = [config(), MODEL, preprocessor(), postprocessor(), *states()]


def directory(*parts):
    """The parts as files of the directory `policy`."""
    placed = []
    for title, pieces in parts:
        kind, path = title.split(" ", 1)
        # What the signer declares lies beside the directory.
        beside = path.removeprefix("../")
        placed.append((f"{kind} {beside if beside != path else f'policy/{path}'}", pieces))
    return placed
