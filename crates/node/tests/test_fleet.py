"""One gate, three robots, bad lines between them, and somebody else on the network."""

import hashlib
import json
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import conftest
import numpy as np
import pytest
from conftest import Signed
from fleet import Fleet

GATE = "/fleet/tensorgate"
FLEET = ["-r", "__ns:=/fleet"]
ROBOTS = ["robot1", "robot2", "robot3"]


@pytest.fixture
def fleet():
    fleet = Fleet("gate", *ROBOTS, "rogue")
    yield fleet
    fleet.close()


class Release(Signed):
    """A further release, by the same signer and other weights."""

    def __init__(self, first, home, sequence):
        home.mkdir()
        super().__init__(home, {"small": np.full((3, 5), sequence, np.float32)})
        for key in first.home.glob("release.*"):
            shutil.copy(key, home)
        self.sign("--replace", sequence=sequence)
        self.trust = first.trust


class Robot:
    """A controller in the namespace of its robot, on a host of its own."""

    def __init__(self, fleet, name, trust):
        program = [sys.executable, Path(__file__).with_name("robot.py")]
        options = ["--gate", GATE, "--trust", trust, "--state", trust.parent / name]
        command = [*fleet.on(name), *program, *options, "--ros-args", "-r", f"__ns:=/{name}"]
        self.name, self.words = name, []
        # The middleware and rclpy say of each message that is none what is wrong with it.
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = fleet.start([*map(str, command)], **quiet)
        threading.Thread(target=self.listen).start()

    def listen(self):
        for line in self.process.stdout:
            self.words.append(json.loads(line))

    def wait(self, condition, what, since=0, seconds=120):
        """The first word for which `condition` holds, of those after an instant."""
        end = time.monotonic() + seconds
        while True:
            for word in list(self.words):
                assert "wrong" not in word, word
                if word["at"] >= since and condition(word):
                    return word
            assert self.process.poll() is None, f"{self.name} ended"
            assert time.monotonic() < end, f"{self.name}: waited for {what}: {self.words[-5:]}"
            time.sleep(0.02)

    def gets(self, signed, since=0):
        """Its word that it acts on the policy, byte for byte: its last, or one after an instant."""
        original = (signed.directory / "model.safetensors").read_bytes()
        weights = hashlib.sha256(original).hexdigest()
        active = lambda word: word["state"] == "active" and word["weights"] == weights
        if self.words and active(self.words[-1]):
            return self.words[-1]
        return self.wait(active, "the policy", since)

    def stops(self, state, since):
        return self.wait(lambda word: word["state"] == state, state, since)

    def refuses(self, code):
        return self.wait(lambda word: code in word["refused"], code)

    def notices(self, publishers):
        return self.wait(lambda word: word["publishers"] == publishers, f"{publishers} publishers")

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize(
    "line",
    [
        {"loss": 0.01},
        {"loss": 0.05},
        {"delay": 0.02},
        {"delay": 0.005, "reorder": 0.2},
        {"delay": 0.02, "reorder": 0.1, "loss": 0.02},
    ],
    ids=str,
)
@pytest.mark.parametrize("latched", [512, 0], ids=["latched", "pulled"])
def test_all_robots_get_every_byte_over_bad_lines(tmp_path, fleet, gate, line, latched):
    signed = Signed(tmp_path, conftest.small_tensors())
    fleet.line(*ROBOTS, **line)
    robots = [Robot(fleet, name, signed.trust) for name in ROBOTS]
    given = {"policy": signed.directory, "trust": signed.trust, "latch_limit_mib": latched}
    gate(*FLEET, under=fleet.on("gate"), **given)
    assert [robot.gets(signed)["refused"] for robot in robots] == [[]] * 3


@pytest.mark.parametrize("how", ["swap", "restart"])
@pytest.mark.parametrize("seconds", [3, 25])
def test_a_robot_behind_a_partition_stops_and_ends_with_what_is_in_force(tmp_path, fleet, gate, how, seconds):
    """The middleware forgets a host after 20 s (Fast DDS, `leaseDuration` of a participant)."""
    old = Signed(tmp_path, conftest.small_tensors())
    new = Release(old, tmp_path / "new", 2)
    start = lambda signed: gate(*FLEET, under=fleet.on("gate"), policy=signed.directory, trust=signed.trust)
    lost, *others = robots = [Robot(fleet, name, old.trust) for name in ROBOTS]
    first = start(old)
    for robot in robots:
        robot.gets(old)
    parted = time.monotonic()
    fleet.line(lost.name, up=False)
    # Whoever says `active` beyond its lease fails in `wait`.
    assert lost.stops("stale", parted)["sequence"] == 1
    if how == "swap":
        assert operate(fleet, "load_policy", "LoadPolicy", policy=str(new.directory))["epoch"] == 2
    else:
        assert first.stop() == 0
        first = start(new)
    for robot in others:
        assert robot.gets(new)["sequence"] == 2
    time.sleep(max(0, parted + seconds - time.monotonic()))
    assert lost.words[-1]["sequence"] == 1 and lost.words[-1]["state"] == "stale"
    fleet.line(lost.name, up=True)
    epoch = 2 if how == "swap" else 1
    for robot in robots:
        robot.gets(new, since=parted)
        robot.wait(lambda word: word.get("sequence") == 2 and word["epoch"] == epoch, "its epoch", parted)
    assert first.stop() == 0


def operate(fleet, service, kind, **fields):
    """What the gate answers to somebody on its own host."""
    program = [sys.executable, Path(__file__).with_name("call.py"), f"{GATE}/{service}", kind]
    command = [*fleet.on("gate"), *program, json.dumps(fields)]
    done = subprocess.run([*map(str, command)], check=True, stdout=subprocess.PIPE, timeout=120)
    return json.loads(done.stdout)


def rogue(fleet, gate, signed, trust):
    """A gate of somebody else, under the same name, with a memory of its own."""
    given = {"policy": signed.directory, "trust": trust, "store": signed.home / "theirs"}
    return gate(*FLEET, under=fleet.on("rogue"), **given)


def test_a_rogue_publisher_is_noticed_and_ignored(tmp_path, fleet, gate):
    """It announces weights under a signature of its own, then sends what it likes."""
    signed = Signed(tmp_path, conftest.small_tensors())
    (tmp_path / "forger").mkdir()
    forged = Signed(tmp_path / "forger", {"small": np.zeros((3, 5), np.float32)})
    gate(*FLEET, under=fleet.on("gate"), policy=signed.directory, trust=signed.trust)
    robots = [Robot(fleet, name, signed.trust) for name in ROBOTS]
    for robot in robots:
        robot.gets(signed)
    rogue(fleet, gate, forged, forged.trust)
    for robot in robots:
        robot.refuses("signature-invalid")
        robot.notices(publishers=2)
    garbage = [sys.executable, Path(__file__).with_name("garbage.py"), GATE]
    flood = fleet.start([*fleet.on("rogue"), *map(str, garbage)], stdout=subprocess.DEVNULL)
    for robot in robots:
        robot.notices(publishers=3)
        robot.wait(lambda word: word["hundreds"] > 0, "refusals of garbage")
        # Heartbeats may be late in such a flood: it stops then, as it should.
        assert robot.words[-1]["sequence"] == 1 and robot.words[-1]["state"] in ("active", "stale")
    # One that comes now may be kept waiting, but takes nothing else.
    robots[0].end()
    robots[0] = Robot(fleet, ROBOTS[0], signed.trust)
    robots[0].refuses("manifest-malformed")
    flood.kill()
    since = time.monotonic()
    for robot in robots:
        assert robot.gets(signed, since)["sequence"] == 1


def test_an_old_release_that_a_rogue_replays_is_refused(tmp_path, fleet, gate):
    old = Signed(tmp_path, conftest.small_tensors())
    new = Release(old, tmp_path / "new", 2)
    honest = gate(*FLEET, under=fleet.on("gate"), policy=new.directory, trust=old.trust)
    robots = [Robot(fleet, name, old.trust) for name in ROBOTS]
    for robot in robots:
        robot.gets(new)
    rogue(fleet, gate, old, old.trust)
    for robot in robots:
        robot.refuses("manifest-rollback")
        assert (robot.words[-1]["state"], robot.words[-1]["sequence"]) == ("active", 2)
    # Started again, with nobody but the rogue to be heard.
    assert honest.stop() == 0
    robots[0].end()
    again = Robot(fleet, ROBOTS[0], old.trust)
    again.refuses("manifest-rollback")
    assert {word["state"] for word in again.words} == {"no-policy"}


def test_a_revoked_release_that_a_rogue_replays_is_refused(tmp_path, fleet, gate):
    signed = Signed(tmp_path, conftest.small_tensors())
    given = {"policy": signed.directory, "trust": signed.trust, "lease_ms": 2000}
    gate(*FLEET, under=fleet.on("gate"), **given)
    robots = [Robot(fleet, name, signed.trust) for name in ROBOTS]
    for robot in robots:
        robot.gets(signed)
    revoked = time.monotonic()
    answer = operate(fleet, "revoke", "RevokePolicy", reason="falls on stairs")
    assert (answer["result"], answer["epoch"]) == (1, 0), answer
    within = answer["at"] + given["lease_ms"] / 1000
    for robot in robots:
        # At the latest when the lease of the last heartbeat before it ends: `stale`, then.
        stops = robot.wait(lambda word: word["state"] != "active", "its stop", revoked)
        assert stops["at"] < within, "it acts beyond its lease"
        robot.stops("revoked", revoked)
    rogue(fleet, gate, signed, signed.trust)
    for robot in robots:
        robot.refuses("manifest-revoked")
    time.sleep(2)
    assert {robot.words[-1]["state"] for robot in robots} == {"revoked"}
