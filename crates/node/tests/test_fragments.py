"""Every fragment reaches whoever wants it: late, with too little history, over lossy links, by the
dozen, latched or pulled."""

import random
import time

import conftest
import numpy as np
import pytest
import rclpy
import rclpy.qos as qos
from conftest import Signed
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyManifest
from tensorgate_msgs.msg import PolicyStatus as Status
from tensorgate_msgs.srv import GetFragments
from test_gate import receive, state_is

LATCHED, PULLED = 512, 0  # MiB, as `latch_limit_mib`
LARGEST = 0xFFFF_FFFF


def serve(tmp_path, gate, ros, limit, **more):
    """A gate with 46 fragments of at most 64 KiB."""
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(
        policy=signed.directory,
        trust=signed.trust,
        fragment_size_kib=64,
        latch_limit_mib=limit,
        **more,
    )
    observer = Subscriber(ros)
    ros.wait_for(state_is(observer, Status.STATE_READY), "STATE_READY")
    ros.wait_for(lambda: observer.manifests, "the manifest")
    return signed, node, observer


def publishers(ros, topic):
    infos = ros.get_publishers_info_by_topic(topic)
    return [info for info in infos if info.node_name == "tensorgate"]


def test_small_weights_are_latched(tmp_path, gate, ros):
    signed, _, observer = serve(tmp_path, gate, ros, LATCHED)
    assert observer.manifests[0].delivery == PolicyManifest.DELIVERY_LATCHED
    late = receive(ros, signed)
    assert (late.topics, late.pulled) == (46, 0)
    (fragments,) = publishers(ros, "/tensorgate/fragments")
    assert fragments.qos_profile.durability == qos.DurabilityPolicy.TRANSIENT_LOCAL


def test_large_weights_are_pulled(tmp_path, gate, ros):
    """2 MiB is less than the weights have."""
    signed, _, observer = serve(tmp_path, gate, ros, 2)
    assert observer.manifests[0].delivery == PolicyManifest.DELIVERY_PULLED
    late = receive(ros, signed)
    assert (late.topics, late.pulled) == (0, 46)
    (fragments,) = publishers(ros, "/tensorgate/fragments")
    assert fragments.qos_profile.durability == qos.DurabilityPolicy.VOLATILE


def test_an_early_joiner_pulls(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    early = Subscriber(ros, trust=signed.trust)
    gate(policy=signed.directory, trust=signed.trust, latch_limit_mib=PULLED)
    ros.wait_for(lambda: early.policy, "the policy")


def test_a_subscriber_with_the_default_depth_pulls_what_its_history_lost(tmp_path, gate, ros):
    signed, _, _ = serve(tmp_path, gate, ros, LATCHED)
    late = Subscriber(ros, trust=signed.trust, depth=10)
    ros.wait_for(lambda: late.fragments, "the manifest")
    # What arrives meanwhile does not fit.
    time.sleep(3)
    ros.wait_for(lambda: late.policy, "the policy")
    assert late.topics < 46
    assert late.pulled >= 46 - late.topics
    original = (signed.directory / "model.safetensors").read_bytes()
    assert late.bytes_of("model.safetensors")[:] == original


class Loses:
    """Every third one."""

    def __init__(self):
        self.count = 0

    def __call__(self, fragment):
        self.count += 1
        return [] if self.count % 3 == 0 else [fragment]


class Reorders:
    """Eight at a time, in any order, and some of them twice. The last few never come."""

    def __init__(self):
        self.kept, self.random = [], random.Random(5)

    def __call__(self, fragment):
        self.kept.append(fragment)
        if len(self.kept) < 8:
            return []
        batch, self.kept = self.kept, []
        self.random.shuffle(batch)
        return [*batch, batch[0]]


@pytest.mark.parametrize("link", [Loses, Reorders])
def test_a_bad_link(tmp_path, gate, ros, link):
    signed, _, _ = serve(tmp_path, gate, ros, LATCHED)
    late = Subscriber(ros, trust=signed.trust, spoil=link())
    ros.wait_for(lambda: late.policy, "the policy")
    assert late.pulled > 0
    original = (signed.directory / "model.safetensors").read_bytes()
    assert late.bytes_of("model.safetensors")[:] == original


@pytest.fixture
def large_data(monkeypatch):
    """Fast DDS over TCP and larger shared memory; read when a participant is made."""
    monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", "LARGE_DATA")


@pytest.mark.parametrize("limit", [LATCHED, PULLED])
def test_over_the_large_data_transports(large_data, tmp_path, gate, ros, limit):
    tensors = {"w": np.random.default_rng(2).standard_normal((4096, 2048), dtype=np.float32)}
    signed = Signed(tmp_path, tensors)
    gate(policy=signed.directory, trust=signed.trust, latch_limit_mib=limit)
    late = receive(ros, signed)
    assert (late.pulled > 0) == (limit == PULLED)


@pytest.mark.parametrize("limit", [LATCHED, PULLED])
def test_thirty_late_joiners(tmp_path, gate, ros, limit):
    signed, node, _ = serve(tmp_path, gate, ros, limit)
    executor = SingleThreadedExecutor()
    nodes = [rclpy.create_node(f"controller{i}", namespace=f"/robot{i}") for i in range(30)]
    for each in nodes:
        executor.add_node(each)
    joiners = [Subscriber(each, trust=signed.trust) for each in nodes]
    for joiner in joiners:
        joiner.puller.most = 8
    begun = time.monotonic()
    try:
        while not all(joiner.policy for joiner in joiners):
            assert time.monotonic() < begun + 120, f"{sum(not j.policy for j in joiners)} wait"
            executor.spin_once(timeout_sec=0.05)
    finally:
        executor.shutdown()
        for each in nodes:
            each.destroy_node()
    original = (signed.directory / "model.safetensors").read_bytes()
    for joiner in joiners:
        assert joiner.bytes_of("model.safetensors")[:] == original
    memory = node.peak_memory()["RssAnon"] / 1e6
    print(f"\n30 late joiners, latched up to {limit} MiB: all complete after "
          f"{time.monotonic() - begun:.2f} s; {memory:.0f} MB private memory of the gate")


def ask(ros, manifest, **changed):
    request = GetFragments.Request(
        session_id=manifest.session_id, epoch=manifest.epoch, first=0, count=1
    )
    for name, value in changed.items():
        setattr(request, name, value)
    return ros.ask(GetFragments, "/tensorgate/get_fragments", request, "an answer")


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"session_id": bytes(16)}, "no such policy"),
        ({"epoch": 0}, "no such policy"),
        ({"epoch": 2}, "no such policy"),
        ({"epoch": 2**64 - 1}, "no such policy"),
        ({"count": 0}, "46 fragments"),
        ({"first": 46}, "46 fragments"),
        ({"first": LARGEST, "count": LARGEST}, "46 fragments"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, gate, ros, wrong, word):
    _, _, observer = serve(tmp_path, gate, ros, PULLED)
    if "session_id" in wrong:
        wrong = {"session_id": np.zeros(16, np.uint8)}
    answer = ask(ros, observer.manifests[0], **wrong)
    assert answer.result == GetFragments.Response.RESULT_REJECTED
    assert word in answer.message
    assert list(answer.fragments) == []


def test_an_answer_is_bounded_and_in_order(tmp_path, gate, ros):
    tensors = {"w": np.random.default_rng(2).standard_normal((4096, 4096), dtype=np.float32)}
    signed = Signed(tmp_path, tensors)
    gate(policy=signed.directory, trust=signed.trust, fragment_size_kib=1024, latch_limit_mib=0)
    observer = Subscriber(ros)
    ros.wait_for(lambda: observer.manifests, "the manifest")
    manifest = observer.manifests[0]
    answer = ask(ros, manifest, first=3, count=LARGEST)
    assert answer.result == GetFragments.Response.RESULT_OK
    assert [fragment.fragment_index for fragment in answer.fragments] == [3, 4, 5, 6]
    assert sum(len(fragment.data) for fragment in answer.fragments) <= 8 << 20
    (last,) = ask(ros, manifest, first=63, count=LARGEST).fragments
    assert (last.fragment_index, last.fragment_count, len(last.data)) == (63, 64, 1 << 20)
    assert (last.tensor_index, last.tensor_byte_offset) == (0, 63 << 20)
    (exactly,) = ask(ros, manifest, first=5, count=1).fragments
    original = (signed.directory / "model.safetensors").read_bytes()[-64 << 20 :]
    assert exactly.data.tobytes() == original[5 << 20 : 6 << 20]


def test_a_fragment_larger_than_an_answer_goes_alone(tmp_path, gate, ros):
    tensors = {"w": np.random.default_rng(2).standard_normal((4096, 2048), dtype=np.float32)}
    signed = Signed(tmp_path, tensors)
    gate(policy=signed.directory, trust=signed.trust, fragment_size_kib=8192, latch_limit_mib=0)
    late = receive(ros, signed)
    assert late.pulled == 4


def test_nothing_is_served_before_there_is_a_policy_nor_after(tmp_path, gate, ros):
    node = gate(policy="/nowhere", trust="/nowhere")
    nobody = PolicyManifest(epoch=1)
    assert ask(ros, nobody).result == GetFragments.Response.RESULT_REJECTED
    assert node.stop() == 0


@pytest.mark.parametrize("heard", [True, False])
def test_a_flood_of_requests_stops_neither_heartbeat_nor_others(tmp_path, gate, ros, heard):
    """Whether their answers can be sent or not: those of a client whose reader is never matched
    take the gate 100 ms each."""
    signed, node, observer = serve(tmp_path, gate, ros, PULLED)
    durability = qos.DurabilityPolicy.VOLATILE if heard else qos.DurabilityPolicy.TRANSIENT_LOCAL
    profile = qos.QoSProfile(depth=10, durability=durability)
    flood = ros.create_client(GetFragments, "/tensorgate/get_fragments", qos_profile=profile)
    manifest = observer.manifests[0]
    greedy = GetFragments.Request(
        session_id=manifest.session_id, epoch=manifest.epoch, first=0, count=LARGEST
    )
    timer = ros.create_timer(0.005, lambda: flood.call_async(greedy))
    first = observer.statuses[-1].sequence
    late = Subscriber(ros, trust=signed.trust)
    ros.wait_for(lambda: late.policy, "the policy, between the others' requests", 120)
    names = GetParameters.Request(names=["policy"])
    ros.ask(GetParameters, "/tensorgate/get_parameters", names, "a parameter")
    ros.wait_for(lambda: observer.statuses[-1].sequence > first + 30, "heartbeats")
    ros.destroy_timer(timer)
    assert {status.state for status in observer.statuses[-20:]} == {Status.STATE_READY}
    assert node.text().count("got no answer") < 60, "one line a second at most"
    assert node.stop() == 0
