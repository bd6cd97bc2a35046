"""Names from hostile headers and manifests, signed by a key that is trusted: they end nothing, and
forge no line of the log. Made by the corpus's own implementation of the formats: the command would
not sign them."""

import json
import sys

import pytest
from conftest import ROOT
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from test_gate import state_is

sys.path.insert(0, str(ROOT / "crates/verify/tests/corpus"))
from generator import manifest, tensors  # noqa: E402
from generator.notation import content, text  # noqa: E402

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
    change = lambda inner: inner["files"].__setitem__(1, entry)
    sign(directory, tmp_path / "trust.toml", manifest.FILES, change)
    (directory / "model.safetensors").write_bytes(bad)
    node = gate(policy=directory, trust=tmp_path / "trust.toml")
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_REJECTED), "the refusal")
    assert subscriber.manifests == []
    assert node.stop() == 0
    assert "panicked" not in node.text()
