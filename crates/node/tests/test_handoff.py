"""How the gate holds weights, and hands their pages to controllers of the same machine."""

import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading
import time
from base64 import b64decode
from pathlib import Path

import conftest
import numpy as np
import pytest
from conftest import Signed, small_tensors
from handed import NOT_ADMITTED, NOTHING_OFFERED, Handed, handed_or_word
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from test_gate import state_is

LARGE = 64 << 20


def large_tensors():
    return {"large": np.arange(LARGE // 4, dtype=np.float32)}


@pytest.fixture
def home(tmp_path):
    """A directory that nobody else may write to, for the socket."""
    place = tmp_path / "run"
    place.mkdir(mode=0o755)
    return place


def ready(ros, **options):
    subscriber = Subscriber(ros, **options)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    return subscriber


def smaps(pid, name="/memfd:tensorgate"):
    """Size, Rss, Pss and so on of the largest mapping of that name, in bytes, and its inode."""
    largest, current = {"Size": 0}, None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and ":" not in words[0]:
            current = {"inode": int(words[4])} if name in line else None
        elif current is not None and words[-1] == "kB":
            current[words[0].rstrip(":")] = 1024 * int(words[1])
            if words[0] == "Size:" and current["Size"] > largest["Size"]:
                largest = current
    return largest


def test_controllers_get_the_gates_pages(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, large_tensors())
    node = gate(policy=signed.directory, trust=signed.trust, handoff=home / "gate")
    subscriber = ready(ros)
    path = home / "gate"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    weights = (signed.directory / "model.safetensors").read_bytes()
    before = node.peak_memory()
    controllers = [Controller(path) for _ in range(3)]
    for controller in controllers:
        assert controller.said["sha256"] == hashlib.sha256(weights).hexdigest()
    of_node = smaps(node.process.pid)
    for controller in controllers:
        own = smaps(controller.process.pid)
        assert own["inode"] == of_node["inode"]
        assert own["Rss"] >= LARGE and own["Private_Clean"] + own["Private_Dirty"] == 0
        assert controller.said["grown"] < LARGE // 8
    # One copy in memory: each of three controllers counts a third of it, or a fourth of what the
    # gate itself has read since it was sealed.
    last = smaps(controllers[-1].process.pid)
    assert 2.9 < last["Rss"] / last["Pss"] < 4.1
    after = node.peak_memory()
    print(f"\n{LARGE} bytes of weights, three controllers: node {after}, last controller {last}, "
          f"private growth {[c.said['grown'] for c in controllers]}")
    assert after["RssAnon"] < before["RssAnon"] + LARGE // 8

    # It is the policy that the topics announce.
    handed = Handed(path)
    ros.wait_for(lambda: subscriber.manifests, "the manifest")
    manifest = subscriber.manifests[0]
    assert handed.envelope == bytes(manifest.envelope)
    assert handed.session == bytes(manifest.session_id) and handed.epoch == manifest.epoch
    payload = b64decode(json.loads(handed.envelope)["payload"])
    assert handed.manifest == hashlib.sha256(payload).digest()
    for controller in controllers:
        controller.end()
    assert "hand-off: handed over to user" in node.text()
    assert node.stop() == 0
    assert not path.exists()
    # What was handed over stays.
    assert handed.weights[:] == weights
    assert handed.small == (signed.directory / "config.json").read_bytes()


def test_a_controller_in_rust_takes_it_from_the_gate(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, large_tensors())
    gate(policy=signed.directory, trust=signed.trust, handoff=home / "gate")
    ready(ros)
    command = [conftest.PROGRAMS / "examples/beside_the_gate", home / "gate", signed.trust]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("verified: ")
    assert done.stdout.endswith(f"1 tensors, {LARGE} bytes of weights\n")


class Controller:
    """A process that maps what is handed over, reads it all and says what that cost."""

    PROGRAM = Path(__file__).with_name("handed.py")

    def __init__(self, path):
        self.process = subprocess.Popen(
            [sys.executable, self.PROGRAM, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.said = json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=20) == 0


def test_nothing_is_handed_over_before_and_after(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, small_tensors())
    signed.sign("--replace", sequence=2, expires=soon(12))
    node = gate(policy=signed.directory, trust=signed.trust, handoff=home / "gate")
    subscriber = ready(ros)
    assert isinstance(handed_or_word(home / "gate"), Handed)
    ros.wait_for(state_is(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert handed_or_word(home / "gate") == NOTHING_OFFERED
    assert node.stop() == 0


def soon(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def test_a_rejected_policy_is_not_handed_over(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, small_tensors())
    weights = signed.directory / "model.safetensors"
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    gate(policy=signed.directory, trust=signed.trust, handoff=home / "gate")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "STATE_REJECTED")
    assert handed_or_word(home / "gate") == NOTHING_OFFERED


@pytest.mark.skipif(os.geteuid() != 0, reason="wants root: a process of another user")
def test_who_is_not_named_gets_nothing(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, small_tensors())
    # Where the socket of the tests lies, others may not come at all.
    for place in [tmp_path, *tmp_path.parents]:
        if place.stat().st_uid == os.geteuid():
            place.chmod(place.stat().st_mode | 0o055)
    path = home / "gate"
    options = {"handoff": path, "handoff_uids": '"4242"'}
    node = gate(policy=signed.directory, trust=signed.trust, **options)
    ready(ros)
    assert word_to(65534, path) == f"Refused({NOT_ADMITTED})"
    # The first of those that come within a second is told.
    ros.wait_for(lambda: "user 65534 at the other end" in node.text(), "the node's word")
    assert word_to(4242, path) == "handed over"
    assert word_to(0, path) == f"Refused({NOT_ADMITTED})"


def word_to(uid, path):
    """What a process of that user is told."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(uid)
            Handed(path)
            said = "handed over"
        except BaseException as error:
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read) as said:
        return said.read()


def test_a_socket_that_cannot_be_is_told(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, small_tensors())
    (home / "gate").write_text("precious")
    node = gate(policy=signed.directory, trust=signed.trust, handoff=home / "gate")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_FAILED), "STATE_FAILED")
    assert "something that is no socket has that name" in node.text()
    assert (home / "gate").read_text() == "precious"


def overwrite(path):
    """Writes to the file as soon as the kernel lets it; how long that took."""
    took = []

    def write():
        begun = time.monotonic()
        with path.open("r+b") as file:
            took.append(time.monotonic() - begun)
            file.seek(0)
            file.write(b"\xff" * 4096)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    return thread, took


def test_a_writer_moves_the_weights_and_changes_nothing(disk, gate, ros):
    signed = Signed(disk, large_tensors())
    original = (signed.directory / "model.safetensors").read_bytes()
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = ready(ros)
    assert "model.safetensors is held guarded by a lease" in node.text(), node.text()
    assert smaps(node.process.pid)["Size"] < LARGE
    thread, took = overwrite(signed.directory / "model.safetensors")
    thread.join(timeout=30)
    ros.wait_for(lambda: "were moved into sealed memory in" in node.text(), "the node's word")
    line = next(l for l in node.text().splitlines() if "were moved into sealed" in l)
    print(f"\nthe writer waited {took[0] * 1e3:.1f} ms; {line}")
    assert smaps(node.process.pid)["Size"] >= LARGE
    assert (signed.directory / "model.safetensors").read_bytes() != original
    # The node goes on, and whoever comes late gets what was signed.
    late = Subscriber(ros, trust=signed.trust)
    ros.wait_for(lambda: late.policy, "the policy")
    assert late.bytes_of("model.safetensors")[:] == original
    assert state_is(subscriber, Status.STATE_READY)()
    assert node.stop() == 0


def test_weights_can_be_sealed_from_the_beginning(tmp_path, gate, ros, home):
    signed = Signed(tmp_path, large_tensors())
    options = {"hold": "sealed", "handoff": home / "gate"}
    node = gate(policy=signed.directory, trust=signed.trust, **options)
    ready(ros)
    assert "model.safetensors is held in sealed memory" in node.text()
    thread, took = overwrite(signed.directory / "model.safetensors")
    thread.join(timeout=30)
    assert took[0] < 10
    handed = Handed(home / "gate")
    expected = large_tensors()["large"]
    got = np.frombuffer(handed.weights, np.float32, offset=len(handed.weights) - LARGE)
    assert np.array_equal(got, expected)


def test_a_file_that_is_being_written_is_sealed_and_the_log_says_why(disk, gate, ros):
    signed = Signed(disk, small_tensors())
    with (signed.directory / "model.safetensors").open("r+b"):
        node = gate(policy=signed.directory, trust=signed.trust)
        ready(ros)
    assert "in sealed memory: somebody has the file open for writing" in node.text()


def test_without_memory_for_the_weights_the_policy_is_withdrawn(disk, gate, ros):
    signed = Signed(disk, large_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = ready(ros)
    assert "guarded by a lease" in node.text()
    # No memfd of that size can be filled any more.
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (LARGE // 2, LARGE // 2))
    thread, took = overwrite(signed.directory / "model.safetensors")
    ros.wait_for(state_is(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert subscriber.statuses[-1].reason == Status.REASON_COULD_NOT_CHECK
    assert "there is no memory for its" in node.text()
    # The memory is let go of, and the writer, long before the kernel would have.
    thread.join(timeout=30)
    print(f"\nthe writer waited {took[0] * 1e3:.1f} ms")
    # The lease ends with the last mapping, or a moment before.
    maps = Path(f"/proc/{node.process.pid}/maps")
    ros.wait_for(lambda: "model.safetensors" not in maps.read_text(), "the memory to be let go of")
    assert node.stop() == 0


def test_what_is_lost_while_it_is_being_recorded_is_not_published(tmp_path, gate, ros):
    """It was proven, so that somebody relies on it; the node waits for a lock before it is there."""
    signed = Signed(tmp_path, large_tensors())
    with conftest.waiting_with_proven_weights(tmp_path, signed, gate, ros) as node:
        assert is_leased(signed.directory / "model.safetensors"), "it was proven before"
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (LARGE // 2, LARGE // 2))
        thread, took = overwrite(signed.directory / "model.safetensors")
        ros.wait_for(lambda: "there is no memory for its" in node.text(), "the node's word")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_FAILED), "STATE_FAILED")
    thread.join(timeout=30)
    assert took and not subscriber.manifests
    assert node.stop() == 0


def is_leased(path):
    return f":{path.stat().st_ino} " in Path("/proc/locks").read_text()


def test_where_there_are_no_leases_the_weights_are_copied_and_the_log_says_why(tmp_path, gate, ros):
    signed = Signed(tmp_path, small_tensors())
    hidden = "mount -t tmpfs none /proc/sys/fs; exec \"$@\""
    sandbox = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", hidden, "sh"]
    node = gate(under=sandbox, policy=signed.directory, trust=signed.trust)
    ready(ros)
    assert "nobody can answer for leases: No such file or directory" in node.text()
    assert "model.safetensors is held in sealed memory" in node.text()
    assert node.stop() == 0
