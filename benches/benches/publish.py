"""200 MiB of weights to a controller that joins late: from the gate, and from rclpy to rclpy.

Build first, with the ROS environment (`source ros/env.sh`):

    cargo build --locked --release -p tensorgate -p tensorgate-node -p tensorgate-python
    python benches/benches/publish.py

A publisher has latched everything before the joiner is started, which is a process of its own and
counts from before its node exists. So discovery is in it, half a second in one run and three in the
next, for everybody alike; the column of the flow leaves it out. The two that do not verify are the
same joiner; those that do are a `PolicySubscriber`. Pulled is what a gate does not latch, and handed
over are its own pages. Memory is what is private, and what is shared memory: a joiner that was handed
its policy shares it with the gate.
`TENSORGATE_BENCH_ROUNDS` says how often (5).
"""

import array
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
import rclpy.qos as qos
from safetensors.numpy import save_file
from tensorgate_msgs.msg import TensorFragment

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
ROUNDS = int(os.environ.get("TENSORGATE_BENCH_ROUNDS", "5"))
MIB = 1 << 20
# As many fragments of 1 MiB, the gate's default.
COUNT = 200
SIGNED_AS = ["--repo", "acme/bench", "--revision", "0" * 40]
LATCHED = {
    "reliability": qos.ReliabilityPolicy.RELIABLE,
    "durability": qos.DurabilityPolicy.TRANSIENT_LOCAL,
}

sys.path.append(str(ROOT / "ros"))
import own_domain  # noqa: E402


def main():
    own_domain.claim()
    with tempfile.TemporaryDirectory() as home:
        compare(make_policy(Path(home)))


def compare(policy):
    """The peers in turns, so that whatever else the machine does hits all of them."""
    trust, socket = policy / "trust.toml", policy / "run" / "gate"
    verified = ("/tensorgate", trust)
    peers = {
        "rclpy to rclpy, unverified": (rclpy_publisher, {}, ("/rclpy",)),
        "gate to rclpy, unverified": (gate, {}, ("/tensorgate",)),
        "gate to `PolicySubscriber`, latched": (gate, {}, verified),
        "gate to `PolicySubscriber`, pulled": (gate, {"latch_limit_mib": 0}, verified),
        "gate to `PolicySubscriber`, handed over": (gate, {"handoff": socket}, (*verified, socket)),
    }
    runs = {name: [] for name in peers}
    for _ in range(ROUNDS):
        for name, (publisher, parameters, joins) in peers.items():
            with publisher(policy, **parameters) as process:
                runs[name].append({**join(*joins), "publisher": memory(process.pid)})
    what = f"{COUNT} MiB in {COUNT} fragments to a late joiner"
    print(f"{what}, on {os.cpu_count()} cores, medians of {ROUNDS}\n")
    columns = ["complete after (s)", "fastest (s)", "announced to complete (s)"]
    columns += ["publisher's memory (MiB)", "joiner's (MiB)", "ratio"]
    print(f"| | {' | '.join(columns)} |\n|---|---|---|---|---|---|---|")
    (base, *_) = (median(each, "complete") for each in runs.values())
    for name, each in runs.items():
        complete, flow = median(each, "complete"), median(each, "flow")
        fastest = min(run["complete"] for run in each)
        sizes = " | ".join(f"{median(each, end) / MIB:.0f}" for end in ("publisher", "joiner"))
        print(f"| {name} | {complete:.2f} | {fastest:.2f} | {flow:.2f} | {sizes} | {complete / base:.2f} |")


def median(runs, what):
    return statistics.median(run[what] for run in runs)


def make_policy(home):
    """A signed policy of `COUNT` MiB, and the trust policy that believes its signer."""
    directory = home / "policy"
    directory.mkdir()
    (home / "run").mkdir(mode=0o755)
    (directory / "config.json").write_text('{"type": "mlp"}')
    tensor = np.random.default_rng(1).standard_normal((8, MIB // 4), dtype=np.float32)
    save_file({f"layer.{i}": tensor for i in range(COUNT // 8)}, directory / "model.safetensors")
    tensorgate("keygen", "--out", home / "release")
    until = ["--sequence", "1", "--expires", "2099-01-01T00:00:00Z"]
    tensorgate("sign", directory, "--key", home / "release.key.pem", *SIGNED_AS, *until)
    key = 'name = "release"\npublic_key_file = "release.pub.pem"\n'
    (home / "trust.toml").write_text(f"threshold = 1\n[[keys]]\n{key}")
    return home


def tensorgate(*args):
    subprocess.run([PROGRAMS / "tensorgate", *map(str, args)], check=True, capture_output=True)


@contextlib.contextmanager
def gate(home, **parameters):
    """A gate that has published the policy."""
    parameters |= {"policy": home / "policy", "trust": home / "trust.toml", "store": home / "store"}
    given = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    with publisher([PROGRAMS / "tensorgate_node", "--ros-args", *given]) as process:
        yield process


@contextlib.contextmanager
def rclpy_publisher(_home):
    """A publisher in Python that has published as much."""
    with publisher([sys.executable, __file__, "publish"]) as process:
        yield process


@contextlib.contextmanager
def publisher(command):
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    reader = threading.Thread(target=process.stderr.read)
    try:
        for line in process.stderr:
            if "publishing" in line:
                break
        else:
            raise SystemExit(f"{command[0]} ended: {process.wait()}")
        # Whoever logs into a full pipe waits.
        reader.start()
        yield process
    finally:
        process.terminate()
        process.wait()
        if reader.ident:
            reader.join()
        process.stderr.close()


def memory(process):
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kinds = [line.split() for line in lines if line.startswith(("RssAnon:", "RssShmem:"))]
    return 1024 * sum(int(kib) for _, kib, _ in kinds)


def join(*arguments):
    command = [sys.executable, __file__, "join", *map(str, arguments)]
    environment = {**os.environ}
    if len(arguments) > 1:
        environment["PYTHONPATH"] = f"{python_module()}:{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=120)
    return json.loads(done.stdout)


def python_module():
    """Where `tensorgate_client`, as it was built, can be imported from."""
    directory = PROGRAMS / "python"
    package = directory / "tensorgate_client"
    package.mkdir(parents=True, exist_ok=True)
    parts = {file.name: file for file in (ROOT / "crates/python/python/tensorgate_client").iterdir()}
    parts["_native.abi3.so"] = PROGRAMS / "libtensorgate_python.so"
    for name, file in parts.items():
        if not (package / name).exists():
            (package / name).symlink_to(file)
    return directory


def publish():
    """Latches `COUNT` fragments of 1 MiB, says so, and stays."""
    rclpy.init()
    node = rclpy.create_node("rclpy")
    writer = node.create_publisher(TensorFragment, "~/fragments", qos.QoSProfile(depth=COUNT, **LATCHED))
    data = array.array("B", os.urandom(MIB))
    for index in range(COUNT):
        writer.publish(TensorFragment(fragment_index=index, fragment_count=COUNT, data=data))
    print("publishing", file=sys.stderr, flush=True)
    rclpy.spin(node)


def joined(name, *verified):
    """Joins, and says after how many seconds everything was there, and how long it flowed."""
    rclpy.init()
    begun = time.monotonic()
    node = rclpy.create_node("joiner")
    times = []
    done = subscribe(node, name, times, *verified) if verified else unverified(node, name, times)
    while not done():
        rclpy.spin_once(node, timeout_sec=1)
    now = time.monotonic()
    print(json.dumps({"complete": now - begun, "flow": now - times[0], "joiner": memory("self")}))


def unverified(node, name, times):
    """Keeps every fragment; looks at none."""
    kept = []

    def take(fragment):
        times.append(time.monotonic())
        kept.append(fragment.data)

    profile = qos.QoSProfile(depth=COUNT, **LATCHED)
    node.create_subscription(TensorFragment, f"{name}/fragments", take, profile)
    return lambda: len(kept) == COUNT


def subscribe(node, name, times, trust, socket=None):
    """The way of a controller: the manifest first, each fragment against its digest, a proof."""
    from tensorgate_client.ros import PolicySubscriber

    subscriber = PolicySubscriber(node, trust, name, handoff=socket)

    def done():
        if subscriber.state != "no-policy":
            times.append(time.monotonic())
        return subscriber.active is not None

    return done


if __name__ == "__main__":
    role, *arguments = sys.argv[1:] or ["main"]
    {"main": main, "publish": publish, "join": joined}[role](*arguments)
