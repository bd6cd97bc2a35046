"""Loading beside what runs: ~/load_policy as a service and as an action, ~/reload, the hot swap."""

import contextlib
import fcntl
import json
import os
import signal
import time
import uuid

import conftest
import numpy as np
import pytest
import rclpy.qos as qos
from action_msgs.msg import GoalInfo, GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from conftest import REPO, REVISION, Signed
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.action import ActionClient
from std_srvs.srv import Trigger
from subscriber import LATCHED, Subscriber
from tensorgate_msgs.action import LoadPolicy as LoadAction
from tensorgate_msgs.msg import PolicyStatus as Status
from tensorgate_msgs.srv import LoadPolicy
from test_diagnostics import Diagnosed
from test_lifecycle import Managed, is_state, ready
from unique_identifier_msgs.msg import UUID

Answer = LoadPolicy.Response


def policy(home, name, tensors=None, sequence=1, key=None):
    """Another policy of the same repository and key."""
    place = home / name
    place.mkdir()
    signed = Signed.__new__(Signed)
    signed.home, signed.directory = home, place / "policy"
    signed.directory.mkdir()
    (signed.directory / "config.json").write_text(json.dumps({"type": "mlp", "name": name}))
    conftest.save_file(tensors or conftest.small_tensors(), signed.directory / "model.safetensors")
    signed.trust = home / "trust.toml"
    signed.sign(sequence=sequence)
    return signed


@pytest.fixture
def running(tmp_path, gate, ros):
    """A gate with a policy in force."""
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros, trust=signed.trust)
    ros.wait_for(ready(subscriber), "STATE_READY")
    ros.wait_for(lambda: subscriber.policy, "the policy")
    return node, signed, subscriber


class Loads:
    """Calls ~/load_policy, once: to ask again would be another load."""

    def __init__(self, ros, gate="/tensorgate"):
        self.ros = ros
        self.client = ros.create_client(LoadPolicy, f"{gate}/load_policy")
        self.action = ActionClient(ros, LoadAction, f"{gate}/load_policy")
        ros.wait_for(self.client.service_is_ready, "~/load_policy")
        ros.wait_for(self.action.server_is_ready, "the action ~/load_policy")
        # The gate's side: it answers this node.
        ros.ask(GetState, f"{gate}/get_state", GetState.Request(), "the state")
        time.sleep(0.5)

    def begin(self, policy="", repo="", revision=""):
        request = LoadPolicy.Request(policy=str(policy), repo_id=repo, revision=revision)
        return self.client.call_async(request)

    def load(self, *args, **named):
        return self.end(self.begin(*args, **named))

    def end(self, future):
        self.ros.wait_for(future.done, "the answer of ~/load_policy")
        return future.result()

    def goal(self, policy, feedback=None, id=None):
        sent = self.action.send_goal_async(
            LoadAction.Goal(policy=str(policy)), feedback_callback=feedback, goal_uuid=id
        )
        return self.end(sent)

    def result(self, handle):
        return self.end(handle.get_result_async())


@contextlib.contextmanager
def locked(home):
    """Whoever records a release waits meanwhile."""
    with (home / "store" / "state" / "lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def digest(signed):
    """By the command, which remembers it elsewhere."""
    state = ["--state", signed.home / "elsewhere"]
    told = conftest.tensorgate("verify", signed.directory, "--trust", signed.trust, *state)
    return told["evidence"]["manifest"]


def test_a_newer_policy_takes_the_place_of_the_old(tmp_path, ros, running):
    node, signed, subscriber = running
    newer = policy(tmp_path, "newer", sequence=2)
    first = subscriber.statuses[-1]
    answer = Loads(ros).load(newer.directory)
    assert (answer.result, answer.code, answer.epoch) == (Answer.RESULT_OK, "", 2)
    ros.wait_for(lambda: subscriber.statuses[-1].epoch == 2, "epoch 2")
    status = subscriber.statuses[-1]
    assert status.state == Status.STATE_READY
    assert status.session_id.tobytes() == first.session_id.tobytes()
    assert status.manifest_digest.tobytes().hex() == digest(newer)
    ros.wait_for(lambda: subscriber.policy.sequence == 2, "the newer policy")
    assert json.loads(subscriber.policy.read("config.json"))["name"] == "newer"
    # It was in force without a break.
    assert {it.state for it in subscriber.statuses} <= {Status.STATE_READY, Status.STATE_LOADING}
    # The history of the old one is gone.
    ros.wait_for(lambda: ros.count_publishers("/tensorgate/fragments") == 1, "one publisher")
    assert node.stop() == 0


def damaged(home, name):
    signed = policy(home, name, sequence=5)
    path = signed.directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    return signed.directory


@pytest.mark.parametrize(
    ("bad", "result", "code"),
    [
        (lambda home: damaged(home, "bad"), Answer.RESULT_REJECTED, "digest-mismatch"),
        (lambda home: home / "nowhere", Answer.RESULT_FAILED, ""),
        (lambda _: "", Answer.RESULT_FAILED, ""),
        (lambda _: "nonsense\x01\n", Answer.RESULT_FAILED, ""),
        (lambda _: "a" * 64, Answer.RESULT_FAILED, ""),
        (lambda _: "/" + "x" * 1_000_000, Answer.RESULT_FAILED, ""),
    ],
)
def test_a_failed_load_changes_nothing(tmp_path, ros, running, bad, result, code):
    node, signed, subscriber = running
    before = subscriber.statuses[-1]
    loads = Loads(ros)
    answer = loads.load(bad(tmp_path))
    assert (answer.result, answer.code) == (result, code), answer.message
    assert answer.epoch == 1 and answer.message
    seen = len(subscriber.statuses)
    ros.wait_for(lambda: len(subscriber.statuses) > seen + 3, "heartbeats")
    after = subscriber.statuses[-1]
    assert (after.state, after.epoch) == (Status.STATE_READY, 1)
    assert after.manifest_digest.tobytes() == before.manifest_digest.tobytes()
    assert len(subscriber.manifests) == 1
    if code:
        (line,) = [line for line in node.text().splitlines() if "what is announced stays" in line]
        assert code in line
    # And the next is loaded as if nothing had been.
    assert loads.load(policy(tmp_path, "newer", sequence=2).directory).epoch == 2


def test_an_older_one_is_a_rollback(tmp_path, ros, running):
    _, signed, _ = running
    loads = Loads(ros)
    assert loads.load(policy(tmp_path, "newer", sequence=2).directory).result == Answer.RESULT_OK
    answer = loads.load(signed.directory)
    assert (answer.result, answer.code) == (Answer.RESULT_REJECTED, "manifest-rollback")
    assert answer.epoch == 2


def test_what_the_request_says_has_to_be_what_is_signed(tmp_path, ros, running):
    _, signed, _ = running
    loads = Loads(ros)
    newer = policy(tmp_path, "newer", sequence=2).directory
    answer = loads.load(newer, repo="acme/run")
    assert (answer.result, answer.code) == (Answer.RESULT_REJECTED, "repo-mismatch")
    answer = loads.load(newer, revision="f" * 40)
    assert (answer.result, answer.code) == (Answer.RESULT_REJECTED, "revision-mismatch")
    answer = loads.load(newer, repo=REPO, revision="main")
    assert (answer.result, answer.code) == (Answer.RESULT_REJECTED, "revision-not-pinned")
    answer = loads.load(newer, repo="../x")
    assert answer.result == Answer.RESULT_FAILED
    assert loads.load(newer, repo=REPO, revision=REVISION).result == Answer.RESULT_OK


def test_a_request_does_not_loosen_a_pin(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy=signed.directory, trust=signed.trust, repo="acme/run")
    loads = Loads(ros)
    answer = loads.load(signed.directory, repo=REPO)
    assert (answer.result, answer.code) == (Answer.RESULT_REJECTED, "repo-mismatch")


def test_one_at_a_time(tmp_path, ros, running):
    _, _, subscriber = running
    newer = policy(tmp_path, "newer", sequence=2)
    loads = Loads(ros)
    with locked(tmp_path):
        first = loads.begin(newer.directory)
        ros.spin_for(0.2)
        second = loads.load(newer.directory)
        assert (second.result, second.epoch) == (Answer.RESULT_BUSY, 1)
        handle = loads.goal(newer.directory)
        assert handle.accepted
        ended = loads.result(handle)
        assert ended.status == GoalStatus.STATUS_ABORTED
        assert ended.result.result == LoadAction.Result.RESULT_BUSY
        reload = ros.ask(Trigger, "/tensorgate/reload", Trigger.Request(), "the answer")
        assert not reload.success and "under way" in reload.message
        assert not first.done()
    assert loads.end(first).epoch == 2


def test_reload_takes_the_trust_policy_as_it_is_now(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    conftest.tensorgate("keygen", "--out", tmp_path / "other")
    signed.sign(key="other")
    gate(policy=signed.directory, trust=signed.trust)
    diagnosed = Diagnosed(ros)
    signed_by = lambda epoch, name: lambda: (
        diagnosed.arrays and {"epoch": epoch, "signers": name}.items() <= diagnosed.values().items()
    )
    ros.wait_for(signed_by("1", "release"), "epoch 1")
    reload = ros.create_client(Trigger, "/tensorgate/reload")
    Loads(ros)
    ros.wait_for(reload.service_is_ready, "~/reload")
    signed.trust.write_text(signed.trust.read_text().replace("release", "other"))
    future = reload.call_async(Trigger.Request())
    ros.wait_for(future.done, "the answer")
    assert future.result().success, future.result().message
    ros.wait_for(signed_by("2", "other"), "epoch 2")


def test_an_unconfigured_node_is_configured_by_a_load(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy="/nowhere", trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(is_state(subscriber, Status.STATE_FAILED), "STATE_FAILED")
    answer = Loads(ros).load(signed.directory)
    assert (answer.result, answer.epoch) == (Answer.RESULT_OK, 1)
    ros.wait_for(ready(subscriber), "STATE_READY")


def test_an_inactive_node_holds_what_was_loaded(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    managed = Managed(ros)
    subscriber = Subscriber(ros, trust=signed.trust)
    gate(policy=signed.directory, trust=signed.trust, autostart="false")
    managed.listen()
    assert managed.change("configure")
    loads = Loads(ros)
    newer = policy(tmp_path, "newer", sequence=2)
    answer = loads.load(newer.directory)
    assert (answer.result, answer.epoch) == (Answer.RESULT_OK, 0)
    assert managed.state() == "inactive" and not subscriber.manifests
    assert managed.change("activate")
    ros.wait_for(lambda: subscriber.policy and subscriber.policy.sequence == 2, "the newer one")
    assert managed.change("shutdown")
    answer = loads.load(newer.directory)
    assert (answer.result, answer.epoch) == (Answer.RESULT_FAILED, 0)


def test_the_action_tells_how_far_it_is(tmp_path, ros, running):
    _, _, subscriber = running
    newer = policy(tmp_path, "newer", sequence=2)
    said, statuses = [], []
    latched = qos.QoSProfile(depth=1, **LATCHED)
    topic = "/tensorgate/load_policy/_action/status"
    ros.create_subscription(GoalStatusArray, topic, statuses.append, latched)
    loads = Loads(ros)
    with locked(tmp_path):
        handle = loads.goal(newer.directory, feedback=lambda it: said.append(it.feedback))
        assert handle.accepted
        ros.wait_for(lambda: said, "feedback")
        ros.wait_for(lambda: statuses and statuses[-1].status_list, "the status of the goal")
        goal = statuses[-1].status_list[0]
        assert goal.status == GoalStatus.STATUS_EXECUTING
        assert bytes(goal.goal_info.goal_id.uuid) == bytes(handle.goal_id.uuid)
    ended = loads.result(handle)
    assert ended.status == GoalStatus.STATUS_SUCCEEDED
    assert (ended.result.result, ended.result.epoch) == (LoadAction.Result.RESULT_OK, 2)
    phases = [it.phase for it in said]
    assert phases == sorted(phases) and LoadAction.Feedback.PHASE_VERIFYING in phases
    ros.wait_for(lambda: statuses[-1].status_list[0].status == 4, "STATUS_SUCCEEDED")
    # Whoever asks later is told as well.
    assert loads.result(handle).status == GoalStatus.STATUS_SUCCEEDED


def test_a_canceled_load_changes_nothing(tmp_path, ros, running):
    node, _, subscriber = running
    loads = Loads(ros)
    with locked(tmp_path):
        handle = loads.goal(policy(tmp_path, "newer", sequence=2).directory)
        result = handle.get_result_async()
        # The last wait before the release is recorded, which cannot be taken back.
        ros.wait_for(lambda: "waiting for another process" in node.text(), "the word")
        canceled = loads.end(handle.cancel_goal_async())
        assert canceled.return_code == CancelGoal.Response.ERROR_NONE
        assert [bytes(it.goal_id.uuid) for it in canceled.goals_canceling] == [
            bytes(handle.goal_id.uuid)
        ]
    ended = loads.end(result)
    assert ended.status == GoalStatus.STATUS_CANCELED
    assert ended.result.result == LoadAction.Result.RESULT_CANCELED
    assert ended.result.epoch == 1
    assert subscriber.statuses[-1].state == Status.STATE_READY
    assert len(subscriber.manifests) == 1
    # Too late, and unknown.
    late = loads.end(handle.cancel_goal_async())
    assert late.return_code == CancelGoal.Response.ERROR_GOAL_TERMINATED
    assert loads.load(policy(tmp_path, "newest", sequence=3).directory).epoch == 2


def test_deactivate_calls_a_load_off(tmp_path, ros, running):
    node, _, subscriber = running
    managed = Managed(ros)
    managed.listen()
    loads = Loads(ros)
    with locked(tmp_path):
        future = loads.begin(policy(tmp_path, "newer", sequence=2).directory)
        ros.wait_for(lambda: "waiting for another process" in node.text(), "the word")
        assert managed.change("deactivate")
        ros.wait_for(is_state(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert loads.end(future).result == Answer.RESULT_CANCELED
    assert managed.state() == "inactive"
    assert managed.change("activate")
    ros.wait_for(ready(subscriber), "STATE_READY")


class Hostile:
    """The action's services, called as nobody should."""

    def __init__(self, ros, gate="/tensorgate"):
        self.ros = ros
        base = f"{gate}/load_policy/_action"
        kinds = LoadAction.Impl
        self.send = ros.create_client(kinds.SendGoalService, f"{base}/send_goal")
        self.results = ros.create_client(kinds.GetResultService, f"{base}/get_result")
        self.cancels = ros.create_client(CancelGoal, f"{base}/cancel_goal")
        for client in (self.send, self.results, self.cancels):
            ros.wait_for(client.service_is_ready, "the action's services")
        time.sleep(0.5)

    def goal(self, id, policy="/nowhere"):
        request = LoadAction.Impl.SendGoalService.Request()
        request.goal_id = UUID(uuid=list(id))
        request.goal.policy = str(policy)
        return self.send.call_async(request)

    def result(self, id):
        request = LoadAction.Impl.GetResultService.Request(goal_id=UUID(uuid=list(id)))
        return self.results.call_async(request)

    def cancel(self, id):
        info = GoalInfo(goal_id=UUID(uuid=list(id)))
        return self.cancels.call_async(CancelGoal.Request(goal_info=info))


def test_a_goal_of_the_same_number_is_refused_and_the_first_goes_on(tmp_path, ros, running):
    newer = policy(tmp_path, "newer", sequence=2)
    loads, hostile, id = Loads(ros), Hostile(ros), uuid.uuid4().bytes
    with locked(tmp_path):
        first = loads.end(hostile.goal(id, newer.directory))
        assert first.accepted
        result = hostile.result(id)
        assert not loads.end(hostile.goal(id)).accepted
        assert not result.done()
    assert loads.end(result).result.epoch == 2
    assert not loads.end(hostile.goal(id)).accepted


def test_hostile_clients_neither_end_nor_wedge_nor_grow_it(tmp_path, ros, running):
    node, _, subscriber = running
    loads, hostile = Loads(ros), Hostile(ros)
    newer = policy(tmp_path, "newer", sequence=2)
    memory = []
    for _ in range(3):
        with locked(tmp_path):
            running_id = uuid.uuid4().bytes
            loads.end(hostile.goal(running_id, damaged_once(tmp_path)))
            flood(ros, [
                lambda: hostile.goal(uuid.uuid4().bytes),
                lambda: hostile.result(running_id),
                lambda: hostile.result(uuid.uuid4().bytes),
                lambda: hostile.cancel(uuid.uuid4().bytes),
            ], 250)
        ros.wait_for(lambda: loads.load("/nowhere").result != Answer.RESULT_BUSY, "its end")
        memory.append(node.peak_memory()["RssAnon"])
    print(f"\nafter 1000, 2000, 3000 hostile requests: {[it // 1024 for it in memory]} KiB private")
    assert memory[2] < memory[1] + (4 << 20)
    assert "panicked" not in node.text()
    assert loads.load(newer.directory).epoch == 2
    assert node.stop() == 0


def damaged_once(home):
    where = home / "damaged"
    return where / "policy" if where.exists() else damaged(home, "damaged")


def flood(ros, calls, rounds):
    for _ in range(rounds):
        for call in calls:
            call()
        ros.spin_for(0.02)
    ros.spin_for(1)


def test_swaps_give_the_memory_back(tmp_path, gate, ros):
    """64 MiB each: in a mapping or sealed pages, and in the middleware's history."""
    big = {"w": np.random.default_rng(3).standard_normal(1 << 24, dtype=np.float32)}
    signed = Signed(tmp_path, big)
    node = gate(policy=signed.directory, trust=signed.trust, hold="sealed")
    subscriber = Subscriber(ros)
    ros.wait_for(ready(subscriber), "STATE_READY")
    loads = Loads(ros)
    size, memory = 64 << 20, [node.peak_memory()]
    for sequence in range(2, 7):
        newer = policy(tmp_path, f"v{sequence}", big, sequence=sequence)
        assert loads.load(newer.directory).epoch == sequence
        ros.wait_for(lambda: ros.count_publishers("/tensorgate/fragments") == 1, "one publisher")
        memory.append(settled(ros, node))
    shown = [{name: value >> 20 for name, value in it.items()} for it in memory]
    print(f"\nMiB after each swap: {shown}")
    for name in ("RssAnon", "RssShmem"):
        values = [it[name] for it in memory]
        # One policy's worth, each time: not two.
        assert max(values[1:]) < values[0] + size / 2, (name, values)
    assert node.stop() == 0


def settled(ros, node):
    """The memory when it has stopped to shrink."""
    seen = []

    def stable():
        seen.append((time.monotonic(), node.peak_memory()))
        return seen[-1][0] > seen[0][0] + 1

    ros.wait_for(stable, "a second")
    return {name: min(it[name] for _, it in seen) for name in seen[0][1]}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_loads_withdraws_what_runs(tmp_path, ros, running, how):
    node, _, subscriber = running
    loads = Loads(ros)
    with locked(tmp_path):
        loads.begin(policy(tmp_path, "newer", sequence=2).directory)
        ros.wait_for(lambda: "waiting for another process" in node.text(), "the word")
        begun = time.monotonic()
        assert node.stop(how) == 0
        assert time.monotonic() - begun < 5
    ros.wait_for(is_state(subscriber, Status.STATE_WITHDRAWN), "the withdrawal")


def test_signals_at_any_moment_end_it(tmp_path, gate, ros):
    """While it starts, proves, publishes and swaps."""
    signed = Signed(tmp_path, {"w": np.zeros(1 << 22, dtype=np.float32)})
    for number in range(12):
        node = gate(policy=signed.directory, trust=signed.trust)
        time.sleep(0.05 * number)
        how = (signal.SIGINT, signal.SIGTERM)[number % 2]
        begun = time.monotonic()
        ended = node.stop(how)
        # Before its first line there is no handler, and the signal is the kernel's.
        assert ended == 0 or (not node.text() and ended == -how), node.text()
        assert time.monotonic() - begun < 5
