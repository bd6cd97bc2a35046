"""Who is compared with whom, and how each of them is asked."""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

from measure import Peer, Process, Worker

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / "target/release"
CANDLE = ROOT / "target/candle/release/tensorgate-benches-candle"
VENV = ROOT / ".ros/peers/bin"
B3SUM = ROOT / "target/b3sum/bin/b3sum"

REPO = "acme/bench"

SIGNED = "signature, every byte"
HEADERS = "signature, list of files, headers"
ONE = "the same, and the tensor"
DIGEST = "digest of the file"
NOTHING = "nothing"

# In one process. The first word of a runner is the worker, the second what it is told to do.
OPEN = {
    Peer("tensorgate: open, all tensors", SIGNED, ours=True): ("rust", "open"),
    Peer("tensorgate: open, a sealed copy", SIGNED, ours=True): ("rust", "open-sealed"),
    Peer("BLAKE3 of the mapped file, all cores", "nothing: no digest is compared"): (
        "rust",
        "blake3",
    ),
    Peer("SHA-256, then mmap (Rust)", DIGEST): ("rust", "sha256"),
    Peer("model_signing, SHA-256 by file", SIGNED): ("python", "oms-sha256"),
    Peer("model_signing, SHA-256 by shard", SIGNED): ("python", "oms-sha256-shards"),
    Peer("model_signing, BLAKE2 by file", SIGNED): ("python", "oms-blake2"),
    Peer("model_signing, BLAKE2 by shard", SIGNED): ("python", "oms-blake2-shards"),
    Peer("model_signing, BLAKE3", SIGNED): ("python", "oms-blake3"),
    Peer("Python safetensors load_file", NOTHING): ("python", "load_file"),
    Peer("Python safetensors safe_open, all tensors", NOTHING): ("python", "safe_open"),
    Peer("candle MmapedSafetensors, all tensors", NOTHING): ("candle", "candle"),
    Peer("safetensors + memmap2, each page touched", NOTHING): ("rust", "mmap"),
}
FIRST = {
    Peer("tensorgate: open on demand, then one tensor", ONE, ours=True): ("rust", "first"),
    Peer("tensorgate: one tensor more", ONE, ours=True): ("rust", "tensor"),
    Peer("Python safetensors safe_open", NOTHING): ("python", "safe_open-first"),
    Peer("candle MmapedSafetensors", NOTHING): ("candle", "candle-first"),
    Peer("safetensors + memmap2", NOTHING): ("rust", "mmap-first"),
}
STEPS = {
    Peer("tensorgate: signature and list of files", "signature", ours=True): (
        "rust",
        "authenticate",
    ),
    Peer("tensorgate: open on demand", HEADERS, ours=True): ("rust", "on-demand"),
    Peer("tensorgate: open on demand, then all tensors", SIGNED, ours=True): ("rust", "finish"),
    Peer("tensorgate: open again what is held", "signature; the bytes were", ours=True): (
        "rust",
        "reopen",
    ),
    Peer("tensorgate: take a hand-off", HEADERS, ours=True): ("rust", "hand-off"),
    Peer("tensorgate: take a hand-off, prove all tensors", SIGNED, ours=True): (
        "rust",
        "hand-off-proven",
    ),
}
HEADER = {
    Peer("tensorgate Header::parse", "strict", ours=True): ("rust", "header"),
    Peer("safetensors SafeTensors::deserialize", "as its crate does"): ("rust", "mmap-header"),
}


def in_process(peers, folder, **variables):
    """`{peer: runner}`, of workers that have `variables` in their environment."""
    workers = {
        "rust": Worker(BUILT / "tensorgate-bench", "work", folder, **variables),
        "python": Worker(VENV / "python3", HERE / "worker.py", folder, **variables),
        "candle": Worker(CANDLE, folder, **variables),
    }
    return {peer: workers[worker].way(name) for peer, (worker, name) in peers.items()}


def whole_processes(folder, hub):
    """`{peer: runner}`, each a process from its start to its end."""
    policy = folder / "policy"
    weights = policy / "model.safetensors"
    verify = [BUILT / "tensorgate", "verify", policy, "--trust", folder / "trust.toml"]
    state = {"TENSORGATE_STORE": str(folder / "store")}
    api = [VENV / "python3", HERE / "oms.py", "verify", folder]
    command = [VENV / "model_signing", "verify", "key", policy]
    command += ["--signature", folder / "sha256.sig", "--public_key", folder / "oms.pub.pem"]
    load = "import sys; from safetensors.numpy import load_file; load_file(sys.argv[1])"
    hf = [VENV / "hf", "cache", "verify", REPO, "--revision", hub.commit]
    hf += ["--local-dir", policy, "--fail-on-missing-files"]
    return {
        Peer("tensorgate verify", SIGNED, ours=True): Process(*verify, **state),
        Peer("tensorgate verify --full", "the same, and SHA-256 of the file", ours=True): Process(
            *verify, "--full", **state
        ),
        Peer("model_signing verify", SIGNED): Process(*command),
        Peer("model_signing, API, SHA-256 by shard", SIGNED): Process(*api, "sha256-shards"),
        Peer("model_signing, API, BLAKE2 by shard", SIGNED): Process(*api, "blake2-shards"),
        Peer("model_signing, API, BLAKE3", SIGNED): Process(*api, "blake3"),
        Peer("hf cache verify, Hub on loopback", DIGEST): Process(*hf, **hub.variables),
        Peer("sha256sum --check", DIGEST): Process("sha256sum", "--check", folder / "sha256.sums"),
        Peer("openssl dgst -sha256", "nothing: the digest is printed"): Process(
            "openssl", "dgst", "-sha256", weights
        ),
        Peer("b3sum --check", DIGEST): Process(b3sum(), "--check", folder / "b3.sums"),
        Peer("Python: import, then load_file", NOTHING): Process(
            VENV / "python3", "-c", load, weights
        ),
    }


class Hub:
    """The project's own Hub on loopback, which serves `folder/policy`."""

    def __init__(self, folder):
        served = f"{REPO}={folder / 'policy'}"
        self.process = subprocess.Popen(
            [BUILT / "tensorgate-testhub", "--repo", served], stdout=subprocess.PIPE, text=True
        )
        ready = json.loads(self.process.stdout.readline())
        self.commit = ready["commits"][REPO][-1]
        self.variables = {
            "HF_ENDPOINT": ready["endpoint"],
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "NO_PROXY": "127.0.0.1",
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def b3sum():
    return shutil.which("b3sum") or B3SUM


@contextlib.contextmanager
def policy(work, tensors, bytes):
    """A signed policy of so many tensors of so many bytes each, removed at the end."""
    folder = work / f"{tensors}x{bytes}"
    folder.mkdir()
    try:
        made = [BUILT / "tensorgate-bench", "write", folder, str(tensors), str(bytes)]
        subprocess.run(made, check=True)
        yield folder
    finally:
        shutil.rmtree(folder)


def sign_for_peers(folder):
    """What the peers verify by, where they are there."""
    weights = folder / "policy/model.safetensors"
    for name, command in {
        "sha256.sums": ["sha256sum", weights],
        "b3.sums": [b3sum(), weights],
        "oms": [VENV / "python3", HERE / "oms.py", "sign", folder],
    }.items():
        with contextlib.suppress(FileNotFoundError), open(folder / name, "wb") as out:
            subprocess.run(command, check=True, stdout=out)


def cores():
    """1, 2, 4 ... and all that this process may use."""
    most = len(os.sched_getaffinity(0))
    return sorted({most, *(1 << i for i in range(most.bit_length()) if 1 << i <= most)})
