"""The gate over real ROS 2: what is published is the signed policy, or nothing is."""

import fcntl
import os
import signal
import subprocess

import conftest
import numpy as np
import pytest
import rclpy.qos as qos
from conftest import REPO, REVISION, Signed
from rcl_interfaces.srv import GetParameters, SetParameters
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status


def state_is(subscriber, state):
    return lambda: bool(subscriber.statuses) and subscriber.statuses[-1].state == state


def receive(ros, signed, gate="/tensorgate"):
    subscriber = Subscriber(ros, gate, signed.trust, repo=REPO, revision=REVISION)
    ros.wait_for(lambda: subscriber.policy, "the policy")
    for name in ("model.safetensors",):
        original = (signed.directory / name).read_bytes()
        assert subscriber.bytes_of(name)[:] == original, f"{name} arrived changed"
    return subscriber


def test_early_joiner(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    subscriber = Subscriber(ros, trust=signed.trust)
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(lambda: subscriber.policy, "the policy")
    original = (signed.directory / "model.safetensors").read_bytes()
    assert subscriber.bytes_of("model.safetensors")[:] == original
    assert subscriber.policy.read("config.json") == b'{"type": "mlp"}'
    assert subscriber.policy.signers == ["release"]


@pytest.mark.parametrize("seconds", [0, 30])
def test_late_joiner(tmp_path, gate, ros, seconds):
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy=signed.directory, trust=signed.trust, fragment_size_kib=64)
    first = Subscriber(ros)
    ros.wait_for(state_is(first, Status.STATE_READY), "STATE_READY")
    ros.spin_for(seconds)
    late = receive(ros, signed)
    manifest = late.manifests[0]
    digest = bytes.fromhex(late.policy.manifest_digest)
    assert first.statuses[-1].manifest_digest.tobytes() == digest
    assert manifest.fragment_count == 43 + 3
    assert [(t.name, t.first_fragment, t.fragment_count) for t in manifest.tensors] == [
        ("steps", 0, 1),
        ("actor.0.bias", 1, 1),
        ("actor.0.weight", 2, 1),
        ("large", 3, 43),
    ]


def test_act_sized_policy_reaches_early_and_late_joiners(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.act_tensors(), {"type": "act", "pretrained_backbone_weights": None})
    size = (signed.directory / "model.safetensors").stat().st_size
    assert size > 200e6
    early = Subscriber(ros, trust=signed.trust)
    node = gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(lambda: early.policy, "the policy of the early joiner")
    late = receive(ros, signed)
    assert early.bytes_of("model.safetensors")[:] == late.bytes_of("model.safetensors")[:]
    (head,) = [tensor for tensor in late.policy.tensors() if tensor.name == "action_head.weight"]
    assert (head.dtype, head.shape) == ("F32", (14, 512))
    file = late.bytes_of(head.file)
    received = np.frombuffer(file, np.float32, head.nbytes // 4, head.offset)
    assert np.array_equal(received.reshape(head.shape), conftest.act_tensors()["action_head.weight"])
    memory = node.peak_memory()
    print(f"\n{size} bytes in {late.manifests[0].fragment_count} fragments: "
          f"early joiner {early.complete_after:.2f} s after its start, "
          f"late joiner {late.complete_after:.2f} s; node peak {memory['VmHWM'] / 1e6:.0f} MB, "
          f"then {memory['RssAnon'] / 1e6:.0f} MB private")
    assert node.stop() == 0


def test_late_joiner_of_six_thousand_fragments(tmp_path, gate, ros):
    tensors = {f"t.{i}": np.array([i], dtype=np.float32) for i in range(6000)}
    signed = Signed(tmp_path, tensors)
    gate(policy=signed.directory, trust=signed.trust)
    first = Subscriber(ros)
    ros.wait_for(state_is(first, Status.STATE_READY), "STATE_READY")
    assert receive(ros, signed).manifests[0].fragment_count == 6000


def test_names_can_be_remapped(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    remaps = ["-r", "__ns:=/robot1", "-r", "__node:=guard", "-r", "~/manifest:=/walk/manifest"]
    gate(*remaps, policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros, "/robot1/guard")
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    elsewhere = Subscriber(ros, "/walk")
    ros.wait_for(lambda: elsewhere.manifests, "the manifest under its new name")


def damage_weights(signed):
    path = signed.directory / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def swap_config(signed):
    (signed.directory / "config.json").write_text('{"type": "mlq"}')


def add_file(signed):
    (signed.directory / "extra.json").write_text("{}")


def put_pickle(signed):
    (signed.directory / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n.")


def forget_manifest(signed):
    (signed.directory / "policy.dsse.json").unlink()


def trust_another_key(signed):
    conftest.tensorgate("keygen", "--out", signed.home / "other")
    signed.trust.write_text(signed.trust.read_text().replace("release.pub", "other.pub"))


def break_trust(signed):
    signed.trust.write_text("threshold = one")


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (damage_weights, "digest-mismatch"),
        (swap_config, "digest-mismatch"),
        (add_file, "file-unexpected"),
        (put_pickle, "size-mismatch"),
        (forget_manifest, "manifest-missing"),
        (trust_another_key, "signature-invalid"),
        (break_trust, None),
    ],
)
def test_bad_policy_is_not_published_and_the_reason_is(tmp_path, gate, ros, tamper, code):
    signed = Signed(tmp_path, conftest.small_tensors())
    tamper(signed)
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    expected = Status.STATE_REJECTED if code else Status.STATE_FAILED
    ros.wait_for(state_is(subscriber, expected), "the refusal on ~/status")
    reason = f"REASON_{code.upper().replace('-', '_')}" if code else "REASON_COULD_NOT_CHECK"
    assert subscriber.statuses[-1].reason == getattr(Status, reason)
    word = code or "trust.toml"
    ros.wait_for(lambda: [log for log in subscriber.logs if word in log.msg], "the line on /rosout")
    assert word in node.text(), "and on stderr"
    count = len(subscriber.statuses)
    ros.wait_for(lambda: len(subscriber.statuses) > count + 10, "a second of heartbeats")
    assert subscriber.manifests == []
    assert node.stop() == 0


def test_an_older_release_is_refused_after_a_newer_one(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    signed.sign("--replace", sequence=7)
    newer = gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    assert newer.stop() == 0
    signed.sign("--replace", sequence=6)
    older = gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "the refusal")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_ROLLBACK
    assert "manifest-rollback" in older.text()


def test_revoked_policy_is_not_published(tmp_path, gate, ros):
    """The list of revocations that the store keeps counts for the node, too."""
    signed = Signed(tmp_path, conftest.small_tensors())
    state = ["--trust", signed.trust, "--state", tmp_path / "store" / "state"]
    digest = conftest.tensorgate("verify", signed.directory, *state)["evidence"]["manifest"]
    revoke = ["trust", "revoke", tmp_path / "list.json", "--key", tmp_path / "release.key.pem"]
    what = ["--manifest", digest, "--reason", "falls on stairs"]
    conftest.tensorgate(*revoke, "--expires", "2099-01-01T00:00:00Z", *what)
    given = ["--revocations", tmp_path / "list.json"]
    told = conftest.tensorgate("verify", signed.directory, *state, *given, status=1)
    assert told["code"] == "manifest-revoked"
    gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REVOKED), "the refusal on ~/status")
    assert subscriber.statuses[-1].reason == Status.REASON_MANIFEST_REVOKED
    # Whoever still has it from an earlier run is told, too.
    assert subscriber.statuses[-1].manifest_digest.tobytes().hex() == digest
    assert subscriber.manifests == []


def test_data_set_is_not_published(tmp_path, gate, ros):
    """However good its signature is: nobody judged it as what moves motors."""
    signed = Signed(tmp_path, conftest.small_tensors())
    (signed.directory / "model.safetensors").unlink()
    signed.sign("--repo-type", "dataset", "--policy-type", "none", "--replace")
    gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "the refusal on ~/status")
    assert subscriber.statuses[-1].reason == Status.REASON_REPO_MISMATCH
    assert subscriber.manifests == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_cleanly_and_withdraw_the_policy(tmp_path, gate, ros, how):
    signed = Signed(tmp_path, conftest.small_tensors())
    node = gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    assert node.stop(how) == 0
    # It says so several times: whoever misses one of them hears another.
    withdrawn = lambda: [it for it in subscriber.statuses if it.state == Status.STATE_WITHDRAWN]
    ros.wait_for(lambda: len(withdrawn()) > 1, "the withdrawal, and once more")


def test_signal_during_start_ends_it_cleanly(tmp_path, gate):
    signed = Signed(tmp_path, conftest.small_tensors())
    for how in (signal.SIGINT, signal.SIGTERM):
        node = gate(policy=signed.directory, trust=signed.trust)
        while "verified" not in node.text() and node.process.poll() is None:
            pass
        assert node.stop(how) == 0


@pytest.mark.parametrize("name", ["get_parameters", "set_parameters"])
def test_a_client_that_no_answer_reaches_does_not_end_it(tmp_path, gate, ros, name):
    """Its reader wants a durability that no server offers, so that the two are never matched."""
    kind = {"get_parameters": GetParameters, "set_parameters": SetParameters}[name]
    node = gate(policy="/nowhere", trust="/nowhere")
    deaf = qos.QoSProfile(depth=10, durability=qos.DurabilityPolicy.TRANSIENT_LOCAL)
    client = ros.create_client(kind, f"/tensorgate/{name}", qos_profile=deaf)

    def called():
        client.call_async(kind.Request())
        return "no answer" in node.text() or node.process.poll() is not None

    ros.wait_for(called, "the word about the lost answer")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_FAILED), "heartbeats")
    request = GetParameters.Request(names=["policy"])
    answer = ros.ask(GetParameters, "/tensorgate/get_parameters", request, "the parameter")
    assert [value.string_value for value in answer.values] == ["/nowhere"]
    assert node.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["-p", "policy:=5"], "quotes"),
        (["-p", "revison:=x"], 'no parameter "revison"'),
        (["-r", "__node:=bad-name"], "could not start ROS"),
        (["--params-file", "/nowhere.yaml"], "could not start ROS"),
    ],
)
def test_wrong_arguments_end_it_with_a_word(arguments, word):
    command = [conftest.PROGRAMS / "tensorgate_node", "--ros-args", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert word in done.stderr
    assert "panicked" not in done.stderr


def test_it_does_not_start_unsecured_where_security_is_enforced(tmp_path):
    """The keystore has no enclave for it."""
    signed = Signed(tmp_path, conftest.small_tensors())
    (tmp_path / "keystore").mkdir()
    secured = {
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(tmp_path / "keystore"),
    }
    given = ["-p", f"policy:={signed.directory}", "-p", f"trust:={signed.trust}"]
    command = [conftest.PROGRAMS / "tensorgate_node", "--ros-args", *given]
    options = {"env": os.environ | secured, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run(command, check=False, **options)
    assert done.returncode == 2
    assert "enclave" in done.stderr and "panicked" not in done.stderr
    assert "publishing" not in done.stdout + done.stderr


def test_a_fifo_is_not_waited_for(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    os.mkfifo(tmp_path / "fifo")
    gate(policy=tmp_path / "fifo", trust=signed.trust)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_FAILED), "STATE_FAILED")


def test_a_held_lock_is_told_and_waited_for(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    first = gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(lambda: "publishing" in first.text(), "the first gate, which makes the store")
    assert first.stop() == 0
    lock = tmp_path / "store" / "state" / "lock"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        node = gate(policy=signed.directory, trust=signed.trust)
        ros.wait_for(lambda: "waiting for another process" in node.text(), "the word")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")


def test_a_policy_without_tensors(tmp_path, gate, ros):
    signed = Signed(tmp_path, conftest.small_tensors())
    (signed.directory / "model.safetensors").unlink()
    signed.sign("--replace", sequence=2)
    gate(policy=signed.directory, trust=signed.trust)
    subscriber = Subscriber(ros, trust=signed.trust)
    # Of no length, and so no truth.
    ros.wait_for(lambda: subscriber.policy is not None, "the policy")
    assert subscriber.policy.files == ["config.json"]
