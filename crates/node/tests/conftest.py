"""The real gate for the tests: the built programs, real ROS 2, real policies.

Run with the ROS environment: `source ros/env.sh && pytest crates/node/tests`.
"""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
REPO = "acme/walk"
REVISION = "0123456789abcdef0123456789abcdef01234567"

sys.path.append(str(ROOT / "ros"))
import own_domain  # noqa: E402
from hang_guard import hang_guard, pytest_configure  # noqa: E402, F401 # pytest finds them here
from observer import observer  # noqa: E402

own_domain.claim()

# A trust policy that a group may write is refused, with reason.
os.umask(0o022)


def tensorgate(*args, status=0):
    """Runs the command; returns the JSON it prints."""
    command = [PROGRAMS / "tensorgate", *map(str, args), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


class Signed:
    """A policy directory with its manifest, and the trust policy for its key."""

    def __init__(self, home, tensors, config=None):
        self.home = home
        self.directory = home / "policy"
        self.directory.mkdir()
        (self.directory / "config.json").write_text(json.dumps(config or {"type": "mlp"}))
        save_file(tensors, self.directory / "model.safetensors")
        tensorgate("keygen", "--out", home / "release")
        self.sign()
        self.trust = home / "trust.toml"
        self.trust.write_text(
            'threshold = 1\n[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
        )

    def sign(self, *more, sequence=1, expires="2099-01-01T00:00:00Z", key="release"):
        key = self.home / f"{key}.key.pem"
        what = ["--repo", REPO, "--revision", REVISION, "--sequence", sequence]
        tensorgate("sign", self.directory, "--key", key, *what, "--expires", expires, *more)


class Node:
    """A running gate."""

    def __init__(self, home, *args, under=(), **parameters):
        self.log = home / f"node-{time.monotonic_ns()}.log"
        command = [*under, PROGRAMS / "tensorgate_node", "--ros-args", *args]
        for name, value in {"store": home / "store", **parameters}.items():
            command += ["-p", f"{name}:={value}"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def text(self):
        return self.log.read_text()

    def peak_memory(self):
        """Peak resident memory and private memory now, in bytes."""
        fields = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in fields if line.endswith("kB")}
        return {name: 1024 * kib[name] for name in ("VmHWM", "RssAnon", "RssShmem")}

    def stop(self, how=signal.SIGINT):
        self.process.send_signal(how)
        return self.process.wait(timeout=10)


@pytest.fixture
def disk():
    """A directory where files are guarded, wherever the temporary ones lie."""
    guarding = {"ext2/ext3", "xfs", "btrfs"}
    for place in ROOT / "target", Path(tempfile.gettempdir()), Path("/var/tmp"):
        command = ["stat", "--file-system", "--format=%T", place]
        kind = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if kind in guarding and os.access(place, os.W_OK):
            with tempfile.TemporaryDirectory(dir=place) as folder:
                yield Path(folder)
            return
    pytest.skip("NOT TRIED: neither the checkout nor TMPDIR is on ext4, xfs or btrfs")


@pytest.fixture
def gate(tmp_path):
    """Starts gates, and ends what a failed test left."""
    nodes = []

    def start(*args, **options):
        nodes.append(Node(tmp_path, *args, **options))
        return nodes[-1]

    yield start
    for node in nodes:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()


@pytest.fixture
def ros():
    """A node of this process, spun by `wait_for`."""
    with observer() as node:
        yield node


@contextlib.contextmanager
def waiting_with_proven_weights(home, signed, gate, ros):
    """A gate that has proven the weights, and publishes nothing before this ends: it waits for the
    lock of its state."""
    state = home / "store" / "state"
    tensorgate("verify", signed.directory, "--trust", signed.trust, "--state", state)
    with (state / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        node = gate(policy=signed.directory, trust=signed.trust)
        ros.wait_for(lambda: "waiting for another process" in node.text(), "the word")
        yield node


def small_tensors():
    random = np.random.default_rng(7)
    return {
        "actor.0.weight": random.standard_normal((64, 45), dtype=np.float32),
        "actor.0.bias": random.standard_normal(64, dtype=np.float32),
        "steps": np.array(17, dtype=np.int64),
        "large": random.standard_normal((700, 1000), dtype=np.float32),
    }


def act_tensors():
    """52 M parameters in the shapes of LeRobot's ACT: a ResNet-18 backbone and transformer layers
    of width 512 (its defaults: 4 encoder, 1 decoder and 4 VAE encoder layers, 3200 hidden)."""
    random = np.random.default_rng(1)
    shapes = {"backbone.conv1.weight": (64, 3, 7, 7)}
    for stage, (before, width) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)], 1):
        for block in range(2):
            wide = width if block else before
            name = f"backbone.layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, wide, 3, 3)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            if wide != width:
                shapes[f"{name}.downsample.0.weight"] = (width, wide, 1, 1)
            for norm in ("bn1", "bn2"):
                for part in ("weight", "bias", "running_mean", "running_var"):
                    shapes[f"{name}.{norm}.{part}"] = (width,)
    layers = [f"encoder.layers.{i}" for i in range(4)]
    layers += [f"vae_encoder.layers.{i}" for i in range(4)]
    layers += ["decoder.layers.0"]
    for name in layers:
        for attention in ("self_attn", "multihead_attn")[: 2 if "decoder" in name[:7] else 1]:
            shapes[f"{name}.{attention}.in_proj_weight"] = (1536, 512)
            shapes[f"{name}.{attention}.in_proj_bias"] = (1536,)
            shapes[f"{name}.{attention}.out_proj.weight"] = (512, 512)
            shapes[f"{name}.{attention}.out_proj.bias"] = (512,)
        shapes[f"{name}.linear1.weight"] = (3200, 512)
        shapes[f"{name}.linear1.bias"] = (3200,)
        shapes[f"{name}.linear2.weight"] = (512, 3200)
        shapes[f"{name}.linear2.bias"] = (512,)
        for norm in ("norm1", "norm2"):
            shapes[f"{name}.{norm}.weight"] = (512,)
            shapes[f"{name}.{norm}.bias"] = (512,)
    shapes["vae_encoder_pos_enc"] = (1, 102, 512)
    shapes["vae_encoder_latent_output_proj.weight"] = (64, 512)
    shapes["encoder_img_feat_input_proj.weight"] = (512, 512, 1, 1)
    shapes["decoder_pos_embed.weight"] = (100, 512)
    shapes["action_head.weight"] = (14, 512)
    shapes["action_head.bias"] = (14,)
    return {name: random.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}
