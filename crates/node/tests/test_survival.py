"""What the gate lives through, and what it ends with: signals at any moment, a disk that goes, floods
of garbage, controllers that hang."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
import rclpy
from conftest import Signed, tensorgate
from subscriber import Subscriber
from tensorgate_client.ros import PolicySubscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from tensorgate_msgs.srv import LoadPolicy, RevokePolicy
from test_gate import receive, state_is

ROBOT = ["--gate", "/tensorgate"]
HERE = Path(__file__).parent
MIB = 1 << 20
SETTLED = {Status.STATE_READY, Status.STATE_REJECTED, Status.STATE_REVOKED, Status.STATE_FAILED}


@pytest.fixture
def program():
    """Starts programs of this directory, and ends them."""
    started = []

    def start(name, *args):
        command = [sys.executable, HERE / name, *args]
        # The middleware says of each message that is none what is wrong with it.
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        started.append(subprocess.Popen([*map(str, command)], **quiet))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def listens_for(node, how):
    """Whether its own handler would take the signal: what comes while the program is still being
    loaded ends it as the system has it."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return int(caught, 16) >> (how - 1) & 1


def end(node, how):
    """Ends it, and says that it kept the rules in that."""
    if node.process.poll() is None:
        ready = listens_for(node, how) if how != signal.SIGKILL else False
        node.process.send_signal(how)
        status = node.process.wait(timeout=60)
        assert status == 0 if ready else status in (0, -how), node.text()
    assert "panicked" not in node.text(), node.text()


def store_is_consistent(home):
    store = home / "store"
    if store.exists():
        assert tensorgate("store", "check", "--store", store)["verdict"] != "rejected"


def large_tensors(size=8 * MIB):
    """Long enough to be interrupted."""
    tensor = np.random.default_rng(3).standard_normal((8, size // 32), dtype=np.float32)
    return {f"layer.{i}.weight": tensor for i in range(8)}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_at_any_moment_it_comes_back_as_another_session(tmp_path, gate, ros, how):
    """Loading and publishing 64 MiB takes most of the time in which it is ended."""
    signed = Signed(tmp_path, large_tensors())
    chance = random.Random(how)
    start = lambda: gate(policy=signed.directory, trust=signed.trust, fragment_size_kib=64)
    subscriber = Subscriber(ros, trust=signed.trust, patience=3600)
    moments = ["", "verified", "is held", "publishing", *(chance.uniform(0, 1.5) for _ in range(8))]
    for moment in moments:
        node = start()
        if isinstance(moment, str):
            while moment not in node.text() and node.process.poll() is None:
                time.sleep(0.001)
        else:
            ros.spin_for(moment)
        end(node, how)
        store_is_consistent(tmp_path)
    before = {bytes(status.session_id) for status in subscriber.statuses}
    start()
    last = receive(ros, signed)
    assert bytes(last.manifests[-1].session_id) not in before
    ros.wait_for(lambda: subscriber.policy, "the policy of the controller that was there all along")
    assert subscriber.policy.manifest_digest == last.policy.manifest_digest


class Release(Signed):
    """A further one of the same repository and key, with other weights."""

    def __init__(self, first, sequence, tensors):
        home = first.home / str(sequence)
        home.mkdir()
        super().__init__(home, tensors, {"type": "mlp", "release": sequence})
        for key in first.home.glob("release.*"):
            shutil.copy(key, home)
        self.sign("--replace", sequence=sequence)
        self.trust = first.trust


def gets(ros, signed):
    """A controller of its own gets the policy, byte for byte."""
    subscriber = PolicySubscriber(ros, signed.trust)
    ros.wait_for(lambda: subscriber.active, "the policy")
    weights = subscriber.active.memfd("model.safetensors")
    with os.fdopen(weights, "rb") as file:
        assert file.read() == (signed.directory / "model.safetensors").read_bytes()
    subscriber.destroy()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended_during_a_swap_it_stands_by_one_of_the_two(tmp_path, gate, ros, how):
    old = Signed(tmp_path, conftest.small_tensors())
    chance = random.Random(how)
    start = lambda signed: gate(policy=signed.directory, trust=old.trust, store=tmp_path / "store")
    outcomes = set()
    for sequence in range(2, 8):
        new = Release(old, sequence, large_tensors(2 * MIB))
        node = start(old)
        gets(ros, old)
        client = ros.create_client(LoadPolicy, "/tensorgate/load_policy")
        ros.wait_for(client.service_is_ready, "the service")
        client.call_async(LoadPolicy.Request(policy=str(new.directory)))
        ros.spin_for(chance.uniform(0, 0.5))
        end(node, how)
        store_is_consistent(tmp_path)
        # The old one, where the new one was not accepted yet.
        node, heard = start(old), Subscriber(ros, patience=3600)
        ros.wait_for(lambda: heard.statuses and heard.statuses[-1].state in SETTLED, "a verdict")
        outcomes.add((heard.statuses[-1].state, heard.statuses[-1].reason))
        end(node, how)
        # The new one in any case, byte for byte.
        node = start(new)
        gets(ros, new)
        end(node, how)
        old = new
    refused = Status.STATE_REJECTED, Status.REASON_MANIFEST_ROLLBACK
    assert outcomes <= {(Status.STATE_READY, Status.REASON_NONE), refused}


def test_killed_during_a_revocation_it_has_not_answered_or_keeps_it(tmp_path, gate, ros):
    first = signed = Signed(tmp_path, conftest.small_tensors())
    start = lambda: gate(policy=signed.directory, trust=first.trust, store=tmp_path / "store")
    kept = []
    for sequence, moment in enumerate([0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 60], 2):
        node = start()
        gets(ros, signed)
        client = ros.create_client(RevokePolicy, "/tensorgate/revoke")
        ros.wait_for(client.service_is_ready, "the service")
        ros.spin_for(1)
        answer = client.call_async(RevokePolicy.Request(reason="falls on stairs"))
        until = time.monotonic() + moment
        while time.monotonic() < until and not answer.done():
            rclpy.spin_once(ros, timeout_sec=0.001)
        end(node, signal.SIGKILL)
        store_is_consistent(tmp_path)
        node, heard = start(), Subscriber(ros)
        ros.wait_for(lambda: heard.statuses and heard.statuses[-1].state in SETTLED, "a verdict")
        kept.append(heard.statuses[-1].reason == Status.REASON_MANIFEST_REVOKED)
        if answer.done():
            assert answer.result().result == RevokePolicy.Response.RESULT_OK, answer.result()
            assert kept[-1], "it was answered that it is for good"
        end(node, signal.SIGKILL)
        signed = Release(first, sequence, conftest.small_tensors())
    assert kept[-1], "the last one was answered"


def test_a_controller_that_hangs_holds_nobody_up(tmp_path, gate, ros, program):
    """Stopped while its reader is matched: nothing of what it is sent is acknowledged any more."""
    signed = Signed(tmp_path, large_tensors())
    node = gate(policy=signed.directory, trust=signed.trust, fragment_size_kib=64)
    hung = program("robot.py", *ROBOT, "--trust", signed.trust, "--state", tmp_path / "robot")
    hung.stdout.readline()
    ros.wait_for(lambda: receiving(hung), "its first fragments")
    hung.send_signal(signal.SIGSTOP)
    subscriber = receive(ros, signed)
    before, heard = node.peak_memory()["RssAnon"], len(subscriber.statuses)
    ros.spin_for(10)
    assert len(subscriber.statuses) > heard + 20, "heartbeats"
    assert node.peak_memory()["RssAnon"] < before + 16 * MIB
    assert subscriber.statuses[-1].state == Status.STATE_READY
    receive(ros, signed)
    hung.send_signal(signal.SIGCONT)
    line = hung.stdout.readline
    words = (json.loads(line()) for _ in range(1000))
    assert any(word["state"] == "active" for word in words)
    assert node.stop() == 0


def receiving(robot):
    """It said so, or soon something else."""
    return json.loads(robot.stdout.readline())["state"] != "no-policy"


def cpu_seconds(node):
    """User and system time (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{node.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_idle_takes_less_than_two_percent_of_a_core(tmp_path, gate, ros):
    """With a policy that is announced, and one controller that has it."""
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    receive(ros, signed)
    ros.spin_for(2)
    begun, before = time.monotonic(), cpu_seconds(node)
    ros.spin_for(10)
    share = (cpu_seconds(node) - before) / (time.monotonic() - begun)
    print(f"\nidle: {100 * share:.2f} % of a core")
    assert share < 0.02


def test_garbage_on_topics_and_services_stops_nobody(tmp_path, gate, ros, program):
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    robot = program("robot.py", *ROBOT, "--trust", signed.trust, "--state", tmp_path / "robot")
    words = map(json.loads, iter(robot.stdout.readline, ""))
    assert next(word for word in words if word["state"] == "active")
    garbage = program("garbage.py", "/tensorgate", "--services")
    rates = [float(garbage.stdout.readline()) for _ in range(5)]
    # By now the middleware keeps the last requests of a mebibyte each, ten for each service.
    before = node.peak_memory()["RssAnon"]
    rates += [float(garbage.stdout.readline()) for _ in range(10)]
    print(f"\n{rates[len(rates) // 2]:.0f} messages and requests of garbage a second")
    assert max(rates) > 100
    heard = next(word for word in words if word["hundreds"] > 0)
    assert (heard["state"], heard["sequence"]) == ("active", 1)
    # One that comes now may be kept waiting, but takes nothing else.
    late = program("robot.py", *ROBOT, "--trust", signed.trust, "--state", tmp_path / "late")
    words = map(json.loads, iter(late.stdout.readline, ""))
    assert next(word for word in words if word["hundreds"] > 0)
    garbage.kill()
    garbage.wait()
    assert next(word for word in words if word["state"] == "active")["sequence"] == 1
    ros.wait_for(state_is(receive(ros, signed), Status.STATE_READY), "the gate's own heartbeats")
    assert robot.poll() is None and node.process.poll() is None
    assert node.peak_memory()["RssAnon"] < before + 32 * MIB
    assert "panicked" not in node.text()
    assert node.stop() == 0


# What follows runs where the directory is a disk of its own, with a copy of the policy on it.
ON_A_DISK = [
    "unshare",
    "--mount",
    *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
    "sh",
    "-c",
    'mount -t tmpfs -o mode=755,size=16m disk "$1" && cp -r "$2" "$1/policy" && shift 2 && exec "$@"',
    "sh",
]


@pytest.fixture
def on_a_disk(tmp_path, gate, ros):
    """A gate whose policy and store are on a disk of its own, which can be done things to."""
    signed = Signed(tmp_path, conftest.small_tensors())
    disk = tmp_path / "disk"
    disk.mkdir()
    under = [*ON_A_DISK, disk, signed.directory]
    tried = subprocess.run([*under, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"NOT TRIED: a disk of its own wants root or user namespaces: {tried.stderr.strip()}")
    node = gate(under=under, policy=disk / "policy", trust=signed.trust, store=disk / "store")

    def there(*command):
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        enter = ["nsenter", f"--target={node.process.pid}", "--mount", *user]
        command = [*enter, *map(str, command)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"NOT TRIED: the system refuses to do this to a disk: {done.stderr.strip()}")

    receive(ros, signed)
    return signed, disk, node, there


def goes_on(ros, signed, node):
    """It stands by what it has proven, whatever became of the files: from memory, and byte for byte."""
    subscriber = receive(ros, signed)
    ros.spin_for(3)
    assert subscriber.statuses[-1].state == Status.STATE_READY
    receive(ros, signed)
    assert node.stop() == 0
    assert "panicked" not in node.text()


def test_a_disk_that_is_taken_away_changes_nothing_that_runs(ros, on_a_disk):
    signed, disk, node, there = on_a_disk
    there("umount", "--lazy", disk)
    goes_on(ros, signed, node)


@pytest.mark.parametrize("what", ["mount -o remount,ro disk", "! cat /dev/zero > disk/full"])
def test_on_a_disk_that_takes_nothing_a_load_fails_and_a_revocation_counts(tmp_path, ros, on_a_disk, what):
    """What could not be recorded does not come into force; what goes out of force does so at once."""
    signed, disk, node, there = on_a_disk
    new = Release(signed, 2, conftest.small_tensors())
    there("sh", "-c", f"cd {tmp_path}; {what}")
    answer = call(ros, LoadPolicy, "load_policy", policy=str(new.directory))
    assert answer.result == LoadPolicy.Response.RESULT_FAILED, answer
    subscriber = receive(ros, signed)
    answer = call(ros, RevokePolicy, "revoke", reason="falls on stairs")
    assert answer.result == RevokePolicy.Response.RESULT_FAILED, answer
    ros.wait_for(state_is(subscriber, Status.STATE_REVOKED), "the end of it")
    assert node.stop() == 0
    assert "panicked" not in node.text()


def call(ros, kind, service, **fields):
    """Once: to ask again would be another request."""
    client = ros.create_client(kind, f"/tensorgate/{service}")
    ros.wait_for(client.service_is_ready, service)
    ros.spin_for(1)
    answer = client.call_async(kind.Request(**fields))
    ros.wait_for(answer.done, f"the answer of {service}")
    return answer.result()


def test_a_store_that_is_replaced_brings_nothing_in(tmp_path, gate, ros):
    """Another policy of somebody else lies where the policy was, and another store where the store was."""
    signed = Signed(tmp_path, conftest.small_tensors())
    (tmp_path / "other").mkdir()
    other = Signed(tmp_path / "other", {"small": np.zeros((3, 5), np.float32)})
    tensorgate("verify", other.directory, "--trust", other.trust, "--state", other.home / "store" / "state")
    node = gate(policy=signed.directory, trust=signed.trust)
    original = Signed.__new__(Signed)
    vars(original).update(vars(signed), directory=tmp_path / "policy-before")
    receive(ros, signed)
    for name in "store", "policy":
        (tmp_path / name).rename(tmp_path / f"{name}-before")
        (other.home / name).rename(tmp_path / name)
    subscriber = receive(ros, original)
    ros.spin_for(3)
    assert subscriber.statuses[-1].state == Status.STATE_READY
    assert receive(ros, original).rejected == []
    assert node.stop() == 0
    # And it does not come back with them.
    gate(policy=signed.directory, trust=signed.trust)
    again = Subscriber(ros)
    ros.wait_for(state_is(again, Status.STATE_REJECTED), "the refusal")
    assert again.statuses[-1].reason == Status.REASON_SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        ("another", Status.STATE_WITHDRAWN, Status.REASON_SIGNATURE_INVALID),
        ("revoked", Status.STATE_REVOKED, Status.REASON_MANIFEST_REVOKED),
    ],
)
def test_a_trust_policy_that_changes_counts_at_once(tmp_path, gate, ros, change, state, reason):
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = receive(ros, signed)
    tensorgate("keygen", "--out", tmp_path / "other")
    new = tmp_path / "new.toml"
    text = signed.trust.read_text()
    if change == "another":
        text = text.replace("release.pub", "other.pub")
    else:
        text += f'\n[[revoked]]\nmanifest = "{subscriber.policy.manifest_digest}"\nreason = "falls"\n'
    new.write_text(text)
    new.rename(signed.trust)
    ros.wait_for(state_is(subscriber, state), "the withdrawal")
    assert subscriber.statuses[-1].reason == reason
    assert node.stop() == 0
