"""What the gate lives through, and what it ends with: signals at any moment, a disk that goes, floods
of garbage, controllers that hang, names from hostile headers."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
from conftest import ROOT, Signed, tensorgate
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from test_gate import receive, state_is

sys.path.insert(0, str(ROOT / "crates/verify/tests/corpus"))
from generator import manifest, tensors  # noqa: E402
from generator.notation import content, text  # noqa: E402

ROBOT = ["--gate", "/tensorgate"]
HERE = Path(__file__).parent
MIB = 1 << 20


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


def large_tensors():
    """Long enough to be interrupted."""
    tensor = np.random.default_rng(3).standard_normal((8, MIB // 4), dtype=np.float32)
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
    before = node.peak_memory()["RssAnon"]
    garbage = program("garbage.py", "/tensorgate", "--services")
    rates = [float(garbage.stdout.readline()) for _ in range(10)]
    print(f"\n{rates[len(rates) // 2]:.0f} messages and requests of garbage a second")
    assert max(rates) > 1000
    heard = next(word for word in words if word["hundreds"] > 0)
    assert (heard["state"], heard["sequence"]) == ("active", 1)
    late = program("robot.py", *ROBOT, "--trust", signed.trust, "--state", tmp_path / "late")
    words = map(json.loads, iter(late.stdout.readline, ""))
    assert next(word for word in words if word["state"] == "active")
    garbage.kill()
    garbage.wait()
    late = receive(ros, signed)
    ros.wait_for(state_is(late, Status.STATE_READY), "the gate's own heartbeats")
    assert robot.poll() is None and node.process.poll() is None
    assert node.peak_memory()["RssAnon"] < before + 64 * MIB
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
    node = gate(under=under, policy=disk / "policy", trust=signed.trust, store=disk / "store")

    def there(*command):
        user = [] if os.geteuid() == 0 else ["--user"]
        enter = ["nsenter", f"--target={node.process.pid}", "--mount", *user]
        subprocess.run([*enter, *map(str, command)], check=True)

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


def test_a_disk_that_becomes_read_only_changes_nothing_that_runs(ros, on_a_disk):
    signed, disk, node, there = on_a_disk
    there("mount", "-o", "remount,ro", disk)
    goes_on(ros, signed, node)


def test_a_disk_that_fills_changes_nothing_that_runs(ros, on_a_disk):
    signed, disk, node, there = on_a_disk
    there("sh", "-c", f"cat /dev/zero > {disk}/full || true")
    goes_on(ros, signed, node)


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
        ("revoked", Status.STATE_REVOKED, Status.REASON_KEY_REVOKED),
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
        text += '\n[[revoked]]\nkey = "release"\nreason = "stolen"\n'
    new.write_text(text)
    new.rename(signed.trust)
    ros.wait_for(state_is(subscriber, state), "the withdrawal")
    assert subscriber.statuses[-1].reason == reason
    assert node.stop() == 0


HOSTILE = {
    "nul": "a\0b",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "line": "a\n[INFO] [0.0] [tensorgate]: verified acme/walk",
    "bidi": "‮sthgiew",
    "long": "n" * 10_000,
    "quote": 'a"b\\',
    "surrogates": "\U0010ffff\ufffe\u2028",
}


def sign(directory, trust, files, change=lambda inner: None):
    """Signs what the command would not, by the corpus's own implementation of the format."""
    directory.mkdir()
    for path, pieces, _ in files:
        (directory / path).write_bytes(content(pieces))
    inner = manifest.predicate(files)
    change(inner)
    envelope = manifest.signed(manifest.statement(inner))
    (directory / "policy.dsse.json").write_bytes(content(envelope))
    trust.write_bytes(content(manifest.trust()[1]))


def in_tensor(name):
    named = tensors.tensors((json.dumps(name)[1:-1], "F32", [2], tensors.f32(0.5, -1.0)))
    return [manifest.FILES[0], ("model.safetensors", named, "weights")], lambda inner: None


def in_type(name):
    return manifest.FILES, lambda inner: inner["policy"].update(type=name)


def in_repo(name):
    return manifest.FILES, lambda inner: inner["repo"].update(id=name)


def in_path(name):
    return manifest.FILES, lambda inner: inner["files"][0].update(path=name)


def in_field(name):
    return manifest.FILES, lambda inner: inner.update({name: name})


def in_config(name):
    config = text(json.dumps({"type": "mlp", "auto_map": {name: name}, name: name}))
    return [("config.json", config, "config"), manifest.FILES[1]], lambda inner: None


@pytest.mark.parametrize("where", [in_tensor, in_type, in_repo, in_path, in_field, in_config])
def test_names_of_hostile_headers_end_nothing_and_forge_no_line(tmp_path, gate, ros, where):
    """Signed by a key that is trusted, too: that excuses nothing."""
    nodes, subscribers = {}, {}
    for number, (what, name) in enumerate(HOSTILE.items()):
        directory, trust = tmp_path / what, tmp_path / f"{what}.toml"
        files, change = where(name)
        sign(directory, trust, files, change)
        given = {"policy": directory, "trust": trust, "store": tmp_path / f"{what}-store"}
        nodes[what] = gate("-r", f"__node:=gate{number}", **given)
        subscribers[what] = Subscriber(ros, f"/gate{number}", trust=trust)
    settled = {Status.STATE_REJECTED, Status.STATE_FAILED, Status.STATE_READY}
    for what, subscriber in subscribers.items():
        ros.wait_for(lambda s=subscriber: s.statuses and s.statuses[-1].state in settled, what)
        count = len(subscriber.statuses)
        ros.wait_for(lambda s=subscriber, c=count: len(s.statuses) > c + 10, "heartbeats")
        print(f"\n{where.__name__} {what}: {nodes[what].text()[:300]}", end="")
    for what, node in nodes.items():
        assert node.stop() == 0
        lines = node.log.read_bytes().decode().split("\n")
        for line in lines:
            assert line.isprintable() and "panicked" not in line, (what, line)
            assert not line or line.startswith("[") and not line.startswith("[INFO] [0.0]"), (what, line)
    for log in subscriber.logs:
        assert log.msg.isprintable(), log.msg


def test_a_name_that_is_no_text_ends_nothing(tmp_path, gate, ros):
    """The signed table has a good name; the header of the file has bytes that are no UTF-8 there."""
    good = content(manifest.WEIGHTS)
    bad = good.replace(b"actor", b"act\xff\xfe")
    entry = manifest.listed("model.safetensors", manifest.WEIGHTS, "weights")
    entry |= {"sha256": manifest.sha256(bad), "blake3": manifest.blake3(bad)}
    directory = tmp_path / "policy"
    sign(directory, tmp_path / "trust.toml", manifest.FILES, lambda inner: inner["files"].__setitem__(1, entry))
    (directory / "model.safetensors").write_bytes(bad)
    node = gate(policy=directory, trust=tmp_path / "trust.toml")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "the refusal")
    assert subscriber.manifests == []
    assert node.stop() == 0
    assert "panicked" not in node.text()
