#!/usr/bin/env python3
"""Makes the pictures of reports in docs/images, by what `make test` built.

    source ros/env.sh && python crates/cli/tests/browser/pictures.py
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from browser import ROOT, Browser, find
from safetensors.numpy import save_file
from test_reports import PROGRAM, REVISION

PICTURES = ROOT / "docs/images"
PRE = "policy_preprocessor_step_3_normalizer_processor.safetensors"
POST = "policy_postprocessor_step_0_unnormalizer_processor.safetensors"
JOINTS = 14
FEATURES = {
    "observation.state": {"type": "STATE", "shape": [JOINTS]},
    "observation.images.top": {"type": "VISUAL", "shape": [3, 480, 640]},
    "action": {"type": "ACTION", "shape": [JOINTS]},
}
MODES = {kind: "MEAN_STD" for kind in ("VISUAL", "STATE", "ACTION")}
CARD = """---
license: apache-2.0
datasets: acme/two_arms_transfer_cube
library_name: lerobot
pipeline_tag: robotics
tags: [act, lerobot, robotics]
---
# ACT for two arms
"""


def policy(folder, scale=1.0):
    """In the shapes of LeRobot's ACT, with fewer numbers."""
    random = np.random.default_rng(7)
    folder.mkdir()
    save_file(weights(random, scale), folder / "model.safetensors", metadata={"format": "pt"})
    state = statistics(random, scale)
    save_file(state, folder / PRE)
    save_file(state, folder / POST)
    inputs = {name: feature for name, feature in FEATURES.items() if name != "action"}
    action = {"action": FEATURES["action"]}
    write = lambda name, value: (folder / name).write_text(json.dumps(value, indent=2) + "\n")
    config = {"type": "act", "input_features": inputs, "output_features": action}
    config |= {"n_obs_steps": 1, "chunk_size": round(100 * scale), "normalization_mapping": MODES}
    write("config.json", config | {"pretrained_backbone_weights": None, "license": "apache-2.0"})
    before = ["rename_observations_processor", "to_batch_processor", "device_processor"]
    settings = [{"rename_map": {}}, {}, {"device": "cuda", "float_dtype": None}]
    steps = [{"registry_name": n, "config": c} for n, c in zip(before, settings)]
    steps.append(scaling("normalizer_processor", FEATURES, PRE))
    write("policy_preprocessor.json", {"name": "policy_preprocessor", "steps": steps})
    steps = [scaling("unnormalizer_processor", action, POST)]
    write("policy_postprocessor.json", {"name": "policy_postprocessor", "steps": steps})
    (folder / "README.md").write_text(CARD)


def weights(random, scale):
    def normal(*shape, width=0.05):
        return (random.standard_normal(shape) * width * scale).astype(np.float32)

    tensors = {}
    for n in range(4):
        layer = f"model.encoder.layers.{n}"
        tensors[f"{layer}.self_attn.in_proj_weight"] = normal(768, 256)
        tensors[f"{layer}.self_attn.out_proj.weight"] = normal(256, 256, width=0.03)
        tensors[f"{layer}.linear1.weight"] = random.laplace(0, 0.04, (1600, 256)).astype(np.float32)
        tensors[f"{layer}.linear2.weight"] = normal(256, 1600, width=0.02 * (n + 1))
        tensors[f"{layer}.norm1.weight"] = np.abs(normal(256)) + 1
        tensors[f"model.backbone.layer{n + 1}.0.conv1.weight"] = normal(64, 64, 3, 3)
    tensors["model.action_head.weight"] = normal(JOINTS, 256)
    return tensors


def statistics(random, scale):
    state = {}
    for name in ("action", "observation.state"):
        low, high = -random.uniform(0.5, 3.1, JOINTS), random.uniform(0.5, 3.1, JOINTS)
        mean, std = (low + high) / 2 + random.normal(0, 0.2, JOINTS), (high - low) / 6
        numbers = {"min": low, "max": high, "mean": mean, "std": std * scale}
        state |= {f"{name}.{stat}": of.astype(np.float32) for stat, of in numbers.items()}
    image = {"min": [0.0] * 3, "max": [1.0] * 3, "mean": [0.48, 0.46, 0.41], "std": [0.23, 0.22, 0.22]}
    for stat, of in image.items():
        state[f"observation.images.top.{stat}"] = np.array(of, np.float32).reshape(3, 1, 1)
    return state


def scaling(name, features, state):
    config = {"eps": 1e-8, "features": features, "norm_map": MODES}
    return {"registry_name": name, "config": config, "state_file": state}


def reports(folder):
    def run(*arguments, status=0):
        environment = {"HOME": str(folder), "TENSORGATE_STORE": str(folder / "store")}
        done = subprocess.run([PROGRAM, *arguments], cwd=folder, env=environment, capture_output=True)
        assert done.returncode == status, done.stderr.decode()

    policy(folder / "act")
    policy(folder / "act-2", scale=1.02)
    run("diff", "act", "act-2", "--html", "diff.html")
    run("keygen", "--out", "release")
    release = ["--repo", "acme/act_two_arms", "--revision", REVISION, "--sequence", "7"]
    release += ["--expires", "2027-11-01T00:00:00Z", "--key", "release.key.pem"]
    run("sign", "act", *release)
    trust = 'threshold = 1\n[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
    (folder / "trust.toml").write_text(trust)
    (folder / "trust.toml").chmod(0o644)
    # The first one is told to be the first.
    run("verify", "act", "--trust", "trust.toml")
    run("verify", "act", "--trust", "trust.toml", "--html", "verify.html")
    (folder / "act/optimizer.pt").write_bytes(b"\x80\x04\x95 a pickle")
    (folder / "act/run.sh").write_text("#!/bin/sh\n")
    run("audit", "act", "--html", "audit.html", status=1)


def main():
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser(find()) as browser:
        folder = Path(folder)
        reports(folder)

        def picture(name, page, width, height, scheme="light", heading=None):
            browser.show(folder / page, width=width, scheme=scheme)
            find_heading = f"[...document.querySelectorAll('h2')].find(h => h.innerText == {json.dumps(heading)})"
            top = browser.value(f"{find_heading}.getBoundingClientRect().top - 16") if heading else 0
            clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
            browser.picture(PICTURES / name, clip)
            print(PICTURES / name, (PICTURES / name).stat().st_size)

        picture("report-verified.png", "verify.html", 960, 720)
        picture("report-rejected.png", "audit.html", 390, 760, scheme="dark")
        heading = "What scales observations and actions"
        picture("report-normaliser.png", "verify.html", 960, 560, heading=heading)


if __name__ == "__main__":
    main()
