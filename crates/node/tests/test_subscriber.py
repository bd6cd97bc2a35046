"""`PolicySubscriber` with the real gate: early, late, by hand, and when things fail."""

import base64
import contextlib
import gc
import json
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import rclpy
from conftest import REPO, Signed, small_tensors
from rclpy.executors import MultiThreadedExecutor, SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile
from tensorgate_client import well_known
from tensorgate_client.ros import PolicySubscriber
from tensorgate_msgs.msg import PolicyManifest, PolicyStatus


class Robot:
    """A subscriber that writes down what it is told, and in which thread."""

    def __init__(self, node, signed, **options):
        self.told, self.threads = [], set()
        tell = {f"on_{word}": self.teller(word) for word in ("policy", "stale", "revoked")}
        self.rejected = []
        self.subscriber = PolicySubscriber(
            node, signed.trust, **{"on_rejected": self.rejected.append, **tell, **options}
        )

    def teller(self, word):
        def tell(policy):
            self.told.append((word, policy.sequence))
            self.threads.add(threading.current_thread())

        return tell

    def is_active(self):
        return self.subscriber.active is not None

    def heard(self, *told):
        return lambda: self.told == list(told)


@pytest.fixture
def signed(tmp_path):
    return Signed(tmp_path, small_tensors())


def check_arrays(policy):
    expected = small_tensors()
    assert sorted(policy) == sorted(expected)
    for name, array in dict(policy).items():
        assert array.dtype == expected[name].dtype and array.shape == expected[name].shape
        assert np.array_equal(array, expected[name])


@pytest.mark.parametrize("early", [True, False])
def test_early_and_late_it_gets_the_policy(signed, gate, ros, early):
    if early:
        robot = Robot(ros, signed, repo=REPO)
        node = gate(policy=signed.directory, trust=signed.trust)
    else:
        node = gate(policy=signed.directory, trust=signed.trust)
        ros.wait_for(lambda: "publishing" in node.text(), "the gate")
        robot = Robot(ros, signed, repo=REPO)
    assert robot.subscriber.state == "no-policy" and robot.subscriber.active is None
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    check_arrays(robot.subscriber.active)
    end = time.monotonic() + 1
    ros.wait_for(lambda: time.monotonic() > end, "a second")
    assert robot.told == [("policy", 1)] and robot.rejected == []
    assert robot.threads == {threading.main_thread()}, "in the executor"
    assert robot.subscriber.publishers == 1


@pytest.mark.parametrize("executor", [SingleThreadedExecutor, MultiThreadedExecutor])
def test_it_works_with_either_executor(signed, gate, ros, executor):
    gate(policy=signed.directory, trust=signed.trust)
    robot, executor = Robot(ros, signed), executor()
    executor.add_node(ros)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        end = time.monotonic() + 60
        # A control loop beside the executor.
        while not robot.is_active():
            assert time.monotonic() < end
            time.sleep(0.01)
        check_arrays(robot.subscriber.active)
        while robot.told != [("policy", 1)]:
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        executor.shutdown()
        thread.join()


def test_a_remapped_topic_is_followed_and_the_others_stay(signed, gate):
    gate("-r", "~/manifest:=/elsewhere/announced", policy=signed.directory, trust=signed.trust)
    rule = ["--ros-args", "-r", "/tensorgate/manifest:=/elsewhere/announced"]
    rclpy.init()
    node = rclpy.create_node("remapped", cli_args=rule)
    try:
        robot = Robot(node, signed)
        assert robot.subscriber.gate == "/tensorgate"
        end = time.monotonic() + 60
        while robot.told != [("policy", 1)] or robot.subscriber.publishers != 1:
            assert time.monotonic() < end, robot.subscriber.state
            rclpy.spin_once(node, timeout_sec=0.05)
        check_arrays(robot.subscriber.active)
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_on_the_gates_machine_it_maps_the_gates_pages(tmp_path, signed, gate, ros):
    run = tmp_path / "run"
    run.mkdir(mode=0o755)
    node = gate(policy=signed.directory, trust=signed.trust, handoff=run / "gate")
    ros.wait_for(lambda: "publishing" in node.text(), "the gate")
    robot = Robot(ros, signed, handoff=run / "gate")
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    check_arrays(robot.subscriber.active)
    assert inodes("self") & inodes(node.process.pid), "the same memory in both processes"


def inodes(pid):
    """Of the memory that holds policies."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {int(line.split()[4]) for line in maps if "/memfd:tensorgate" in line}


def test_it_finds_the_gates_socket_by_itself(tmp_path, signed, gate, ros, monkeypatch):
    # Root's is /run/tensorgate, whatever this says.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    name = f"/test{os.getpid()}/tensorgate"
    namespace = name.removesuffix("/tensorgate")
    options = {"policy": signed.directory, "trust": signed.trust, "handoff": "auto"}
    node = gate("-r", f"__ns:={namespace}", **options)
    ros.wait_for(lambda: "publishing" in node.text(), "the gate")
    robot = Robot(ros, signed, gate=name)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    check_arrays(robot.subscriber.active)
    assert inodes("self") & inodes(node.process.pid), "the same memory in both processes"
    # Where it is told not to, it does not.
    gc.collect()
    robot.subscriber.destroy()
    alone = Robot(ros, signed, gate=name, handoff=None)
    ros.wait_for(alone.heard(("policy", 1)), "the policy over the topics")
    del robot
    gc.collect()
    assert not inodes("self") & inodes(node.process.pid)
    assert well_known(name).exists()
    assert node.stop() == 0 and not well_known(name).exists()


def listen(path):
    """Where a gate would."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(str(path))
    server.listen()
    return server


def hand_over_garbage(server):
    with contextlib.suppress(OSError):  # closed when the test ends
        while True:
            line, _ = server.accept()
            line.send(bytes(72))
            line.close()


@pytest.mark.parametrize("what", ["nothing", "garbage", "silence"])
def test_without_a_hand_off_it_takes_the_topics(tmp_path, signed, gate, ros, what):
    place = tmp_path / "gate.sock"
    server = listen(place) if what != "nothing" else None
    if what == "garbage":
        threading.Thread(target=hand_over_garbage, args=[server], daemon=True).start()
    gate(policy=signed.directory, trust=signed.trust)
    robot = Robot(ros, signed, handoff=place)
    ticks = []
    ros.create_timer(0.05, lambda: ticks.append(robot.subscriber.state))
    ros.wait_for(robot.heard(("policy", 1)), "the policy over the topics")
    check_arrays(robot.subscriber.active)
    if what == "silence":
        assert ticks.count("receiving") > 10, "the executor did not wait for the socket"
    if server:
        server.close()


def test_a_restarted_gate_goes_on_where_it_stopped(signed, gate, ros):
    first = gate(policy=signed.directory, trust=signed.trust)
    robot = Robot(ros, signed)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    policy = robot.subscriber.active
    assert first.stop() == 0
    ros.wait_for(robot.heard(("policy", 1), ("stale", 1)), "the withdrawal")
    assert robot.subscriber.active is None and robot.subscriber.state == "stale"
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(robot.heard(("policy", 1), ("stale", 1), ("policy", 1)), "the policy again")
    assert robot.subscriber.active is policy, "without a transfer"


def test_when_heartbeats_stop_the_robot_stops(signed, gate, ros):
    node = gate(policy=signed.directory, trust=signed.trust)
    robot = Robot(ros, signed)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    node.process.kill()
    ros.wait_for(robot.heard(("policy", 1), ("stale", 1)), "the word that it is stale")
    assert robot.subscriber.state == "stale" and robot.subscriber.active is None
    assert robot.subscriber.policy.sequence == 1, "and can still be read"
    check_arrays(robot.subscriber.policy)


def test_a_newer_release_replaces_it_in_one_step_and_an_older_does_not_return(
    tmp_path, signed, gate, ros
):
    state = tmp_path / "memory"
    first = gate(policy=signed.directory, trust=signed.trust)
    robot = Robot(ros, signed, state=state)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    old = robot.subscriber.active["actor.0.bias"]
    assert first.stop() == 0
    signed.sign("--replace", sequence=2)
    second = gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(robot.heard(("policy", 1), ("stale", 1), ("policy", 2)), "release 2")
    assert np.array_equal(old, robot.subscriber.active["actor.0.bias"]), "still readable"
    assert second.stop() == 0
    robot.subscriber.destroy()
    # The robot is started anew, and somebody has an old gate: its store knows of nothing newer.
    signed.sign("--replace", sequence=1)
    gate(policy=signed.directory, trust=signed.trust, store=tmp_path / "another")
    reborn = Robot(ros, signed, state=state)
    ros.wait_for(lambda: reborn.rejected, "the refusal")
    assert reborn.rejected[0].code == "manifest-rollback"
    assert reborn.subscriber.refusals == (1, "manifest-rollback")
    assert reborn.subscriber.state == "no-policy" and reborn.told == []


def test_a_revocation_stops_it_at_once_and_for_good_whoever_says_so(signed, gate, ros):
    """Forged, since this gate has revoked nothing: to stop a robot is all that it can do."""
    gate(policy=signed.directory, trust=signed.trust)
    robot = Robot(ros, signed)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    forger = ros.create_publisher(PolicyStatus, "/tensorgate/status", 10)
    forged = PolicyStatus(state=PolicyStatus.STATE_REVOKED)
    forged.manifest_digest = list(bytes.fromhex(robot.subscriber.policy.manifest_digest))
    ros.wait_for(lambda: forger.get_subscription_count() > 0, "the match")
    forger.publish(forged)
    told = ("policy", 1), ("revoked", 1)
    ros.wait_for(robot.heard(*told), "the revocation")
    end = time.monotonic() + 1
    ros.wait_for(lambda: time.monotonic() > end, "more heartbeats of the gate")
    assert robot.subscriber.state == "revoked" and robot.told == list(told)


def test_a_second_publisher_is_noticed_and_what_it_forges_refused(signed, gate, ros):
    gate(policy=signed.directory, trust=signed.trust)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    genuine = []
    ros.create_subscription(PolicyManifest, "/tensorgate/manifest", genuine.append, latched)
    robot = Robot(ros, signed)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    rogue = ros.create_publisher(PolicyManifest, "/tensorgate/manifest", latched)
    ros.wait_for(lambda: robot.subscriber.publishers == 2, "the second publisher to be noticed")
    rogue.publish(forged(*genuine))
    ros.wait_for(lambda: robot.rejected, "the refusal")
    assert robot.rejected[0].code == "signature-invalid"
    assert robot.is_active() and robot.told == [("policy", 1)]


def forged(manifest):
    envelope = json.loads(bytes(manifest.envelope))
    envelope["signatures"] = [{"sig": base64.b64encode(bytes(64)).decode()}]
    manifest.envelope, manifest.epoch = json.dumps(envelope).encode(), 7
    return manifest


def test_a_rogue_that_latches_hides_nothing_from_who_comes_late(signed, gate, ros):
    """All that is latched arrives before the first of it is looked at."""
    gate(policy=signed.directory, trust=signed.trust)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    genuine = []
    reader = ros.create_subscription(PolicyManifest, "/tensorgate/manifest", genuine.append, latched)
    ros.wait_for(lambda: genuine, "the manifest")
    ros.destroy_subscription(reader)
    forgery = forged(*genuine)
    rogue = rclpy.create_node("rogue")
    for _ in range(5):
        rogue.create_publisher(PolicyManifest, "/tensorgate/manifest", latched).publish(forgery)
    robot = Robot(ros, signed)
    time.sleep(2)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    assert robot.subscriber.refusals == (5, "signature-invalid")
    rogue.destroy_node()


def test_garbage_on_the_topics_ends_nothing(signed, gate, ros):
    robot = Robot(ros, signed)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    manifests = ros.create_publisher(PolicyManifest, "/tensorgate/manifest", latched)
    statuses = ros.create_publisher(PolicyStatus, "/tensorgate/status", 10)
    ros.wait_for(lambda: statuses.get_subscription_count() > 0, "the match")
    for count in (0, 1, 2**32 - 1):
        manifests.publish(PolicyManifest(epoch=2**64 - 1, fragment_count=count, fragment_size=count))
        statuses.publish(PolicyStatus(epoch=2**64 - 1, sequence=2**64 - 1, state=255))
        ros.wait_for(lambda seen=len(robot.rejected): len(robot.rejected) > seen, "a refusal")
        time.sleep(1.1)  # refusals that are alike are told once a second
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(robot.heard(("policy", 1)), "the policy all the same")


def test_arrays_are_views_of_sealed_memory(tmp_path, gate, ros):
    tensors = {"large": np.arange(16 << 20, dtype=np.float32)}
    signed = Signed(tmp_path, tensors)
    gate(policy=signed.directory, trust=signed.trust)
    robot = Robot(ros, signed)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    gc.collect()
    before = private_memory()
    array = robot.subscriber.active["large"]
    assert float(array.sum(dtype=np.float64)) == float(tensors["large"].sum(dtype=np.float64))
    grown = private_memory() - before
    assert grown < 8 << 20, f"{grown} bytes of private memory for a view of {array.nbytes}"
    assert not array.flags.writeable and not array.flags.owndata
    with pytest.raises(ValueError):
        array[0] = 1
    with pytest.raises(ValueError):
        array.flags.writeable = True
    again = robot.subscriber.active["large"]
    address = lambda array: array.__array_interface__["data"][0]
    assert address(again) == address(array), "mapped once"
    # The array outlives everything else.
    robot.subscriber.destroy()
    del robot, again
    gc.collect()
    assert array[-1] == (16 << 20) - 1


def private_memory():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))


def test_a_destroyed_subscriber_leaves_the_node_as_it_was(signed, gate, ros):
    gate(policy=signed.directory, trust=signed.trust)
    entities = lambda: [
        len(list(kind)) for kind in (ros.subscriptions, ros.clients, ros.timers, ros.guards)
    ]
    before = entities()
    robot = Robot(ros, signed)
    ros.wait_for(robot.is_active, "the policy")
    policy = robot.subscriber.active
    robot.subscriber.destroy()
    assert entities() == before
    check_arrays(policy)
    end = time.monotonic() + 1
    ros.wait_for(lambda: time.monotonic() > end, "a second")
    assert robot.told in ([], [("policy", 1)]) and not robot.is_active()


def test_what_the_gate_does_not_latch_is_pulled(tmp_path, gate, ros):
    tensors = {"large": np.arange(16 << 20, dtype=np.float32)}
    signed = Signed(tmp_path, tensors)
    gate(policy=signed.directory, trust=signed.trust, latch_limit_mib=0)
    robot = Robot(ros, signed)
    ros.wait_for(robot.heard(("policy", 1)), "the policy")
    assert np.array_equal(robot.subscriber.active["large"], tensors["large"])
    assert robot.rejected == []
