"""What publishing costs: the weights once, what the middleware latches, and little besides."""

import os
import re
import subprocess
import sys
import threading

import conftest
import numpy as np
import rclpy.qos as qos
from conftest import Signed
from subscriber import LATCHED, Subscriber
from tensorgate_msgs.msg import PolicyManifest, TensorFragment
from tensorgate_msgs.msg import PolicyStatus as Status
from test_gate import receive, state_is

MIB = 1 << 20
# `TENSORGATE_TEST_MIB=1024` for a policy of 1 GiB.
SIZE = int(os.environ.get("TENSORGATE_TEST_MIB", "200"))


class Peak:
    """The most private memory that a node has until the end, as often as one can look."""

    def __init__(self, node):
        self.node, self.most, self.ended = node, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.ended.wait(0.002):
            self.most = max(self.most, private(self.node))

    def end(self):
        self.ended.set()
        self.thread.join()
        return self.most


def private(node):
    return node.peak_memory()["RssAnon"]


def latched(ros, count):
    """Bytes of all messages in the histories of the node's writers, serialized as they are there:
    a late joiner gets each of them."""
    sizes = {PolicyManifest: [], TensorFragment: []}
    for kind, topic, depth in (PolicyManifest, "manifest", 1), (TensorFragment, "fragments", count):
        profile = qos.QoSProfile(depth=depth, **LATCHED)
        take = lambda data, kind=kind: sizes[kind].append(len(data))
        ros.create_subscription(kind, f"/tensorgate/{topic}", take, profile, raw=True)
    complete = {PolicyManifest: 1, TensorFragment: count}
    arrived = lambda: complete == {kind: len(each) for kind, each in sizes.items()}
    ros.wait_for(arrived, "every latched message")
    return sum(map(sum, sizes.values()))


def test_publishing_takes_little_private_memory_beside_what_is_latched(tmp_path, gate, ros):
    random = np.random.default_rng(3)
    tensor = random.standard_normal((8, MIB // 4), dtype=np.float32)
    signed = Signed(tmp_path, {f"layer.{i}.weight": tensor for i in range(SIZE // 8)})
    # The node waits for this lock when the weights are proven, before it publishes: so that can be
    # looked at.
    with conftest.waiting_with_proven_weights(tmp_path, signed, gate, ros) as node:
        before, peak = private(node), Peak(node)
    try:
        subscriber = Subscriber(ros)
        ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
        ros.wait_for(lambda: subscriber.manifests, "the manifest")
    finally:
        most = peak.end()
    after = private(node)
    history = latched(ros, subscriber.manifests[-1].fragment_count)
    own = max(after, most) - before - history
    print(
        f"\n{SIZE} MiB of weights: private memory {before / MIB:.1f} MiB at the start, "
        f"at most {most / MIB:.1f} until it was ready, then {after / MIB:.1f}; "
        f"the middleware latches {history / MIB:.1f} of it, the rest grew by {own / MIB:.1f}"
    )
    assert history > SIZE * MIB, "the measure of what is latched"
    assert after > history, "which is private memory of the node"
    assert own <= 60 * MIB


def large(home):
    tensor = np.random.default_rng(3).standard_normal((8, MIB // 4), dtype=np.float32)
    return Signed(home, {f"layer.{i}.weight": tensor for i in range(SIZE // 8)})


def test_pulled_weights_take_no_private_memory(tmp_path, gate, ros):
    signed = large(tmp_path)
    node = gate(policy=signed.directory, trust=signed.trust, latch_limit_mib=0)
    observer = Subscriber(ros)
    ros.wait_for(state_is(observer, Status.STATE_READY), "STATE_READY")
    ros.wait_for(lambda: observer.manifests, "the manifest")
    before, peak = private(node), Peak(node)
    try:
        late = Subscriber(ros, trust=signed.trust)
        ros.wait_for(lambda: late.policy, "the policy", 300)
    finally:
        most = peak.end()
    after = private(node)
    print(
        f"\n{SIZE} MiB of weights, pulled in {late.complete_after:.2f} s: private memory "
        f"{before / MIB:.1f} MiB before, at most {most / MIB:.1f} meanwhile, {after / MIB:.1f} after"
    )
    assert late.pulled == observer.manifests[0].fragment_count
    assert after <= 60 * MIB


DEAF = """
import os, signal, sys, rclpy
from tensorgate_msgs.msg import PolicyManifest
from tensorgate_msgs.srv import GetFragments
rclpy.init()
node = rclpy.create_node("deaf")
client = node.create_client(GetFragments, "/tensorgate/get_fragments")
first = GetFragments.Request(session_id=list(bytes.fromhex(sys.argv[1])), epoch=1, count=0xFFFFFFFF)
answer = client.call_async(first)
while not answer.done():
    rclpy.spin_once(node, timeout_sec=0.5)
    if not answer.done():
        answer = client.call_async(first)
for _ in range(100):
    client.call_async(first)
print("asked", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_reader_that_stops_reading_costs_a_bounded_memory(tmp_path, gate, ros):
    """It asks for a hundred batches, and then acknowledges nothing."""
    signed = large(tmp_path)
    node = gate(policy=signed.directory, trust=signed.trust, latch_limit_mib=0)
    observer = Subscriber(ros)
    ros.wait_for(state_is(observer, Status.STATE_READY), "STATE_READY")
    ros.wait_for(lambda: observer.manifests, "the manifest")
    session = observer.manifests[0].session_id.tobytes().hex()
    command = [sys.executable, "-c", DEAF, session]
    before, peak = private(node), Peak(node)
    deaf = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert deaf.stdout.readline() == "asked\n"
        count = len(observer.statuses)
        ros.wait_for(lambda: len(observer.statuses) > count + 50, "heartbeats meanwhile")
        after = private(node)
    finally:
        most = peak.end()
        deaf.kill()
        deaf.wait()
    print(
        f"\na deaf reader: private memory {before / MIB:.1f} MiB before, at most {most / MIB:.1f} "
        f"meanwhile, {after / MIB:.1f} while it is deaf"
    )
    assert after - before <= 10 * 4 * MIB + 16 * MIB, "ten answers of 4 MiB, and little besides"
    assert node.stop() == 0


def libasan():
    command = ["cc", "-print-file-name=libasan.so"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert "/" in path, "no libasan; hint: it is part of gcc (libasan8, libasan)"
    return path


def test_the_running_gate_frees_nothing_wrongly_and_loses_nothing(tmp_path, gate, ros):
    """With gcc's AddressSanitizer and LeakSanitizer in the allocator's place, to the end. What ROS
    may leak once is not ours: that is fewer allocations than there are fragments."""
    signed = Signed(tmp_path, conftest.small_tensors())
    watched = ["env", f"LD_PRELOAD={libasan()}", "ASAN_OPTIONS=detect_leaks=1:atexit=1"]
    watched.append("LSAN_OPTIONS=exitcode=0")
    node = gate(under=watched, policy=signed.directory, trust=signed.trust, fragment_size_kib=64)
    count = receive(ros, signed).manifests[0].fragment_count
    assert node.stop() == 0, node.text()
    assert "AddressSanitizer exit stats" in node.text(), "it did not watch"
    leaked = re.search(r"byte\(s\) leaked in (\d+) allocation", node.text())
    assert leaked is None or int(leaked[1]) < count == 46, node.text()
