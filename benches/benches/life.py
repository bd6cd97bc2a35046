"""How long a swap takes, and how long a robot drives on after a revocation.

Build first, with the ROS environment (`source ros/env.sh`):

    cargo build --locked --release -p tensorgate -p tensorgate-node -p tensorgate-python
    python benches/benches/life.py [--json]

The gate, the operator and the controller, in Python, are three processes on one machine, so that one
steady clock times them all. A swap is from before the operator's call of `~/load_policy` to the
controller acting on the new policy; a stop, from before the call of `~/revoke` to the controller
knowing that it is revoked. Each trial of a stop loads a policy of its own, freshly signed.
`TENSORGATE_BENCH_TRIALS` says how many of those (1000), `TENSORGATE_BENCH_ROUNDS` how many swaps (5).
"""

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
from safetensors.numpy import save_file
from tensorgate_msgs.srv import LoadPolicy, RevokePolicy

from publish import COUNT, MIB, ROUNDS, SIGNED_AS, gate, own_domain, python_module, tensorgate

TRIALS = int(os.environ.get("TENSORGATE_BENCH_TRIALS", "1000"))
SMALL, LARGE = 1 << 16, COUNT * MIB


def main():
    own_domain.claim()
    with tempfile.TemporaryDirectory() as home:
        measured = measure(Policies(Path(home)))
    if sys.argv[1:] == ["--json"]:
        return print(json.dumps(measured))
    print(f"On {os.cpu_count()} cores, in ms:\n")
    print("| | trials | min | median | p99 | max |\n|---|---|---|---|---|---|")
    for what, times in measured.items():
        row = min(times), statistics.median(times), percentile(times, 99), max(times)
        print(f"| {what} | {len(times)} | {' | '.join(f'{1e3 * value:.1f}' for value in row)} |")
    print(f"\nCall of revoke to stop:\n{histogram(measured['revoke to stop'])}")


def measure(policies):
    swaps = {"swap of 64 KiB": SMALL, f"swap of {COUNT} MiB": LARGE}
    with policies.gate(), controller(policies.trust) as words:
        operator = Operator(words)
        operator.swap(policies.next(SMALL))
        measured = {}
        for what, size in swaps.items():
            measured[what] = [operator.swap(policies.next(size)) for _ in range(ROUNDS)]
        measured["revoke to stop"] = [stop(operator, policies) for _ in range(TRIALS)]
    return measured


def stop(operator, policies):
    operator.swap(policies.next(SMALL))
    return operator.revoke()


class Policies:
    """Releases of one repository, each newer than the last. The large ones differ in their number."""

    def __init__(self, home):
        self.home, self.sequence = home, 0
        self.trust = home / "trust.toml"
        tensorgate("keygen", "--out", home / "release")
        key = 'name = "release"\npublic_key_file = "release.pub.pem"\n'
        self.trust.write_text(f"threshold = 1\n[[keys]]\n{key}")
        self.next(SMALL).rename(home / "policy")

    def gate(self):
        return gate(self.home)

    def next(self, size):
        self.sequence += 1
        directory = self.home / str(self.sequence)
        directory.mkdir()
        (directory / "config.json").write_text('{"type": "mlp"}')
        tensor = np.random.default_rng(1).standard_normal((min(size, 8 * MIB) // 4,), dtype=np.float32)
        layers = {f"layer.{i}": tensor for i in range(max(1, size // (8 * MIB)))}
        save_file(layers, directory / "model.safetensors")
        until = ["--sequence", self.sequence, "--expires", "2099-01-01T00:00:00Z"]
        tensorgate("sign", directory, "--key", self.home / "release.key.pem", *SIGNED_AS, *until)
        return directory


class Operator:
    """Calls the gate's services, and hears from the controller."""

    def __init__(self, words):
        rclpy.init()
        self.words = words
        self.node = rclpy.create_node("operator")
        self.loads = self.node.create_client(LoadPolicy, "/tensorgate/load_policy")
        self.revokes = self.node.create_client(RevokePolicy, "/tensorgate/revoke")
        for client in self.loads, self.revokes:
            client.wait_for_service()
        # An answer reaches only who has been found by then.
        time.sleep(3)

    def swap(self, directory):
        begun = time.monotonic()
        answer = self.call(self.loads, LoadPolicy.Request(policy=str(directory)))
        if answer.result != LoadPolicy.Response.RESULT_OK:
            raise SystemExit(f"not loaded: {answer.message}")
        return self.words.wait("active", int(directory.name)) - begun

    def revoke(self):
        begun = time.monotonic()
        answer = self.call(self.revokes, RevokePolicy.Request(reason="a trial"))
        if answer.result != RevokePolicy.Response.RESULT_OK:
            raise SystemExit(f"not revoked: {answer.message}")
        return self.words.wait("revoked") - begun

    def call(self, client, request):
        future = client.call_async(request)
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=60)
        if not future.done():
            raise SystemExit(f"no answer to {request}")
        return future.result()


class Words:
    """What the controller says, from a thread, so that nothing waits for its pipe."""

    def __init__(self, lines):
        self.last, self.said = {}, threading.Condition()
        threading.Thread(target=self.listen, args=[lines], daemon=True).start()

    def listen(self, lines):
        for line in lines:
            with self.said:
                self.last = json.loads(line)
                self.said.notify_all()

    def wait(self, state, sequence=None):
        """When it came to that state, with that release."""
        fits = lambda: self.last.get("state") == state and sequence in (None, self.last["sequence"])
        with self.said:
            if not self.said.wait_for(fits, timeout=60):
                raise SystemExit(f"the controller is not {state}: {self.last}")
            return self.last["at"]


@contextlib.contextmanager
def controller(trust):
    environment = {**os.environ, "PYTHONPATH": f"{python_module()}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, __file__, "controller", trust]
    # What it logs of each change would be timed, too.
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, env=environment, **quiet)
    try:
        yield Words(process.stdout)
    finally:
        process.kill()
        process.wait()


def control(trust):
    """Says each change of state, and when."""
    from tensorgate_client.ros import PolicySubscriber

    rclpy.init()
    node = rclpy.create_node("controller")
    subscriber, said = PolicySubscriber(node, trust, handoff=None), None
    while True:
        policy = subscriber.policy
        word = {"state": subscriber.state, "sequence": policy and policy.sequence}
        if word != said:
            print(json.dumps({"at": time.monotonic(), **word}), flush=True)
            said = word
        rclpy.spin_once(node, timeout_sec=1)


def percentile(times, share):
    return sorted(times)[min(len(times) - 1, len(times) * share // 100)]


def histogram(times):
    """Bins of a factor of two, as far as there is something in them."""
    edges = [0] + [2**power / 1e3 for power in range(14)]
    counts = [sum(low <= value < high for value in times) for low, high in zip(edges, edges[1:])]
    rows = [row for row in zip(edges, edges[1:], counts) if row[2]]
    widest = max(counts)
    bar = lambda count: "#" * round(50 * count / widest)
    lines = (f"{1e3 * low:5.0f} to {1e3 * high:4.0f} ms {n:5} {bar(n)}" for low, high, n in rows)
    return "\n".join(lines)


if __name__ == "__main__":
    {"controller": control}.get(sys.argv[1] if sys.argv[1:] else "", lambda *_: main())(*sys.argv[2:])
