#!/usr/bin/env python3
"""The whole way of a robot's policy, in front of your eyes: `make demo`.

A walking policy goes onto a Hub on loopback. It is fetched at a pinned commit, inspected, signed,
proven, published on ROS 2 topics, and run by two controllers that verify it again; their actions
are compared with the original's. Then somebody tampers, in several ways, and the release is called back.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "target" / "debug"
EXAMPLES = ROOT / "examples"
REPO = "unitree/go2-walk"

sys.path.append(str(ROOT / "ros"))
import own_domain  # noqa: E402

seconds = {}


def main() -> int:
    # A trust policy that a group may write is refused, with reason.
    os.umask(0o022)
    own_domain.claim()
    os.environ["PYTHONPATH"] = f"{ROOT / 'target' / 'python'}:{os.environ.get('PYTHONPATH', '')}"
    os.environ["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    with tempfile.TemporaryDirectory(prefix="demo-", dir=ROOT / "target") as home:
        os.chdir(home)
        stored, revision = admit()
        publish_and_act(f"{REPO}@{revision}")
        tamper(stored)
        revoke(stored)
        report()
        os.chdir(ROOT)
    return 0


def admit() -> tuple[Path, str]:
    with step("A walking policy for the Unitree Go2 goes onto a Hub"):
        run(sys.executable, EXAMPLES / "convert_go2.py", "go2-walk")
    with hub() as endpoint:
        with step("Fetch it at a pinned commit: complete, but untrusted"):
            fetched = run("tensorgate", "fetch", f"{REPO}@main", *endpoint, "--store", "store")
            quarantine = Path(fetched.strip().splitlines()[-1])
            revision = quarantine.name
        with step("Look at it, and let its content be judged"):
            run("tensorgate", "inspect", quarantine / "model.safetensors")
            run("tensorgate", "audit", quarantine)
        with step("Sign what was looked at, and say whose signature counts"):
            run("tensorgate", "keygen", "--out", "release")
            trust = '[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
            Path("trust.toml").write_text(f"threshold = 1\n{trust}")
            release = ["--sequence", "1", "--expires", "2036-01-01T00:00:00Z"]
            what = ["--repo", REPO, "--revision", revision, *release]
            manifest = ["--out", "policy.dsse.json"]
            run("tensorgate", "sign", quarantine, "--key", "release.key.pem", *what, *manifest)
    with step("Prove it and put it into the store; the Hub is gone, and not needed"):
        proof = ["--manifest", "policy.dsse.json", "--trust", "trust.toml"]
        commit = f"{REPO}@{revision}"
        admitted = run("tensorgate", "fetch", commit, "--store", "store", "--offline", *proof)
        stored = Path(admitted.strip().splitlines()[-1])
    return stored, revision


def publish_and_act(pinned: str) -> None:
    compare = EXAMPLES / "compare_go2.py"
    subprocess.run([sys.executable, compare, "draw", "observations.bin"], check=True)
    act = ["--trust", "trust.toml", "--repo", REPO, "--observations", "observations.bin"]
    parameters = {"policy": pinned, "trust": "trust.toml", "store": "store"}
    with gate(parameters) as node:
        with step("A controller in Python verifies again and computes actions"):
            run(sys.executable, EXAMPLES / "controller.py", *act, "--actions", "python.bin")
            run(sys.executable, compare, "check", "observations.bin", "python.bin")
        with step("A controller in Rust does the same"):
            run("controller", *act, "--actions", "rust.bin")
            run(sys.executable, compare, "check", "observations.bin", "rust.bin")
        print(f"  (the node's peak memory: {peak_memory(node) / 1e6:.0f} MB)")


def tamper(stored: Path) -> None:
    weights = (stored / "model.safetensors").read_bytes()
    flipped = bytearray(weights)
    flipped[len(flipped) // 2] ^= 1
    config = (stored / "config.json").read_bytes()
    pickle = b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x08reboot -f\x85R."

    attempt("A byte is flipped", stored, "model.safetensors", bytes(flipped), "digest-mismatch")
    swapped = config.replace(b"elu", b"elo")
    attempt("A file is swapped", stored, "config.json", swapped, "digest-mismatch")
    attempt("A file is added that nobody signed", stored, "extra.json", b"{}\n", "file-unexpected")
    attempt("A pickle is named model.safetensors", stored, "model.safetensors", pickle, "size-mismatch")
    with step("… and nobody signs such a thing by mistake: format-pickle"):
        release = ["--sequence", "2", "--expires", "2036-01-01T00:00:00Z", "--replace"]
        what = ["--repo", REPO, "--revision", "0" * 40, *release]
        refused("format-pickle", "sign", "tampered", "--key", "release.key.pem", *what)
    with step("Nor a step of a pipeline that would run code: config-names-code"):
        steps = [{"class": "os.system", "config": {"command": "reboot -f"}}]
        pipeline = json.dumps({"name": "policy_preprocessor", "steps": steps}).encode()
        refused("config-names-code", "audit", copy(stored, "policy_preprocessor.json", pipeline))
    with step("The Hub itself serves a flipped byte: digest-mismatch"), hub("flip:model.safetensors@5000") as endpoint:
        refused("digest-mismatch", "fetch", f"{REPO}@main", *endpoint, "--store", "other-store")
    with step("And the node publishes nothing of it; a controller waits in vain"):
        damaged = copy(stored, "model.safetensors", bytes(flipped))
        parameters = {"policy": damaged.resolve(), "trust": "trust.toml", "store": "store"}
        with gate(parameters, "no policy is published: rejected: digest-mismatch"):
            run("controller", "--trust", "trust.toml", "--timeout", 3, expected=2)


def revoke(stored: Path) -> None:
    """The genuine release is called back: by its name, which is the digest of its manifest."""
    with step("The release is called back: manifest-revoked"):
        term = ["--key", "release.key.pem", "--expires", "2036-01-01T00:00:00Z"]
        what = ["--manifest", stored.name, "--reason", "stumbles on gravel"]
        run("tensorgate", "trust", "revoke", "revocations.dsse.json", *term, *what)
        state = ["--trust", "trust.toml", "--state", "store/state"]
        given = ["--revocations", "revocations.dsse.json"]
        refused("manifest-revoked", "verify", stored, *state, *given)
        parameters = {"policy": stored.resolve(), "trust": "trust.toml", "store": "store"}
        with gate(parameters, "no policy is published: rejected: manifest-revoked"):
            pass


def attempt(what: str, stored: Path, name: str, data: bytes, code: str) -> None:
    with step(f"{what}: {code}"):
        directory = copy(stored, name, data)
        refused(code, "verify", directory, "--trust", "trust.toml", "--state", "store/state")


def copy(stored: Path, name: str, data: bytes) -> Path:
    """A copy of the policy in which one file is another."""
    tampered = Path("tampered")
    shutil.rmtree(tampered, ignore_errors=True)
    shutil.copytree(stored, tampered)
    (tampered / name).unlink(missing_ok=True)
    (tampered / name).write_bytes(data)
    return tampered


def refused(code: str, *args) -> None:
    """Runs a command that must be rejected with this code."""
    show("tensorgate", *args)
    done = subprocess.run(["tensorgate", *map(str, args)], text=True, capture_output=True, check=False)
    print(indent(done.stderr), flush=True)
    if done.returncode != 1 or code not in done.stderr:
        sys.exit(f"expected a rejection with {code}, got exit status {done.returncode}")


def run(*command, expected: int = 0) -> str:
    """Shows and runs a command; returns its standard output."""
    show(*command)
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, check=False)
    print(indent(done.stderr + done.stdout), flush=True)
    if done.returncode != expected:
        sys.exit(f"exit status {done.returncode}, expected {expected}")
    return done.stdout


def show(*command) -> None:
    words = [str(word).replace(sys.executable, "python").replace(f"{os.getcwd()}/", "").replace(f"{ROOT}/", "") for word in command]
    print(f"  $ {shlex.join(words)}", flush=True)


def indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.replace(f"{os.getcwd()}/", "").replace(f"{ROOT}/", "").rstrip().splitlines())


@contextmanager
def step(title: str):
    print(f"\n== {title}", flush=True)
    begun = time.monotonic()
    yield
    seconds[title] = time.monotonic() - begun


@contextmanager
def hub(*faults):
    """A Hub on loopback that serves the policy; yields the flags that lead there."""
    command = ["tensorgate-testhub", "--repo", f"{REPO}=go2-walk"]
    command += [word for fault in faults for word in ("--fault", fault)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
    try:
        yield ["--endpoint", json.loads(process.stdout.readline())["endpoint"]]
    finally:
        end(process)


@contextmanager
def gate(parameters: dict, expected: str = "publishing "):
    """The node; waits until it says what is expected of it."""
    command = ["tensorgate_node", "--ros-args"]
    command += [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    show(*command)
    process = subprocess.Popen(command, text=True, stderr=subprocess.PIPE)
    silence = threading.Timer(60, process.kill)
    silence.start()
    try:
        for line in process.stderr:
            print(indent(line), flush=True)
            if expected in line:
                break
        else:
            sys.exit(f"the node ended without saying {expected!r}")
        yield process
    finally:
        silence.cancel()
        end(process)
    if process.returncode != 0:
        sys.exit(f"the node ended with {process.returncode}, expected 0")


def end(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def peak_memory(process: subprocess.Popen) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def report() -> None:
    print("\n== Where the time went")
    for title, took in seconds.items():
        print(f"  {took:6.2f} s  {title}")
    print(f"  {sum(seconds.values()):6.2f} s  in all")
    print("\nThe genuine policy reached two controllers; the damaged one reached none.")


if __name__ == "__main__":
    sys.exit(main())
