"""The gate and the store: what it serves stays, what is damaged is refused, media may be read-only."""

import json
import os
import subprocess

import conftest
import pytest
from conftest import PROGRAMS, REPO, Signed, tensorgate
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from test_gate import state_is

# What follows runs where the store, and nothing else, is read-only.
READ_ONLY = [
    "unshare",
    "--mount",
    *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
    "sh",
    "-c",
    'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"',
    "sh",
]


class Stored(Signed):
    """A policy that came from a Hub into a store."""

    def __init__(self, home):
        super().__init__(home, conftest.small_tensors())
        self.store = home / "store"
        command = [PROGRAMS / "tensorgate-testhub", "--repo", f"{REPO}={self.directory}"]
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as hub:
            try:
                ready = json.loads(hub.stdout.readline())
                (self.revision,) = ready["commits"][REPO]
                self.fetch(ready["endpoint"])
            finally:
                hub.terminate()

    def fetch(self, endpoint):
        key = self.home / "release.key.pem"
        what = ["--repo", REPO, "--revision", self.revision, "--sequence", 1]
        out = self.home / "policy.dsse.json"
        until = ["--expires", "2099-01-01T00:00:00Z", "--out", out, "--replace"]
        tensorgate("sign", self.directory, "--key", key, *what, *until)
        proof = ["--manifest", out, "--trust", self.trust, "--store", self.store]
        self.kept = tensorgate("fetch", self.name(), "--endpoint", endpoint, *proof)["path"]

    def name(self):
        return f"{REPO}@{self.revision}"


@pytest.fixture
def stored(tmp_path):
    return Stored(tmp_path)


def collect(stored):
    return tensorgate("store", "gc", "--keep", "0", "--store", stored.store)


def test_what_a_gate_serves_is_not_removed(stored, gate, ros):
    node = gate(policy=stored.name(), trust=stored.trust)
    ros.wait_for(state_is(Subscriber(ros), Status.STATE_READY), "STATE_READY")
    by_path = gate("-r", "__node:=other", policy=stored.kept, trust=stored.trust)
    ros.wait_for(state_is(Subscriber(ros, "/other"), Status.STATE_READY), "STATE_READY")
    # Nothing else keeps it.
    tensorgate("store", "reset-state", "--all", "--store", stored.store)
    for served_by in (node, by_path):
        (left,) = collect(stored)["left"]
        assert left["fate"] == "in-use"
        assert left["release"]["repo"] == REPO
        assert served_by.stop() == 0
    assert collect(stored)["left"] == []
    assert not os.path.exists(stored.kept)


def test_a_damaged_policy_of_the_store_is_refused(stored, gate, ros):
    weights = os.path.join(stored.kept, "model.safetensors")
    os.chmod(weights, 0o644)
    with open(weights, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    told = tensorgate("store", "check", "--store", stored.store, status=1)
    assert told["code"] == "digest-mismatch"
    gate(policy=stored.name(), trust=stored.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "the refusal on ~/status")
    assert subscriber.statuses[-1].reason == Status.REASON_DIGEST_MISMATCH
    assert subscriber.manifests == []


def test_a_read_only_store_needs_a_memory_elsewhere(stored, gate, ros, tmp_path):
    under = [*READ_ONLY, stored.store]
    node = gate(under=under, policy=stored.name(), trust=stored.trust)
    ros.wait_for(state_is(Subscriber(ros), Status.STATE_FAILED), "STATE_FAILED")
    assert "Read-only file system" in node.text()
    assert "or the node's parameter `state`" in node.text()
    assert node.stop() == 0

    state = tmp_path / "memory"
    node = gate(under=under, policy=stored.name(), trust=stored.trust, state=state)
    subscriber = Subscriber(ros, trust=stored.trust)
    ros.wait_for(lambda: subscriber.policy, "the policy")
    assert subscriber.policy.signers == ["release"]
    assert node.stop() == 0
    # What was accepted is remembered there: that number is taken.
    (accepted,) = tensorgate("store", "ls", "--state", state)["accepted"]
    assert (accepted["repo"], accepted["sequence"]) == (REPO, 1)
    stored.sign("--replace", "--policy-type", "other")
    node = gate(policy=stored.directory, trust=stored.trust, state=state)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "the refusal on ~/status")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_ROLLBACK
