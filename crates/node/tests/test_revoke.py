"""Taking back: ~/revoke, lists of revocations, keys, expiry, while the policy is in force."""

import signal
import time
from datetime import datetime, timedelta, timezone

import conftest
import pytest
from conftest import Signed
from lifecycle_msgs.srv import GetState
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from tensorgate_msgs.srv import LoadPolicy, RevokePolicy
from test_lifecycle import Managed, is_state, ready
from test_load import Loads, digest, locked, policy, running  # noqa: F401

Answer = RevokePolicy.Response


class Revokes:
    """Calls ~/revoke, once."""

    def __init__(self, ros, gate="/tensorgate"):
        self.ros = ros
        self.client = ros.create_client(RevokePolicy, f"{gate}/revoke")
        ros.wait_for(self.client.service_is_ready, "~/revoke")
        ros.ask(GetState, f"{gate}/get_state", GetState.Request(), "the state")
        time.sleep(0.5)

    def begin(self, epoch=0, reason="falls on stairs"):
        return self.client.call_async(RevokePolicy.Request(epoch=epoch, reason=reason))

    def end(self, future):
        self.ros.wait_for(future.done, "the answer of ~/revoke")
        return future.result()

    def revoke(self, *args, **named):
        return self.end(self.begin(*args, **named))


def test_a_revoked_policy_is_out_of_force_for_good(tmp_path, gate, ros, running):  # noqa: F811
    node, signed, subscriber = running
    answer = Revokes(ros).revoke()
    assert (answer.result, answer.epoch) == (Answer.RESULT_OK, 0), answer.message
    ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
    status = subscriber.statuses[-1]
    assert status.reason == Status.REASON_MANIFEST_REVOKED
    assert status.manifest_digest.tobytes().hex() == digest(signed) and status.epoch == 1
    assert "falls on stairs" in node.text()
    assert Managed(ros).state() == "active"
    # Nothing of it is published any more, nor held.
    ros.wait_for(lambda: ros.count_publishers("/tensorgate/fragments") == 0, "no publisher")
    # Here, after a restart, and for the command.
    again = Loads(ros).load(signed.directory)
    assert (again.result, again.code) == (LoadPolicy.Response.RESULT_REJECTED, "manifest-revoked")
    assert subscriber.statuses[-1].state == Status.STATE_REVOKED
    assert node.stop() == 0
    state = ["--trust", signed.trust, "--state", tmp_path / "store" / "state"]
    assert conftest.tensorgate("verify", signed.directory, *state, status=1)["code"] == (
        "manifest-revoked"
    )
    late = Subscriber(ros)
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(is_state(late, Status.STATE_REVOKED), "the refusal after the restart")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_REVOKED


def test_another_policy_ends_it(tmp_path, ros, running):  # noqa: F811
    _, _, subscriber = running
    assert Revokes(ros).revoke(epoch=1).result == Answer.RESULT_OK
    answer = Loads(ros).load(policy(tmp_path, "newer", sequence=2).directory)
    assert (answer.result, answer.epoch) == (LoadPolicy.Response.RESULT_OK, 2)
    ros.wait_for(ready(subscriber), "STATE_READY")


def test_it_is_out_of_force_before_the_disk_is_touched(tmp_path, ros, running):  # noqa: F811
    _, _, subscriber = running
    revokes = Revokes(ros)
    with locked(tmp_path):
        future = revokes.begin()
        ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
        assert not future.done()
        # Nor is there a way around while it is being recorded.
        assert revokes.revoke().result == Answer.RESULT_REJECTED
    assert revokes.end(future).result == Answer.RESULT_OK


def test_what_cannot_be_recorded_is_out_of_force_all_the_same(tmp_path, ros, running):  # noqa: F811
    _, signed, subscriber = running
    revokes = Revokes(ros)
    (tmp_path / "store" / "state").rename(tmp_path / "gone")
    (tmp_path / "store" / "state").write_text("a file")
    answer = revokes.revoke()
    assert (answer.result, answer.epoch) == (Answer.RESULT_FAILED, 0)
    assert "not recorded" in answer.message
    ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
    # This process remembers it.
    (tmp_path / "store" / "state").unlink()
    (tmp_path / "gone").rename(tmp_path / "store" / "state")
    again = Loads(ros).load(signed.directory)
    assert (again.result, again.code) == (LoadPolicy.Response.RESULT_REJECTED, "manifest-revoked")


@pytest.mark.parametrize("epoch", [2, 7, 2**64 - 1])
def test_another_epoch_is_not_meant(ros, running, epoch):  # noqa: F811
    _, _, subscriber = running
    answer = Revokes(ros).revoke(epoch=epoch)
    assert (answer.result, answer.epoch) == (Answer.RESULT_REJECTED, 1)
    assert subscriber.statuses[-1].state == Status.STATE_READY


def test_a_reason_of_any_kind_is_no_way_around(ros, running):  # noqa: F811
    node, _, subscriber = running
    answer = Revokes(ros).revoke(reason="\x1b[2J\n\x07" + "x" * 500_000)
    assert answer.result == Answer.RESULT_OK
    ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
    assert "\x1b[2J" not in node.text()
    assert len(node.text()) < 100_000
    assert node.stop() == 0


def test_a_load_under_way_is_called_off_by_a_revoke(tmp_path, ros, running):  # noqa: F811
    node, _, subscriber = running
    loads, revokes = Loads(ros), Revokes(ros)
    with locked(tmp_path):
        load = loads.begin(policy(tmp_path, "newer", sequence=2).directory)
        ros.wait_for(lambda: "waiting for another process" in node.text(), "the word")
        revoke = revokes.begin()
        ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
    assert loads.end(load).result == LoadPolicy.Response.RESULT_CANCELED
    assert revokes.end(revoke).result == Answer.RESULT_OK
    assert subscriber.statuses[-1].state == Status.STATE_REVOKED


def test_it_is_on_the_disk_before_the_node_ends(tmp_path, gate, ros, running):  # noqa: F811
    node, signed, subscriber = running
    revokes = Revokes(ros)
    with locked(tmp_path):
        revokes.begin()
        ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
        node.process.send_signal(signal.SIGTERM)
        ros.spin_for(0.5)
        assert node.process.poll() is None
    assert node.process.wait(timeout=10) == 0
    again = Subscriber(ros)
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(is_state(again, Status.STATE_REVOKED), "the refusal after the restart")


def test_what_is_held_and_not_announced_can_be_revoked(ros, running):  # noqa: F811
    _, signed, subscriber = running
    managed = Managed(ros)
    managed.listen()
    assert managed.change("deactivate")
    assert Revokes(ros).revoke().result == Answer.RESULT_OK
    ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
    assert subscriber.statuses[-1].manifest_digest.tobytes().hex() == digest(signed)
    assert not managed.change("activate")


def test_an_epoch_stands_for_its_manifest(ros, running):  # noqa: F811
    """Somebody has it announced again, while an operator revokes what he saw."""
    _, signed, subscriber = running
    assert Loads(ros).load(signed.directory).epoch == 2
    revokes = Revokes(ros)
    assert revokes.revoke(epoch=3).result == Answer.RESULT_REJECTED
    assert revokes.revoke(epoch=1).result == Answer.RESULT_OK
    ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")


def test_deactivated_it_stays_revoked(ros, running):  # noqa: F811
    _, _, subscriber = running
    managed = Managed(ros)
    managed.listen()
    assert Revokes(ros).revoke().result == Answer.RESULT_OK
    for label in ("deactivate", "cleanup"):
        assert managed.change(label)
        seen = len(subscriber.statuses)
        ros.wait_for(lambda: len(subscriber.statuses) > seen + 2, "heartbeats")
        assert subscriber.statuses[-1].state == Status.STATE_REVOKED


def test_a_list_that_comes_while_it_runs_revokes_it(tmp_path, ros, running):  # noqa: F811
    """Another process puts it into the state: `tensorgate verify --revocations`."""
    _, signed, subscriber = running
    revoke = ["trust", "revoke", tmp_path / "list.json", "--key", tmp_path / "release.key.pem"]
    what = ["--manifest", digest(signed), "--reason", "falls on stairs"]
    conftest.tensorgate(*revoke, "--expires", "2099-01-01T00:00:00Z", *what)
    state = ["--trust", signed.trust, "--state", tmp_path / "store" / "state"]
    given = ["--revocations", tmp_path / "list.json"]
    conftest.tensorgate("verify", signed.directory, *state, *given, status=1)
    ros.wait_for(is_state(subscriber, Status.STATE_REVOKED), "STATE_REVOKED")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_REVOKED


def test_a_key_that_is_trusted_no_more_withdraws_it(ros, running):  # noqa: F811
    _, signed, subscriber = running
    conftest.tensorgate("keygen", "--out", signed.home / "other")
    text = signed.trust.read_text().replace("release.pub", "other.pub")
    draft = signed.home / "draft.toml"
    draft.write_text(text)
    draft.rename(signed.trust)
    ros.wait_for(is_state(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert subscriber.statuses[-1].reason == Status.REASON_SIGNATURE_INVALID


def test_a_newer_release_that_another_process_accepts_takes_nothing_away(tmp_path, ros, running):  # noqa: F811
    _, signed, subscriber = running
    newer = policy(tmp_path, "newer", sequence=2)
    state = ["--trust", signed.trust, "--state", tmp_path / "store" / "state"]
    conftest.tensorgate("verify", newer.directory, *state)
    end = time.monotonic() + 4
    ros.wait_for(lambda: time.monotonic() > end, "four judgements")
    assert {it.state for it in subscriber.statuses[-30:]} == {Status.STATE_READY}


def test_an_expired_policy_is_withdrawn(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    soon = datetime.now(timezone.utc) + timedelta(seconds=15)
    signed.sign("--replace", sequence=2, expires=soon.strftime("%Y-%m-%dT%H:%M:%SZ"))
    subscriber = Subscriber(ros)
    node = gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(ready(subscriber), "STATE_READY")
    ros.wait_for(is_state(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_EXPIRED
    assert datetime.now(timezone.utc) >= soon.replace(microsecond=0)
    assert "manifest-expired" in node.text()
    ros.wait_for(lambda: ros.count_publishers("/tensorgate/fragments") == 0, "no publisher")
