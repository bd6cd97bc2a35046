"""Attacks on whose signature counts, for what, and until when."""

import base64 as b64

from .ed25519 import B, Q, encode, multiply, number
from .manifest import (
    FILES,
    KEYS,
    NOW,
    REVISION,
    envelope,
    manifest_file,
    pae,
    predicate,
    sha256,
    signature,
    signed,
    statement,
    trust,
)
from .notation import Case

PAYLOAD = statement(predicate(FILES))
BYTES = PAYLOAD.encode()
OTHER = "f" * 40
SHORT = "threshold-not-met"
# A point of order 8, of which every point of low order is a multiple.
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


def case(name, expect, comment, pieces=None, trust_file=None, **head):
    head = {key.replace("_", "-"): value for key, value in head.items()}
    return Case(
        name,
        expect,
        comment,
        head=head,
        parts=[trust_file or trust(), manifest_file(signed(PAYLOAD) if pieces is None else pieces)],
    )


def by(*signatures):
    return envelope(BYTES, signatures)


def signatures():
    invalid = "signature-invalid"
    key_id, sig = signature(BYTES)
    flip = lambda data, at: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    yield case("good", "accept", "One key, and it signed.")
    yield case("stranger", invalid, "The attacker's own key.", signed(PAYLOAD, 2))
    yield case(
        "stranger_under_a_trusted_id",
        invalid,
        "The attacker's signature with the trusted key's id.",
        by((key_id, signature(BYTES, 2)[1])),
    )
    yield case("no_signature", invalid, "An empty list: none of them is wrong.", by())
    yield case("signature_of_zeros", invalid, "64 zeros: good under keys of low order.", by((key_id, bytes(64))))
    yield case("signature_of_junk", invalid, "Any bytes.", by((key_id, bytes(range(64)))))
    yield case("signature_flipped_in_r", invalid, "One bit of the first half.", by((key_id, flip(sig, 0))))
    yield case("signature_flipped_in_s", invalid, "One bit of the second half.", by((key_id, flip(sig, 32))))
    s = int.from_bytes(sig[32:], "little") + Q
    yield case(
        "signature_malleated",
        invalid,
        "S + L: the same equation, another signature of the same message.",
        by((key_id, sig[:32] + s.to_bytes(32, "little"))),
    )
    yield case(
        "payload_of_another_signature",
        invalid,
        "A genuine signature under another manifest.",
        envelope(statement(predicate(FILES, sequence=6)).encode(), [(key_id, sig)]),
    )
    at = BYTES.index(b'"sequence":5') + len('"sequence":')
    yield case("payload_flipped", invalid, "One bit of the payload.", envelope(flip(BYTES, at), [(key_id, sig)]))
    signs = lambda message: by(signature(BYTES, 1, message))
    yield case(
        "signed_without_encoding",
        invalid,
        "A signature of the payload alone: made elsewhere, for another purpose.",
        signs(BYTES),
    )
    yield case("signed_as_base64", invalid, "A signature of the envelope's text.", signs(b64.b64encode(BYTES)))
    yield case(
        "signed_as_other_type",
        invalid,
        "A signature of the same bytes under another type.",
        signs(pae(BYTES, "application/json")),
    )
    yield case(
        "signed_with_other_length",
        invalid,
        "The length that frames the payload is not its own.",
        signs(pae(BYTES).replace(str(len(BYTES)).encode(), b"1", 1)),
    )
    yield case(
        "signed_in_upper_case",
        invalid,
        "Another prefix of the encoding.",
        signs(pae(BYTES).replace(b"DSSEv1", b"DSSEV1", 1)),
    )
    yield case(
        "signed_as_digest", invalid, "A signature of the payload's SHA-256.", signs(bytes.fromhex(sha256(BYTES)))
    )
    yield case(
        "good_beside_wrong",
        "accept",
        "Wrong ones beside enough good ones are ignored, wherever they stand.",
        by((key_id, bytes(64)), (None, bytes(range(64))), signature(BYTES, 2), (key_id, sig)),
    )


def thresholds():
    two = trust(1, 2, 3, threshold=2)
    one, again = signature(BYTES), signature(BYTES, 2)
    yield case("two_of_three", "accept", "Any two will do.", signed(PAYLOAD, 3, 1), two)
    yield case("one_of_two", SHORT, "One stolen key is not enough.", signed(PAYLOAD, 1), two)
    yield case("one_signature_twice", SHORT, "One key signs twice.", by(one, one), two)
    yield case(
        "one_signature_under_two_ids",
        SHORT,
        "The same signature under the id of another key.",
        by(one, (again[0], one[1])),
        two,
    )
    s = int.from_bytes(one[1][32:], "little") + Q
    yield case(
        "one_signature_and_its_twin",
        SHORT,
        "Two signatures of one key that differ: S and S + L.",
        by(one, (again[0], one[1][:32] + s.to_bytes(32, "little"))),
        two,
    )
    yield case(
        "one_key_with_two_nonces",
        SHORT,
        "Two different good signatures by one key.",
        by(one, (again[0], other_nonce())),
        two,
    )
    yield case("one_and_a_stranger", SHORT, "The second is the attacker's own.", signed(PAYLOAD, 1, 4), two)


def other_nonce():
    """A second good signature of key 1: RFC 8032 fixes the nonce, the equation does not."""
    key, message, r = KEYS[1], pae(BYTES), 12345
    point = encode(multiply(r, B))
    return point + ((r + number(point, key.public, message) * key.scalar) % Q).to_bytes(32, "little")


def times():
    yield case(
        "expired", "manifest-expired", "Freeze: the robot is kept on an old release.", now="2027-11-01T00:00:00Z"
    )
    yield case("expired_a_year_ago", "manifest-expired", "The same, long after.", now="2028-11-01T00:00:00Z")
    yield case("last_second", "accept", "Still valid.", now="2027-10-31T23:59:59Z")
    yield case(
        "from_the_future",
        "manifest-not-yet-valid",
        "Signed ahead, to be shown when the key is long gone.",
        now="2026-10-31T23:54:59Z",
    )
    yield case("clock_five_minutes_slow", "accept", "Clocks differ.", now="2026-10-31T23:55:00Z")
    yield case(
        "from_the_year_9000",
        "manifest-not-yet-valid",
        "A time past which arithmetic overflows.",
        signed(statement(predicate(FILES, issued="9000-01-01T00:00:00Z", expires="9999-12-30T22:00:00Z"))),
    )
    yield case(
        "clock_set_back",
        "manifest-expired",
        "The clock is set back to when the old release was valid; the robot has seen later times.",
        floor="2027-11-02T00:00:00Z",
    )
    yield case(
        "clock_set_back_harmlessly",
        "accept",
        "The robot has seen later times, and the release is valid then, too.",
        now="2026-01-01T00:00:00Z",
        floor="2026-11-22T00:00:00Z",
    )
    expiry = lambda more: trust(more=more)
    yield case(
        "expired_and_waived",
        "accept",
        "A robot without a network: the operator is told.",
        trust_file=expiry('\n[freshness]\nexpires = "warn"\n'),
        now="2028-01-01T00:00:00Z",
        notice="manifest-expired",
    )
    yield case(
        "from_the_future_is_never_waived",
        "manifest-not-yet-valid",
        "The waiver is for what is old.",
        trust_file=expiry('\n[freshness]\nexpires = "warn"\n'),
        now="2026-10-01T00:00:00Z",
    )
    yield case(
        "older_than_allowed",
        "manifest-expired",
        "The signer allows years, the operator days.",
        trust_file=expiry("\n[freshness]\nmax_age_days = 21\n"),
    )
    yield case(
        "as_old_as_allowed",
        "accept",
        "Within the operator's days.",
        trust_file=expiry("\n[freshness]\nmax_age_days = 23\n"),
    )


def histories():
    digest, rollback, jump = sha256(BYTES), "manifest-rollback", "\n[rollback]\nmax_jump = 10\n"
    yield case(
        "rollback",
        rollback,
        "An old release, correctly signed, with a flaw that was mended since.",
        accepted=f"6 {'0' * 64}",
    )
    yield case(
        "rollback_from_the_last",
        rollback,
        "A sequence can go no higher; nothing older counts.",
        accepted=f"{2**64 - 1} {'0' * 64}",
    )
    yield case(
        "same_sequence_other_content",
        rollback,
        "Two releases of one number: which one runs depends on who asks.",
        accepted=f"5 {'0' * 64}",
    )
    yield case(
        "same_release_again", "accept", "The same release: with more signatures, perhaps.", accepted=f"5 {digest}"
    )
    yield case("next_release", "accept", "One step on.", accepted=f"4 {'0' * 64}")
    yield case(
        "history_lost",
        "could-not-check",
        "The attacker deletes the memory of newer releases.",
        accepted="lost",
        error="rollback state",
    )
    jumps = lambda sequence: signed(statement(predicate(FILES, sequence=sequence)))
    yield case(
        "fast_forward",
        "manifest-fast-forward",
        "A number so high that no later release counts.",
        jumps(2**64 - 1),
        trust(more=jump),
        accepted=f"5 {'0' * 64}",
    )
    yield case(
        "fast_forward_by_one_too_many",
        "manifest-fast-forward",
        "One past the operator's bound.",
        jumps(16),
        trust(more=jump),
        accepted=f"5 {'0' * 64}",
    )
    yield case(
        "jump_as_far_as_allowed",
        "accept",
        "At the operator's bound.",
        jumps(15),
        trust(more=jump),
        accepted=f"5 {'0' * 64}",
    )
    yield case(
        "fast_forward_past_the_last",
        "accept",
        "The bound is past what a number can be; nothing wraps around.",
        jumps(2**64 - 1),
        trust(more=jump),
        accepted=f"{2**64 - 3} {'0' * 64}",
    )


def targets():
    yield case("asked_for_and_signed", "accept", "The very repository and commit.", repo="acme/walk", revision=REVISION)
    yield case("other_repository", "repo-mismatch", "A genuine policy for another robot.", repo="acme/run")
    yield case("other_case_of_repository", "repo-mismatch", "Equal only where case is ignored.", repo="Acme/walk")
    yield case(
        "dataset_in_place_of_model",
        "repo-mismatch",
        "The id is the same, the kind of repository is not.",
        repo="acme/walk",
        repo_type="dataset",
    )
    yield case(
        "other_commit", "revision-mismatch", "A genuine policy of another commit: mix and match.", revision=OTHER
    )
    for what, revision in (
        ("branch", "main"),
        ("short_commit", REVISION[:12]),
        ("commit_in_upper_case", REVISION.upper()),
        ("reference", "refs/pr/1"),
    ):
        yield case(
            f"asked_for_a_{what}",
            "revision-not-pinned",
            "A name that moves: what it means is the Hub's word.",
            revision=revision,
        )


def key_rules():
    until = lambda when: trust(key_lines=f'not_after = "{when}"\n')
    repos = lambda *globs: trust(key_lines=f"repos = {list(globs)}\n".replace("'", '"'))
    yield case(
        "key_expired",
        "key-expired",
        "A key that was retired, found on an old disk.",
        trust_file=until("2026-11-20T00:00:00Z"),
        also=SHORT,
    )
    yield case(
        "key_expires_now",
        "key-expired",
        "The last instant is not the key's any more.",
        trust_file=until(NOW),
        also=SHORT,
    )
    yield case("key_expires_tomorrow", "accept", "Still in time.", trust_file=until("2026-11-24T00:00:00Z"))
    for what, globs in (
        ("of_another_owner", ["other/*"]),
        ("of_another_name", ["acme/run"]),
        ("of_a_prefix", ["acme/wal"]),
        ("of_another_case", ["ACME/*"]),
    ):
        yield case(
            f"key_{what}",
            "key-out-of-scope",
            "A key of one team signs for another's robots.",
            trust_file=repos(*globs),
            also=SHORT,
        )
    for what, globs in (
        ("name", ["acme/walk"]),
        ("owner", ["acme/*"]),
        ("second", ["acme/run", "acme/w*"]),
        ("end", ["*/*k"]),
        ("many_stars", ["*c*/*a*l*"]),
    ):
        yield case(f"key_in_scope_by_{what}", "accept", "The repository is the key's.", trust_file=repos(*globs))
    two = lambda line: trust(1, threshold=2, key_lines=line, more=second_key())
    yield case(
        "expired_key_is_not_the_second",
        "key-expired",
        "One good key and one whose time is over are one key.",
        signed(PAYLOAD, 1, 2),
        two('not_after = "2026-11-20T00:00:00Z"\n'),
        also=SHORT,
    )
    yield case(
        "foreign_key_is_not_the_second",
        "key-out-of-scope",
        "One good key and one of another team are one key.",
        signed(PAYLOAD, 1, 2),
        two('repos = ["other/*"]\n'),
        also=SHORT,
    )
    yield case(
        "expired_key_beside_enough",
        "accept",
        "One good key is enough here; the other does not count.",
        signed(PAYLOAD, 1, 2),
        trust(1, key_lines='not_after = "2026-11-20T00:00:00Z"\n', more=second_key()),
    )


def second_key():
    return f'\n[[keys]]\nname = "key 2"\npublic_key = """\n{KEYS[2].pem()}"""\n'


def cases():
    for group in (signatures, thresholds, times, histories, targets, key_rules):
        yield from group()
