"""What people see of a gate: /diagnostics and /rosout."""

from datetime import datetime, timedelta, timezone

import conftest
import pytest
import rclpy.qos as qos
from conftest import REPO, REVISION, Signed
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import Log
from subscriber import LATCHED, Subscriber
from tensorgate_msgs.msg import PolicyManifest
from test_lifecycle import Managed

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Diagnosed:
    """What a gate tells of itself."""

    def __init__(self, ros, name="tensorgate: policy"):
        self.name, self.arrays = name, []
        ros.create_subscription(DiagnosticArray, "/diagnostics", self.on_array, 100)

    def on_array(self, message):
        if message.status[0].name == self.name:
            self.arrays.append(message)

    def last(self):
        return self.arrays[-1].status[0] if self.arrays else None

    def is_at(self, level, word=""):
        return lambda: bool(self.arrays) and (
            self.last().level == level and word in self.last().message
        )

    def values(self):
        return {pair.key: pair.value for pair in self.last().values}


def test_a_policy_in_force(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    remaps = ["-r", "__ns:=/robot1", "-r", "__node:=guard"]
    gate(*remaps, policy=signed.directory, trust=signed.trust, lease_ms=700)
    diagnosed = Diagnosed(ros, "robot1/guard: policy")
    subscriber = Subscriber(ros, "/robot1/guard")
    seen = lambda: diagnosed.is_at(OK)() and diagnosed.values()["subscribers"] == "1"
    ros.wait_for(seen, "OK, with one subscriber")
    ros.wait_for(lambda: subscriber.manifests and subscriber.statuses, "what it announces")
    assert diagnosed.last().hardware_id == REPO
    manifest = subscriber.manifests[0]
    values = diagnosed.values()
    size = sum(tensor.nbytes for tensor in conftest.small_tensors().values())
    expected = {
        "state": "ready",
        "repo": REPO,
        "revision": REVISION,
        "sequence": "1",
        "signers": "release",
        "session": manifest.session_id.tobytes().hex(),
        "epoch": "1",
        "bytes": str(size),
        "fragments": str(manifest.fragment_count),
        "delivery": "latched",
        "publishers": "1",
        "lease_ms": "700",
        "channel": "",
        "last_rejection": "",
    }
    assert {key: values[key] for key in expected} == expected
    assert values["digest"] == subscriber.statuses[-1].manifest_digest.tobytes().hex()
    assert values["expires"].startswith("2099-01-01")
    assert {"hold", "age_s", "last_poll_s"} < set(values)


def test_it_is_told_once_a_second_and_at_once_on_a_change(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    soon = datetime.now(timezone.utc) + timedelta(seconds=15)
    expires = soon.isoformat(timespec="seconds").replace("+00:00", "Z")
    signed.sign("--replace", sequence=2, expires=expires)
    diagnosed = Diagnosed(ros)
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(diagnosed.is_at(ERROR, "manifest-expired"), "the expiry")
    ros.wait_for(diagnosed.is_at(ERROR), "the next one")
    stamps = [array.header.stamp for array in diagnosed.arrays]
    seconds = [stamp.sec + stamp.nanosec / 1e9 for stamp in stamps]
    pauses = [later - sooner for sooner, later in zip(seconds, seconds[1:])]
    assert min(pauses) > 0.09, "ten a second at most"
    news = [array.status[0].message for array in diagnosed.arrays]
    same = [pause for pause, before, after in zip(pauses, news, news[1:]) if before == after]
    assert sorted(same)[len(same) // 2] > 0.9, "once a second where there is no news"


def test_a_refused_policy(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    (signed.directory / "config.json").write_text('{"type": "mlq"}')
    gate(policy=signed.directory, trust=signed.trust)
    diagnosed = Diagnosed(ros)
    ros.wait_for(diagnosed.is_at(ERROR, "digest-mismatch"), "ERROR")
    values = diagnosed.values()
    assert values["state"] == "rejected"
    assert "digest-mismatch" in values["last_rejection"]
    assert (values["repo"], values["epoch"], diagnosed.last().hardware_id) == ("", "0", "")


def test_to_announce_nothing_on_request_is_no_fault(tmp_path, gate, ros):
    """A group of diagnostic_aggregator with a member that says STALE is an ERROR."""
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy=signed.directory, trust=signed.trust, autostart="false")
    diagnosed, life = Diagnosed(ros), Managed(ros)
    ros.wait_for(diagnosed.is_at(OK, "no policy is announced"), "OK, with nothing asked for")
    life.listen()
    for label in ("configure", "activate", "deactivate"):
        assert life.change(label), label
    ros.wait_for(diagnosed.is_at(OK, "taken back"), "OK, with the opposite asked for")
    assert diagnosed.values()["state"] == "withdrawn"
    assert {array.status[0].level for array in diagnosed.arrays} <= {OK, WARN}


def test_a_rogue_publisher_is_noticed(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy=signed.directory, trust=signed.trust)
    diagnosed = Diagnosed(ros)
    ros.wait_for(diagnosed.is_at(OK), "OK")
    depth = qos.QoSProfile(depth=1, **LATCHED)
    rogue = ros.create_publisher(PolicyManifest, "/tensorgate/manifest", depth)
    ros.wait_for(diagnosed.is_at(WARN, "/observer"), "WARN, with the rogue's name")
    assert diagnosed.values()["publishers"] == "2"
    ros.destroy_publisher(rogue)
    ros.wait_for(diagnosed.is_at(OK), "OK again")


def logs_of(ros):
    logs = []
    profile = qos.QoSProfile(depth=1000, **LATCHED)
    ros.create_subscription(Log, "/rosout", logs.append, profile)
    return logs


def test_rosout_is_that_of_rcl(tmp_path, gate, ros):
    """Compared with the publisher that rcl makes for the observer itself."""
    signed = Signed(tmp_path, conftest.small_tensors())
    gate("-r", "__ns:=/robot1", policy=signed.directory, trust=signed.trust)
    logs = logs_of(ros)
    ros.wait_for(lambda: [log for log in logs if "publishing" in log.msg], "a line")
    profiles = {}
    for info in ros.get_publishers_info_by_topic("/rosout"):
        profile = info.qos_profile
        profiles[info.node_name] = (profile.reliability, profile.durability, profile.lifespan)
    assert profiles["tensorgate"] == profiles["observer"]
    ours = [log for log in logs if log.name == "robot1.tensorgate"]
    assert {log.level for log in ours} == {20}, "INFO as a number of rcl_interfaces/Log"
    gate(policy="/nowhere", trust=signed.trust)
    ros.wait_for(lambda: [log for log in logs if log.level == 40], "ERROR")


@pytest.mark.parametrize("name", ["\x1b[2J\x07.json", "a" * 250 + ".json", "\x7f‮.json"])
def test_hostile_names_neither_end_it_nor_reach_a_terminal(tmp_path, gate, ros, name):
    signed = Signed(tmp_path, conftest.small_tensors())
    (signed.directory / name).write_text("{}")
    node = gate(policy=signed.directory, trust=signed.trust)
    logs, diagnosed = logs_of(ros), Diagnosed(ros)
    ros.wait_for(diagnosed.is_at(ERROR), "ERROR")
    ros.wait_for(lambda: [log for log in logs if log.level == 40], "the line")
    told = [*(log.msg for log in logs), node.text(), str(diagnosed.values())]
    controls = {"\x1b", "\x07", "\x7f"}
    assert not [text for text in told if controls & set(text)]
    assert node.stop() == 0
