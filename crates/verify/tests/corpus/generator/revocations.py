"""What was called back: by the operator in the trust policy, by a signed list."""

from .manifest import (
    EXPIRES,
    FILES,
    ISSUED,
    KEYS,
    REVISION,
    REVOCATIONS,
    listed,
    predicate,
    sha256,
    signed,
    statement,
    trust,
)
from .notation import file
from .trust import BYTES, OTHER, PAYLOAD, SHORT, case


def revoked(*entries):
    return "".join(f'\n[[revoked]]\n{field} = "{value}"\nreason = "{reason}"\n' for field, value, reason in entries)


def revocations():
    config, weights = (listed(*row) for row in FILES)
    of = lambda field, value: trust(more=revoked((field, value, "found to be bad")))
    yield case("key_revoked", "key-revoked", "A stolen key.", trust_file=of("key", KEYS[1].id()), also=SHORT)
    yield case("other_key_revoked", "accept", "Another key was stolen.", trust_file=of("key", KEYS[2].id()))
    yield case(
        "revoked_key_is_not_the_second",
        "key-revoked",
        "One good key and a stolen one are one key.",
        signed(PAYLOAD, 1, 2),
        trust(1, 2, threshold=2, more=revoked(("key", KEYS[2].id(), "stolen"))),
        also=SHORT,
    )
    yield case(
        "manifest_revoked",
        "manifest-revoked",
        "A release that was called back.",
        trust_file=of("manifest", sha256(BYTES)),
    )
    yield case(
        "manifest_revoked_with_more_signatures",
        "manifest-revoked",
        "The same statement in another envelope.",
        signed(PAYLOAD, 1, 2),
        of("manifest", sha256(BYTES)),
    )
    yield case(
        "revision_revoked",
        "revision-revoked",
        "A commit that was called back, under a new manifest.",
        signed(statement(predicate(FILES, sequence=6))),
        of("revision", REVISION),
    )
    for what, digest in (
        ("file", config["blake3"]),
        ("weights", weights["blake3"]),
        ("tensor", weights["tensors"][0]["blake3"]),
    ):
        yield case(
            f"digest_of_{what}_revoked",
            "digest-revoked",
            "Bad bytes in a new release.",
            trust_file=of("blake3", digest),
        )
    yield case(
        "nothing_of_it_revoked",
        "accept",
        "A list of other things.",
        trust_file=trust(
            more=revoked(("manifest", "0" * 64, "a"), ("blake3", "0" * 64, "b"), ("revision", OTHER, "c"))
        ),
    )


def listing(sequence, *entries, **changes):
    """A statement that calls back these: (field, value)."""
    kinds = {"key": "sha256", "manifest": "sha256", "blake3": "blake3", "revision": "gitCommit"}
    subject = [{"name": field, "digest": {kinds[field]: value}} for field, value in entries]
    inner = {
        "sequence": sequence,
        "issued": ISSUED,
        "expires": EXPIRES,
        "revoked": [{field: value, "reason": "found to be bad"} for field, value in entries],
    } | changes
    return statement(inner, REVOCATIONS, subject)


def lists():
    """`revocations.dsse.json`: what was called back since the trust policy was written."""
    config = listed(*FILES[0])
    this = listing(1, ("manifest", sha256(BYTES)))

    def of(name, expect, comment, pieces, trust_file=None, **head):
        made = case(name, expect, comment, trust_file=trust_file, **head)
        made.parts.append(file("revocations.dsse.json", pieces))
        return made

    yield of("list_of_manifest", "manifest-revoked", "A release that was called back.", signed(this))
    yield of(
        "list_of_key",
        "key-revoked",
        "A stolen key, called back by the other.",
        signed(listing(1, ("key", KEYS[1].id())), 2),
        trust(1, 2),
        also=SHORT,
    )
    yield of(
        "list_of_revision",
        "revision-revoked",
        "A commit that was called back.",
        signed(listing(1, ("revision", REVISION))),
    )
    yield of(
        "list_of_digest",
        "digest-revoked",
        "A file that was called back.",
        signed(listing(1, ("blake3", config["blake3"]))),
    )
    yield of(
        "list_of_others",
        "accept",
        "Other things were called back.",
        signed(listing(1, ("manifest", "0" * 64), ("blake3", "0" * 64))),
    )
    yield of("list_empty", "accept", "Nothing was called back.", signed(listing(1)))
    yield of(
        "list_by_a_stranger",
        "signature-invalid",
        "Whoever writes the list takes policies away from robots, or hides that they were.",
        signed(this, 2),
    )
    yield of(
        "list_by_too_few", SHORT, "One stolen key calls everything back.", signed(this, 1), trust(1, 2, threshold=2)
    )
    yield of(
        "list_by_a_key_in_scope",
        "key-out-of-scope",
        "A list speaks of all repositories; this key does not.",
        signed(this),
        trust(key_lines='repos = ["acme/*"]\n'),
        also=SHORT,
    )
    yield of(
        "list_expired",
        "manifest-expired",
        "Freeze: the robot is kept from newer lists.",
        signed(listing(1, issued="2026-09-01T00:00:00Z", expires="2026-10-01T00:00:00Z")),
    )
    yield of(
        "list_from_the_future",
        "manifest-not-yet-valid",
        "A list made ahead of its time.",
        signed(listing(1, issued="2027-01-01T00:00:00Z")),
    )
    yield of(
        "manifest_as_list",
        "predicate-type-unsupported",
        "What is good, offered as the list of what is bad: nothing is called back.",
        signed(PAYLOAD),
    )
    yield of(
        "list_with_unknown_field",
        "manifest-unknown-field",
        "An exception that this version would not honour.",
        signed(this.replace('"sequence"', '"except":"dock 3","sequence"', 1)),
    )
    yield of(
        "list_with_field_twice",
        "json-duplicate-key",
        "An empty list behind the full one.",
        signed(this.replace('"revoked"', '"revoked":[],"revoked"', 1)),
    )
    yield of(
        "list_of_two_in_one_entry",
        "manifest-malformed",
        "Which of the two is called back?",
        signed(this.replace('"reason"', f'"revision":"{OTHER}","reason"', 1)),
    )
    yield of(
        "list_of_a_branch",
        "manifest-malformed",
        "A name that moves.",
        signed(this.replace(f'"revoked":[\n{{"manifest":"{sha256(BYTES)}"', '"revoked":[\n{"revision":"main"', 1)),
    )
    yield of(
        "list_with_other_subject",
        "manifest-malformed",
        "What other in-toto tools see is not what is called back.",
        signed(this.replace('"subject":[', '"subject":[{"name":"x","digest":{}},', 1)),
    )
    yield of(
        "list_without_reason",
        "manifest-malformed",
        "Nobody can tell why.",
        signed(this.replace(',"reason":"found to be bad"', "", 1)),
    )
    yield of(
        "list_with_escape",
        "manifest-malformed",
        "Clears the operator's screen.",
        signed(this.replace("found to be bad", "\\u001b[2J", 1)),
    )


def cases():
    yield from revocations()
    yield from lists()
