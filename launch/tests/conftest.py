"""The gate as it is launched: the built program, with the parameter file that is installed."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("TENSORGATE_PROGRAMS", ROOT / "target/debug"))
ARGUMENTS = {"use_sim_time": "false", "autostart": "true", "channel": ""}

sys.path.append(str(ROOT / "ros"))
import own_domain  # noqa: E402
from hang_guard import hang_guard, pytest_configure  # noqa: E402, F401 # pytest finds them here
from observer import observer  # noqa: E402

own_domain.claim()

# A trust policy that a group may write is refused, with reason.
os.umask(0o022)


def command(*args):
    program = [PROGRAMS / "tensorgate", *map(str, args)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def signed(tmp_path):
    """A policy of one tensor, signed, and the trust policy for its key."""
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "config.json").write_text('{"type": "mlp"}')
    header = {"weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    header = json.dumps(header).encode().ljust(72)
    tensors = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1, 2)
    (policy / "model.safetensors").write_bytes(tensors)
    command("keygen", "--out", tmp_path / "release")
    what = ["--repo", "acme/walk", "--revision", "0" * 40, "--sequence", 1]
    what += ["--expires", "2099-01-01T00:00:00Z"]
    command("sign", policy, "--key", tmp_path / "release.key.pem", *what)
    (tmp_path / "trust.toml").write_text(
        'threshold = 1\n[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
    )
    return tmp_path


@pytest.fixture
def gate(signed):
    """Launched as `launch` would: the values of the arguments stand in the parameter file."""
    text = (ROOT / "launch/config/tensorgate.yaml").read_text()
    values = {
        **ARGUMENTS,
        "policy": signed / "policy",
        "trust": signed / "trust.toml",
        "store": signed / "store",
    }
    parameters = signed / "tensorgate.yaml"
    parameters.write_text(re.sub(r"\$\(var (\w+)\)", lambda match: str(values[match[1]]), text))
    program = [PROGRAMS / "tensorgate_node", "--ros-args", "--params-file", parameters]
    with (signed / "log").open("w") as log:
        process = subprocess.Popen(program, stdout=log, stderr=subprocess.STDOUT)

    def stop():
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=30)

    yield stop
    if process.poll() is None:
        process.kill()
        process.wait()


@pytest.fixture
def ros():
    """A node of this process, with `wait_for` and `ask`."""
    with observer() as node:
        yield node
