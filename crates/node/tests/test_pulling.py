"""Pulling from servers that are slow, busy, forgetful and hostile: each serves, or withholds, the
genuine fragments of a policy that the real gate published."""

import hashlib
import json
import threading
import time
from base64 import b64decode

import numpy as np
import pytest
import rclpy
from conftest import Node, Signed
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from tensorgate_client.ros import PolicySubscriber
from tensorgate_msgs.msg import PolicyManifest, PolicyStatus, TensorFragment
from tensorgate_msgs.srv import GetFragments

NUMBERS = np.arange(5 << 20, dtype=np.float32)


def latched(depth):
    return QoSProfile(depth=depth, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """What a real gate publishes of 21 MB in 21 fragments, and who signed it."""
    home = tmp_path_factory.mktemp("published")
    signed = Signed(home, {"large": NUMBERS, "small": np.array([1.0, 2.0], dtype=np.float32)})
    rclpy.init()
    gate = Node(home, policy=signed.directory, trust=signed.trust)
    try:
        manifest, fragments = collect(gate)
        assert gate.stop() == 0
    finally:
        gate.process.kill()
        gate.process.wait()
        rclpy.shutdown()
    return signed, manifest, fragments


def collect(gate):
    node = rclpy.create_node("collector")
    manifests, fragments = [], {}
    qos = latched(100)
    node.create_subscription(PolicyManifest, "/tensorgate/manifest", manifests.append, qos)
    take = lambda fragment: fragments.setdefault(fragment.fragment_index, fragment)
    node.create_subscription(TensorFragment, "/tensorgate/fragments", take, qos)
    end = time.monotonic() + 60
    while not manifests or len(fragments) < manifests[0].fragment_count:
        assert time.monotonic() < end and gate.process.poll() is None, gate.text()
        rclpy.spin_once(node, timeout_sec=0.05)
    node.destroy_node()
    return manifests[0], [fragments[index] for index in sorted(fragments)]


class Server:
    """Announces the policy as one that is pulled, and answers as `answer` says."""

    def __init__(self, published, answer, delivery=PolicyManifest.DELIVERY_PULLED):
        _, self.manifest, self.fragments = published
        self.answer, self.asked, self.beats = answer, [], 0
        self.manifest.delivery = delivery
        self.node = rclpy.create_node("tensorgate")
        self.node.create_publisher(PolicyManifest, "~/manifest", latched(1)).publish(self.manifest)
        self.statuses = self.node.create_publisher(PolicyStatus, "~/status", 1)
        self.node.create_timer(0.1, self.beat)
        self.node.create_service(GetFragments, "~/get_fragments", self.serve)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin)
        self.thread.start()

    def digest(self):
        payload = b64decode(json.loads(bytes(self.manifest.envelope))["payload"])
        return hashlib.sha256(payload).digest()

    def beat(self):
        self.beats += 1
        status = PolicyStatus(epoch=self.manifest.epoch, sequence=self.beats)
        status.session_id, status.manifest_digest = self.manifest.session_id, list(self.digest())
        status.state, status.lease.nanosec = PolicyStatus.STATE_READY, 900_000_000
        self.statuses.publish(status)

    def serve(self, request, response):
        self.asked.append((request.first, request.count, time.monotonic()))
        assert list(request.session_id) == list(self.manifest.session_id)
        return self.answer(self, request, response) or response

    def close(self):
        self.executor.shutdown()
        self.thread.join()
        self.node.destroy_node()


def serve(server, request, response):
    """The genuine service: what is asked for, in order, up to 8 MiB."""
    last = request.first + min(request.count, 8)
    response.result = GetFragments.Response.RESULT_OK
    response.fragments = server.fragments[request.first : last]


def one_by_one(server, request, response):
    serve(server, request, response)
    response.fragments = response.fragments[:1]


def busy_at_first(server, request, response):
    if len(server.asked) < 4:
        response.result = GetFragments.Response.RESULT_BUSY
    else:
        serve(server, request, response)


def with_a_lie_in_between(server, request, response):
    """Each second answer is forged, and says that all is well."""
    serve(server, request, response)
    if len(server.asked) % 2:
        forged = TensorFragment(session_id=request.session_id, epoch=request.epoch)
        forged.fragment_index, forged.data = request.first, bytes(1 << 20)
        response.fragments = [forged] * 4


def more_than_was_asked_for(server, request, response):
    serve(server, request, response)
    response.fragments = server.fragments[request.first :] + server.fragments[: request.first]


@pytest.fixture
def server(published):
    servers = []

    def start(*arguments, **options):
        servers.append(Server(published, *arguments, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def robot(ros, published):
    told = []
    subscriber = PolicySubscriber(ros, published[0].trust, on_rejected=told.append)
    return subscriber, told


def check(policy):
    assert np.array_equal(policy["large"], NUMBERS) and list(policy["small"]) == [1.0, 2.0]


@pytest.mark.parametrize(
    "answer", [serve, one_by_one, busy_at_first, with_a_lie_in_between, more_than_was_asked_for]
)
def test_a_policy_is_pulled_from_a_server_that(published, server, ros, answer):
    serving = server(answer)
    subscriber, told = robot(ros, published)
    ros.wait_for(lambda: subscriber.active, "the policy")
    check(subscriber.active)
    if answer is with_a_lie_in_between:
        assert {error.code for error in told} == {"digest-mismatch"}
    else:
        assert told == []
    assert not list(ros.subscriptions)[-1].topic_name.endswith("fragments"), "none is latched"
    if answer is serve:
        assert len(serving.asked) < 10, "in batches"


def test_with_many_threads_answers_are_taken_one_at_a_time_with_all_else(published, server, ros):
    """Somebody announces garbage all the while that answers are refused."""
    inside, overlaps, told, codes = threading.Lock(), [], [], set()

    def refused(error):
        if not inside.acquire(blocking=False):
            return overlaps.append(error)
        codes.add(error.code)
        time.sleep(0.2)
        inside.release()

    def lies_until_told(serving, request, response):
        serve(serving, request, response)
        if len(serving.asked) < 5:
            forged = TensorFragment(session_id=request.session_id, epoch=request.epoch)
            forged.fragment_index, forged.data = request.first, bytes(1 << 20)
            response.fragments = [forged]

    serving = server(lies_until_told)
    trust = published[0].trust
    subscriber = PolicySubscriber(ros, trust, on_rejected=refused, on_policy=told.append)
    executor = MultiThreadedExecutor(num_threads=4)
    executor.add_node(ros)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    garbage = serving.node.create_publisher(PolicyManifest, "~/manifest", latched(1))
    try:
        end = time.monotonic() + 60
        while not told or len(serving.asked) < 5:
            assert time.monotonic() < end, (subscriber.state, codes)
            garbage.publish(PolicyManifest(epoch=len(serving.asked)))
            time.sleep(0.05)
    finally:
        executor.shutdown()
        thread.join()
    check(subscriber.policy)
    assert "digest-mismatch" in codes and len(codes) > 1
    assert overlaps == [] and len(told) == 1


def test_an_answer_that_is_lost_is_asked_for_again(published, server, ros):
    """The server hangs for longer than an answer is waited for, and then has forgotten."""

    def forgets(serving, request, response):
        if len(serving.asked) == 2:
            time.sleep(3)
            response.result = GetFragments.Response.RESULT_FAILED
        else:
            serve(serving, request, response)

    serving = server(forgets)
    subscriber, _ = robot(ros, published)
    ros.wait_for(lambda: subscriber.active, "the policy")
    check(subscriber.active)
    firsts = [first for first, _, _ in serving.asked]
    assert firsts.count(firsts[1]) > 1


def test_what_is_latched_and_does_not_come_is_pulled(published, server, ros):
    """As a reader without enough depth sees it: nothing comes over the topic."""
    server(serve, delivery=PolicyManifest.DELIVERY_LATCHED)
    begun = time.monotonic()
    subscriber, _ = robot(ros, published)
    ros.wait_for(lambda: subscriber.active, "the policy")
    check(subscriber.active)
    assert time.monotonic() - begun > 10, "after it was waited for"


@pytest.mark.parametrize("lie", ["empty", "others", "failed", "unknown"])
def test_a_hostile_server_is_asked_ever_more_rarely(published, server, ros, lie):
    def answer(serving, request, response):
        response.result = GetFragments.Response.RESULT_OK
        if lie == "others":
            response.fragments = [TensorFragment(fragment_index=2**32 - 1, data=bytes(100))] * 500
        elif lie != "empty":
            response.result = {"failed": GetFragments.Response.RESULT_FAILED, "unknown": 255}[lie]

    serving = server(answer)
    subscriber, _ = robot(ros, published)
    ros.wait_for(lambda: len(serving.asked) >= 5, "five questions")
    moments = [moment for _, _, moment in serving.asked]
    pauses = [later - sooner for sooner, later in zip(moments, moments[1:])]
    # 0.1, 0.2, 0.4, 0.8 s: whatever this machine adds, they are no shorter.
    for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8)):
        assert pause > 0.9 * least, pauses
    assert subscriber.state == "receiving" and subscriber.active is None
    # It does not keep the genuine fragments away.
    serving.answer = serve
    ros.wait_for(lambda: subscriber.active, "the policy")
    check(subscriber.active)
