#!/usr/bin/env python3
"""Makes the policies that the pages speak of.

    policies.py go2-walk|act|act-still OUT_DIR

`go2-walk` is the Unitree Go2's walking policy (examples/convert_go2.py). `act` has the files of an
ACT policy as LeRobot saves one, with small weights: an arm of six joints and a camera. In the data
of `act-still` the gripper never moved.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
MODES = {"VISUAL": "MEAN_STD", "STATE": "MEAN_STD", "ACTION": "MEAN_STD"}
STATE = {"observation.state": {"type": "STATE", "shape": [6]}}
IMAGE = {"observation.images.top": {"type": "VISUAL", "shape": [3, 480, 640]}}
ACTION = {"action": {"type": "ACTION", "shape": [6]}}
NORMALIZER = "policy_preprocessor_step_3_normalizer_processor.safetensors"
UNNORMALIZER = "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
CARD = """---
license: apache-2.0
datasets:
- acme/pick_place
library_name: lerobot
tags:
- robotics
- act
---
# Pick and place

An ACT policy for an arm of six joints and one camera.
"""


def main() -> None:
    name, out = sys.argv[1], Path(sys.argv[2])
    if name == "go2-walk":
        subprocess.run([sys.executable, ROOT / "examples/convert_go2.py", out], check=True)
    elif name in ("act", "act-still"):
        act(out, 0.0 if name == "act-still" else 0.25)
    else:
        sys.exit(f"no policy {name!r}")


def act(out: Path, gripper: float) -> None:
    out.mkdir(parents=True)
    random = np.random.default_rng(2026)
    weights = {
        "model.action_head.bias": random.normal(size=6),
        "model.action_head.weight": random.normal(size=(6, 512)),
    }
    save_file(single(weights), out / "model.safetensors", metadata={"format": "pt"})
    for state in NORMALIZER, UNNORMALIZER:
        save_file(single(statistics(gripper)), out / state)
    write(out / "config.json", config())
    write(out / "policy_preprocessor.json", preprocessor())
    write(out / "policy_postprocessor.json", postprocessor())
    (out / "README.md").write_text(CARD)


def single(tensors: dict) -> dict:
    return {name: np.asarray(values, np.float32) for name, values in tensors.items()}


def write(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def config() -> dict:
    """What decides, of LeRobot's fields."""
    return {
        "type": "act",
        "n_obs_steps": 1,
        "input_features": STATE | IMAGE,
        "output_features": ACTION,
        "device": "cuda",
        "normalization_mapping": MODES,
        "chunk_size": 100,
        "n_action_steps": 100,
        "vision_backbone": "resnet18",
        "pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1",
    }


def statistics(gripper: float) -> dict:
    """Joint angles in radians."""
    joints = {"mean": [0.1, -0.4, 0.9, 0.2, 0.0, 0.5], "std": [0.4, 0.3, 0.35, 0.5, 0.45, gripper]}
    pixels = {"mean": [[[0.485]], [[0.456]], [[0.406]]], "std": [[[0.229]], [[0.224]], [[0.225]]]}
    features = {"observation.state": joints, "action": joints, "observation.images.top": pixels}
    return {
        f"{feature}.{name}": values
        for feature, of_feature in features.items()
        for name, values in of_feature.items()
    }


def preprocessor() -> dict:
    steps = [
        {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
        {"registry_name": "to_batch_processor", "config": {}},
        {"registry_name": "device_processor", "config": {"device": "cuda", "float_dtype": None}},
        normalizer("normalizer_processor", STATE | IMAGE | ACTION, NORMALIZER),
    ]
    return {"name": "policy_preprocessor", "steps": steps}


def postprocessor() -> dict:
    steps = [
        normalizer("unnormalizer_processor", ACTION, UNNORMALIZER),
        {"registry_name": "device_processor", "config": {"device": "cpu", "float_dtype": None}},
    ]
    return {"name": "policy_postprocessor", "steps": steps}


def normalizer(name: str, features: dict, state: str) -> dict:
    config = {"eps": 1e-8, "features": features, "norm_map": MODES}
    return {"registry_name": name, "config": config, "state_file": state}


if __name__ == "__main__":
    main()
