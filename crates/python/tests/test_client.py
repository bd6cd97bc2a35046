"""The module's own part: arguments, clocks and exceptions. The rules are tested in Rust.

    PYTHONPATH=target/python pytest crates/python/tests
"""

import pytest
from tensorgate_client import Receiver, Rejected

SESSION, TABLE = bytes(16), (1 << 20, 0, b"")

# RFC 8410, section 10.1.
TRUST = """threshold = 1
[[keys]]
name = "release"
public_key = '''
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
'''
"""

ENVELOPE = b"""{"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": []}"""


@pytest.fixture
def trust(tmp_path):
    file = tmp_path / "trust.toml"
    file.write_text(TRUST)
    file.chmod(0o644)
    return file


def test_there_is_nothing_to_act_on_at_first(trust):
    receiver = Receiver(trust)
    assert receiver.state == "no-policy"
    assert receiver.policy is receiver.active is receiver.receiving is None
    assert receiver.missing == []


def test_a_refusal_says_why_and_changes_nothing(trust):
    receiver = Receiver(str(trust), repo="acme/walk", revision="0" * 40, max_bytes=1)
    with pytest.raises(Rejected) as refused:
        receiver.announce(SESSION, 1, ENVELOPE, [("config.json", b"{}")], *TABLE)
    assert isinstance(refused.value, ValueError)
    assert refused.value.code == "signature-invalid"
    assert refused.value.subject == "signatures"
    assert refused.value.detail == "0 of 1 trusted keys signed it, 1 must"
    assert receiver.state == "no-policy"


def test_the_receivers_own_rules_are_refusals_too(trust):
    with pytest.raises(Rejected) as refused:
        Receiver(trust).announce(SESSION, 0, ENVELOPE, [], *TABLE)
    assert (refused.value.code, refused.value.subject) == ("manifest-malformed", "epoch")


def test_what_was_not_announced_is_ignored(trust):
    receiver = Receiver(trust)
    assert receiver.fragment(SESSION, 1, 0, b"bytes") is None
    for lease in (0.5, -1.0, float("nan"), float("inf")):
        receiver.status(SESSION, 1, 1, 3, bytes(32), lease)
    assert receiver.state == "no-policy"


@pytest.mark.parametrize("session", [b"", bytes(15), bytes(17)])
def test_a_session_has_16_bytes(trust, session):
    with pytest.raises(ValueError):
        Receiver(trust).fragment(session, 1, 0, b"")


def test_a_trust_policy_that_others_can_write_is_no_trust_policy(trust):
    trust.chmod(0o666)
    with pytest.raises(OSError, match="may write it"):
        Receiver(trust)


def test_a_trust_policy_that_is_missing_or_malformed(trust, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Receiver(tmp_path / "absent.toml")
    trust.write_text(TRUST + "\nthreshhold = 1\n")
    with pytest.raises(ValueError, match="threshhold"):
        Receiver(trust)


@pytest.mark.parametrize("expected", [{"repo": "walk"}, {"revision": "main"}])
def test_an_expectation_that_means_nothing(trust, expected):
    with pytest.raises(ValueError):
        Receiver(trust, **expected)
