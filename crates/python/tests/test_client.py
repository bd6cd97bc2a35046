"""The module's own part: arguments, clocks and exceptions. The rules are tested in Rust.

    PYTHONPATH=target/python pytest crates/python/tests
"""

import base64
import hashlib
import json
import os
import threading
import time
from pathlib import Path

import pytest
from tensorgate_client import Receiver, Rejected, well_known

PLACES = [
    Path(f"{directory}/tensorgate/robot1.tensorgate")
    for directory in ("/run", os.environ.get("XDG_RUNTIME_DIR"))
]
SESSION, TABLE = bytes(16), (1 << 20, 0, b"")

# RFC 8410, section 10.1.
NOBODY = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
TRUST = f"""threshold = 1
[[keys]]
name = "release"
public_key = '''
-----BEGIN PUBLIC KEY-----
{NOBODY}
-----END PUBLIC KEY-----
'''
"""

ENVELOPE = b"""{"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": []}"""

# Release 5 of acme/walk, a configuration alone, signed by the key whose seed is 32 times 1.
SIGNER = "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="
CONFIG = b'{"type": "mlp"}'
PAYLOAD = (
    b'{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"config.json","digest":{"sha256":'
    b'"7864f075320cf03e9702c9346f3443fe11df21b8782b8806f7493cec0e1ac4c8"}}],"predicateType":'
    b'"urn:tensorgate:policy:v1","predicate":{"repo":{"type":"model","id":"acme/walk","revision":'
    b'"0123456789abcdef0123456789abcdef01234567"},"sequence":5,"issued":"2026-11-01T00:00:00Z",'
    b'"expires":"9999-11-01T00:00:00Z","policy":{"type":"mlp","robot":"go2"},"files":[{"path":"config.json",'
    b'"size":15,"sha256":"7864f075320cf03e9702c9346f3443fe11df21b8782b8806f7493cec0e1ac4c8",'
    b'"blake3":"8c1a344d77581b26ca891c1389fbe651d2208a02183e287442d0ab4a18344841",'
    b'"kind":"config"}],"externals":[],"reviewed_code":[]}}'
)
SIGNATURE = (
    "AerxIPyCAjicFQuJxSV2B9dLbzlI5GXjLpv2CdAqeR3NZlfBsGZRquj3QSMHOhokysyXHZO8IG6vNdCyjpfUAw=="
)
RELEASE = {
    "payloadType": "application/vnd.in-toto+json",
    "payload": base64.b64encode(PAYLOAD).decode(),
    "signatures": [{"sig": SIGNATURE}],
}
MANIFEST = hashlib.sha256(PAYLOAD)


@pytest.fixture
def trust(tmp_path):
    file = tmp_path / "trust.toml"
    file.write_text(TRUST)
    file.chmod(0o644)
    return file


@pytest.fixture
def signer(trust):
    trust.write_text(TRUST.replace(NOBODY, SIGNER))
    return trust


def announce(receiver):
    files = [("config.json", CONFIG)]
    return receiver.announce(SESSION, 1, json.dumps(RELEASE).encode(), files, *TABLE)


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
    assert refused.value.detail == "0 of 1 trusted keys signed it and count, 1 must"
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
    with pytest.raises(OSError, match="may be written"):
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


def test_a_policy_that_arrived_is_acted_on_until_it_is_revoked(signer):
    receiver = Receiver(signer, repo="acme/walk")
    policy = announce(receiver)
    assert receiver.look() == ("verified", policy) and receiver.active is None
    receiver.status(SESSION, 1, 0, 3, MANIFEST.digest(), 5.0)
    assert receiver.state == "active"
    assert receiver.active is receiver.policy is policy
    assert policy.manifest_digest == MANIFEST.hexdigest()
    assert (policy.policy_type, policy.robot) == ("mlp", "go2")
    assert policy.read("config.json") == CONFIG
    receiver.status(SESSION, 1, 1, 7, MANIFEST.digest(), 0.5)
    assert receiver.state == "revoked"
    assert receiver.active is None
    assert receiver.policy.sequence == 5


def test_the_newest_release_is_remembered_across_restarts(signer, tmp_path):
    state = tmp_path / "state"
    assert announce(Receiver(signer, state=state)).sequence == 5
    assert announce(Receiver(signer, state=state)).sequence == 5
    # As a newer release would have left it.
    (record,) = (state / "rollback").iterdir()
    record.write_text(record.read_text().replace('"sequence":5', '"sequence":6'))
    receiver = Receiver(signer, state=state)
    with pytest.raises(Rejected) as refused:
        announce(receiver)
    assert refused.value.code == "manifest-rollback"
    assert receiver.refusals == (1, "manifest-rollback")
    assert announce(Receiver(signer)).sequence == 5


def test_what_cannot_be_remembered_does_not_come_into_force(signer, tmp_path):
    state = tmp_path / "state"
    announce(Receiver(signer, state=state))
    (record,) = (state / "rollback").iterdir()
    record.write_text("{}")
    receiver = Receiver(signer, state=state)
    with pytest.raises(OSError, match="damaged"):
        announce(receiver)
    assert receiver.state == "no-policy"


def test_a_state_that_others_can_write_is_no_state(signer, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o777)
    with pytest.raises(OSError):
        Receiver(signer, state=state)


def test_a_proof_can_be_made_apart_and_once(signer):
    receiver = Receiver(signer)
    files = [("config.json", CONFIG)]
    candidate = receiver.begin(SESSION, 1, json.dumps(RELEASE).encode(), files, *TABLE)
    assert receiver.state == "receiving" and receiver.knows(SESSION, 1)
    assert receiver.settle(candidate).sequence == 5
    with pytest.raises(ValueError):
        receiver.settle(candidate)
    assert receiver.pull() is None


def test_nobody_hands_over_where_nobody_listens(signer, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        Receiver(signer).take_over(tmp_path / "gate")
    for timeout in (-1.0, float("nan")):
        with pytest.raises(ValueError):
            Receiver(signer).take_over(tmp_path / "gate", timeout)


def test_the_place_of_a_hand_off_follows_from_the_gates_name():
    assert well_known("/robot1/tensorgate") in (None, *PLACES)
    assert well_known("/../tensorgate") is None


def test_a_control_loop_does_not_wait_for_a_message_that_is_verified(signer):
    receiver = Receiver(signer)
    announce(receiver)
    receiver.status(SESSION, 1, 0, 3, MANIFEST.digest(), 5.0)
    # Nearly as much as is read of an envelope, and only the last byte of it is wrong.
    huge = b'{"payload": "' + b"A" * (30 << 20) + b'"]'
    took = []

    def verify():
        begun = time.perf_counter()
        for _ in range(10):
            with pytest.raises(Rejected):
                receiver.announce(SESSION, 2, huge, [], *TABLE)
        took.append(time.perf_counter() - begun)

    thread = threading.Thread(target=verify)
    thread.start()
    looks = 0
    while not took:
        assert receiver.state in ("active", "stale")
        looks += 1
        time.sleep(0.0001)
    thread.join()
    assert looks > 50
