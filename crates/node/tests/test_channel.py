"""The gate and a Hub: releases and revocations of a channel, and what happens when it is gone."""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import time

import conftest
import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from action_msgs.srv import CancelGoal
from conftest import PROGRAMS, REPO, Signed, tensorgate
from safetensors.numpy import save_file
from subscriber import Subscriber
from tensorgate_msgs.action import LoadPolicy as Load
from tensorgate_msgs.msg import PolicyStatus as Status
from tensorgate_msgs.srv import LoadPolicy
from test_gate import state_is
from test_load import Loads

TOKEN = "hf_never_to_be_seen_in_any_log"
LIST = "revocations.dsse.json"
UNTIL = "2099-01-01T00:00:00Z"


class Channel:
    """A Hub on loopback with one branch, which each release moves: the program is started anew
    with one commit more."""

    def __init__(self, home):
        self.home, self.commits, self.hub, self.directories = home, [], None, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        tensorgate("keygen", "--out", home / "release")
        self.trust = home / "trust.toml"
        self.trust.write_text(
            'threshold = 1\n[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
        )

    def serve(self, *faults):
        self.stop()
        command = [PROGRAMS / "tensorgate-testhub", "--port", str(self.port)]
        for directory in self.directories:
            command += ["--repo", f"{REPO}={directory}"]
        for fault in faults:
            command += ["--fault", fault]
        self.hub = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
        self.commits = json.loads(self.hub.stdout.readline())["commits"][REPO]

    def stop(self):
        if self.hub:
            self.hub.terminate()
            self.hub.wait(timeout=10)
            self.hub.stdout.close()
            self.hub = None

    def commit(self, directory):
        self.directories.append(directory)
        self.serve()
        return self.commits[-1]

    def release(self, sequence, spoil=lambda files: None):
        """The files at a commit, and at the next one the manifest that names it; the SHA-256 of its
        payload. What `spoil` does to the files is done behind the signer's back."""
        files = self.home / f"files-{sequence}"
        files.mkdir()
        random = np.random.default_rng(sequence)
        tensors = {"actor.weight": random.standard_normal((700, 100), dtype=np.float32)}
        save_file(tensors, files / "model.safetensors")
        (files / "config.json").write_text('{"type": "mlp"}')
        signed = self.home / f"signed-{sequence}"
        shutil.copytree(files, signed)
        spoil(files)
        revision = self.commit(files)
        key = self.home / "release.key.pem"
        what = ["--repo", REPO, "--revision", revision, "--sequence", sequence]
        told = tensorgate("sign", signed, "--key", key, *what, "--expires", UNTIL)
        if self.list().exists():
            shutil.copy(self.list(), signed)
        self.commit(signed)
        return told["evidence"]["manifest"]

    def list(self):
        return self.home / LIST

    def revoke(self, manifest):
        """Signs a list that calls a release back; whether to publish it is another matter."""
        key, what = self.home / "release.key.pem", ["--manifest", manifest]
        until = ["--expires", UNTIL, "--reason", "falls on stairs"]
        tensorgate("trust", "revoke", self.list(), "--key", key, *what, *until)

    def publish_list(self):
        """Moves the branch to what it says, and the list beside it."""
        directory = self.home / f"listed-{len(self.directories)}"
        shutil.copytree(self.directories[-1], directory)
        shutil.copy(self.list(), directory)
        self.commit(directory)


@pytest.fixture
def channel(tmp_path, monkeypatch):
    made = Channel(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", made.endpoint)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "nothing"))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TENSORGATE_STORE"):
        monkeypatch.delenv(name, raising=False)
    yield made
    made.stop()


def follow(gate, channel, interval=5, **more):
    where = {"channel": f"{REPO}@main", "trust": channel.trust}
    return gate(update_interval_s=interval, **where, **more)


def stands_by(subscriber, manifest):
    def ready():
        last = subscriber.statuses[-1] if subscriber.statuses else None
        return (
            last is not None
            and last.state == Status.STATE_READY
            and last.manifest_digest.tobytes().hex() == manifest
        )

    return ready


def says(node, text):
    return lambda: text in node.text()


def test_the_first_policy_comes_from_the_channel_and_newer_ones_take_its_place(channel, gate, ros):
    first = channel.release(1)
    node = follow(gate, channel)
    subscriber = Subscriber(ros, trust=channel.trust, repo=REPO)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    ros.wait_for(lambda: subscriber.policy, "its bytes")
    second = channel.release(2)
    begun = time.monotonic()
    ros.wait_for(stands_by(subscriber, second), "the second release")
    print(f"\nannounced {time.monotonic() - begun:.1f} s after its commit; asked each 5 s")
    assert subscriber.statuses[-1].epoch == 2
    ros.wait_for(lambda: subscriber.policy.manifest_digest == second, "its bytes")
    received = subscriber.bytes_of("model.safetensors")[:]
    assert received == (channel.home / "signed-2" / "model.safetensors").read_bytes()
    # Never without a policy in between.
    states = [status.state for status in subscriber.statuses]
    assert set(states[states.index(Status.STATE_READY) :]) == {Status.STATE_READY}
    # Both are in the store; only the newer one is accepted from now on.
    (accepted,) = tensorgate("store", "ls", "--store", channel.home / "store")["accepted"]
    assert (accepted["sequence"], accepted["manifest"]) == (2, second)
    assert node.stop() == 0
    assert TOKEN not in node.text()


def test_a_tampered_release_is_refused_and_the_running_one_runs_on(channel, gate, ros):
    def spoil(files):
        weights = files / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)

    first = channel.release(1)
    node = follow(gate, channel)
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    channel.release(2, spoil)
    ros.wait_for(says(node, "the channel: refused: "), "the refusal")
    assert "digest-mismatch" in node.text()
    assert stands_by(subscriber, first)()
    assert {status.epoch for status in subscriber.statuses if status.epoch} == {1}
    # What came of it is not accepted: a good release of that number is.
    shutil.rmtree(channel.home / "files-2")
    shutil.rmtree(channel.home / "signed-2")
    channel.directories = channel.directories[:2]
    second = channel.release(2)
    ros.wait_for(stands_by(subscriber, second), "the second release as it was signed")


def test_a_list_on_the_channel_takes_the_policy_out_of_force(channel, gate, ros):
    first = channel.release(1)
    follow(gate, channel)
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    channel.revoke(first)
    channel.publish_list()
    begun = time.monotonic()
    ros.wait_for(state_is(subscriber, Status.STATE_REVOKED), "the revocation")
    print(f"\nrevoked {time.monotonic() - begun:.1f} s after the list's commit; asked each 5 s")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_REVOKED
    assert subscriber.statuses[-1].manifest_digest.tobytes().hex() == first
    # The way on is a newer release.
    second = channel.release(2)
    ros.wait_for(stands_by(subscriber, second), "the second release")


def test_a_policy_that_is_named_stays_until_the_channel_calls_it_back(channel, gate, ros):
    first = channel.release(1)
    node = follow(gate, channel, policy=channel.home / "signed-1")
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the policy of the directory")
    channel.revoke("0" * 64)
    channel.release(2)
    ros.wait_for(says(node, "list 1 of revocations counts from now on"), "the list")
    assert stands_by(subscriber, first)()
    channel.revoke(first)
    channel.publish_list()
    ros.wait_for(state_is(subscriber, Status.STATE_REVOKED), "the revocation")
    # Nothing but the list was taken.
    (accepted,) = tensorgate("store", "ls", "--store", channel.home / "store")["accepted"]
    assert accepted["sequence"] == 1


def test_nobody_on_the_graph_puts_off_what_is_called_back(channel, gate, ros):
    """Whoever sets `policy` back and forth has the channel followed for releases and for revocations in
    turn: it is asked when it was due all the same. The loads are refused before they ask it themselves."""
    first = channel.release(1)
    named = str(channel.home / "signed-1")
    follow(gate, channel, policy=named)
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the policy of the directory")
    channel.revoke(first)
    channel.publish_list()
    refused = LoadPolicy.Request(policy=f"{REPO}@{'1' * 40}", repo_id="evil/walk")
    end = time.monotonic() + 60
    for policy in itertools.cycle(["", named]):
        if state_is(subscriber, Status.STATE_REVOKED)():
            break
        assert time.monotonic() < end, "the list was never taken in"
        set_parameter(ros, "policy", policy)
        answer = ros.ask(LoadPolicy, "/tensorgate/load_policy", refused, "the refusal")
        assert answer.code == "repo-mismatch", answer.message
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_REVOKED


def test_a_commit_that_the_store_does_not_have_is_fetched(channel, gate, ros):
    first = channel.release(1)
    commit = channel.commits[0]
    follow(gate, channel, interval=0, policy=f"{REPO}@{commit}")
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the release")
    # The channel speaks of another commit: that one is not what was asked for.
    other = f"{REPO}@{'1' * 40}"
    node = follow(gate, channel, interval=0, policy=other)
    ros.wait_for(says(node, "revision-mismatch"), "the refusal")


def test_a_load_from_the_hub_tells_its_bytes_and_can_be_canceled_without_a_trace(channel, gate, ros):
    first = channel.release(1)
    follow(gate, channel, interval=0)
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    second = channel.release(2)
    source = f"{REPO}@{channel.commits[2]}"
    channel.serve("stall:model.safetensors@100000")
    loads, said = Loads(ros), []
    handle = loads.goal(source, feedback=lambda it: said.append(it.feedback))
    fetching = lambda it: it.phase == Load.Feedback.PHASE_FETCHING and it.bytes_done >= 100_000
    ros.wait_for(lambda: said and fetching(said[-1]), "the bytes before the stall")
    assert said[-1].bytes_done < said[-1].bytes_total
    result = handle.get_result_async()
    canceled = loads.end(handle.cancel_goal_async())
    assert canceled.return_code == CancelGoal.Response.ERROR_NONE
    assert [bytes(it.goal_id.uuid) for it in canceled.goals_canceling] == [bytes(handle.goal_id.uuid)]
    ended = loads.end(result)
    assert ended.status == GoalStatus.STATUS_CANCELED
    assert (ended.result.result, ended.result.epoch) == (Load.Result.RESULT_CANCELED, 1)
    assert stands_by(subscriber, first)() and len(subscriber.manifests) == 1
    late = loads.end(handle.cancel_goal_async())
    assert late.return_code == CancelGoal.Response.ERROR_GOAL_TERMINATED
    # Who asks again gets it.
    channel.serve()
    ended = loads.result(loads.goal(source))
    assert (ended.status, ended.result.epoch) == (GoalStatus.STATUS_SUCCEEDED, 2)
    ros.wait_for(stands_by(subscriber, second), "the second release")


@pytest.mark.parametrize("channel_is", ["gone", "not to be used"])
def test_without_the_hub_what_runs_runs_on_and_starts_again(
    channel, gate, ros, monkeypatch, channel_is
):
    first = channel.release(1)
    node = follow(gate, channel)
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    channel.stop()
    ros.wait_for(says(node, "the channel could not be asked: "), "the word")
    assert stands_by(subscriber, first)()
    assert node.stop() == 0
    # A robot that is switched on where there is no network.
    if channel_is == "not to be used":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    node = follow(gate, channel)
    ros.wait_for(says(node, "what was accepted last is loaded from the store"), "the word")
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the first release again")
    if channel_is == "gone":
        channel.serve()
        second = channel.release(2)
        ros.wait_for(stands_by(subscriber, second), "the second release")
    assert node.stop() == 0
    assert TOKEN not in node.text()


def test_nothing_in_the_store_and_no_network_is_a_clear_error(channel, gate, ros, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    node = follow(gate, channel)
    ros.wait_for(state_is(Subscriber(ros), Status.STATE_FAILED), "STATE_FAILED")
    assert "the network is not to be used" in node.text()


def test_who_is_switched_on_before_the_hub_has_its_policy_once_that_is_there(channel, gate, ros):
    node = follow(gate, channel)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_FAILED), "STATE_FAILED")
    first = channel.release(1)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    assert node.stop() == 0


@pytest.mark.parametrize("when", ["loading", "following"])
def test_a_download_that_hangs_keeps_nobody_from_stopping(channel, gate, ros, when):
    first = channel.release(1)
    store = channel.home / "store"
    subscriber = Subscriber(ros)
    if when == "loading":
        channel.serve("stall:model.safetensors@100000")
        node = follow(gate, channel)
    else:
        node = follow(gate, channel)
        ros.wait_for(stands_by(subscriber, first), "the first release")
        channel.release(2)
        channel.serve("stall:model.safetensors@100000")

    def part():
        parts = store.glob("quarantine/model/*/*/*.part/*")
        return any(part.stat().st_size > 0 for part in parts)

    ros.wait_for(part, "the beginning of a download")
    begun = time.monotonic()
    assert node.stop() == 0
    print(f"\nended {time.monotonic() - begun:.2f} s after SIGINT")
    assert part()
    # The next one goes on from there.
    channel.serve()
    node = follow(gate, channel)
    manifest = first if when == "loading" else tensorgate_manifest(channel, 2)
    ros.wait_for(stands_by(subscriber, manifest), "the release")


def tensorgate_manifest(channel, sequence):
    directory = channel.home / f"signed-{sequence}"
    found = tensorgate("verify", directory, "--trust", channel.trust, "--state", channel.home / "other")
    return found["evidence"]["manifest"]


def test_an_interval_counts_at_once(channel, gate, ros):
    first = channel.release(1)
    node = follow(gate, channel, interval=0)
    subscriber = Subscriber(ros)
    ros.wait_for(stands_by(subscriber, first), "the first release")
    second = channel.release(2)
    ros.spin_for(8)
    assert stands_by(subscriber, first)()
    set_parameter(ros, "update_interval_s", 5)
    ros.wait_for(stands_by(subscriber, second), "the second release")
    assert node.stop() == 0


def set_parameter(ros, name, value):
    from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
    from rcl_interfaces.srv import SetParameters

    if isinstance(value, str):
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    else:
        value = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
    answer = ros.ask(SetParameters, "/tensorgate/set_parameters", request, "the answer")
    assert answer.results[0].successful, answer.results[0].reason


def test_a_key_that_the_operator_takes_out_counts_no_more(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    tensorgate("keygen", "--out", tmp_path / "other")
    text = signed.trust.read_text().replace("release.pub.pem", "other.pub.pem")
    signed.trust.write_text(text)
    ros.wait_for(state_is(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert subscriber.statuses[-1].reason == Status.REASON_SIGNATURE_INVALID


def test_a_file_at_a_glimpse_stops_no_robot_and_one_that_is_gone_does(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    text = signed.trust.read_text()
    signed.trust.write_text("")
    ros.wait_for(says(node, "whether the policy still counts could not be checked"), "the word")
    signed.trust.write_text(text)
    begun = len(subscriber.statuses)
    # Longer than the patience with one that stays away.
    end = time.monotonic() + 12
    ros.wait_for(lambda: time.monotonic() > end, "time")
    assert {status.state for status in subscriber.statuses[begun:]} == {Status.STATE_READY}
    os.remove(signed.trust)
    ros.wait_for(state_is(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert subscriber.statuses[-1].reason == Status.REASON_COULD_NOT_CHECK


@pytest.mark.parametrize("what", ["memory", "revocations"])
def test_a_memory_that_is_lost_is_not_an_empty_one(tmp_path, gate, ros, what):
    signed = Signed(tmp_path, conftest.small_tensors())
    state = tmp_path / "store" / "state"
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    if what == "memory":
        shutil.rmtree(state)
        expected = "it is gone"
    else:
        (state / "revoked.json").write_text("{")
        expected = 'revoked.json" is damaged'
    ros.wait_for(says(node, expected), "the word")
    ros.wait_for(state_is(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert subscriber.statuses[-1].reason == Status.REASON_COULD_NOT_CHECK
    assert node.stop(signal.SIGTERM) == 0
