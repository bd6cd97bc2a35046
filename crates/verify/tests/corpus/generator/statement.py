"""Attacks on the statement inside an envelope: a holder of a trusted key signs what is not of the documented form."""

from .envelope import MALFORMED, PAYLOAD, case, changed, rewritten
from .manifest import (
    EXPIRES,
    FILES,
    ISSUED,
    PREDICATE,
    REVISION,
    REVOCATIONS,
    STATEMENT,
    predicate,
    sha256,
    signed,
    statement,
)
from .notation import content


def statements():
    other = "predicate-type-unsupported"
    yield changed(
        "predicate_of_model_signing",
        other,
        "A good OpenSSF signature by the same key is no manifest.",
        PREDICATE,
        "https://model_signing/signature/v1.0",
    )
    yield changed(
        "predicate_of_provenance",
        other,
        "How it was built is not whether it may drive.",
        PREDICATE,
        "https://slsa.dev/provenance/v1",
    )
    yield changed(
        "predicate_of_the_next_version",
        other,
        "A meaning that this version does not know.",
        PREDICATE,
        "urn:tensorgate:policy:v2",
    )
    yield changed(
        "predicate_of_revocations", other, "A list of what is bad, offered as what is good.", PREDICATE, REVOCATIONS
    )
    yield changed(
        "statement_of_another_version",
        other,
        "Another version may give the fields another meaning.",
        STATEMENT,
        "https://in-toto.io/Statement/v0.1",
    )
    yield changed(
        "predicate_type_missing", MALFORMED, "Taken for the expected one.", f'"predicateType":"{PREDICATE}",\n', ""
    )
    yield case("payload_empty", MALFORMED, "A signature of nothing.", signed(""))
    yield case("payload_not_json", MALFORMED, "Signed, and still no statement.", signed("yes"))
    yield case(
        "payload_second_value",
        MALFORMED,
        "Bytes behind the statement, of no meaning to one reader and of all meaning to another.",
        signed(PAYLOAD + "{}"),
    )
    yield changed(
        "unknown_field_in_statement",
        "manifest-unknown-field",
        "A condition that this version would not honour.",
        '"subject":',
        '"valid_for":"dock 3",\n"subject":',
    )
    yield changed(
        "unknown_field_in_predicate",
        "manifest-unknown-field",
        "A condition that this version would not honour.",
        '"sequence"',
        '"max_speed":0.5,\n"sequence"',
    )
    yield changed(
        "unknown_field_in_repo",
        "manifest-unknown-field",
        "A branch beside the commit.",
        '"id":"acme/walk"',
        '"id":"acme/walk","branch":"main"',
    )
    yield changed(
        "unknown_field_in_file",
        "manifest-unknown-field",
        "Where should it be fetched from?",
        '"kind":"config"',
        '"kind":"config","url":"https://evil.example"',
    )
    twice = "json-duplicate-key"
    yield changed(
        "sequence_twice",
        twice,
        "The low one is checked, the high one remembered.",
        '"sequence":5',
        '"sequence":5,\n"sequence":900',
    )
    yield changed(
        "sequence_twice_escaped",
        twice,
        "The same with an escape in the name.",
        '"sequence":5',
        '"sequence":5,\n"s\\u0065quence":900',
    )
    yield changed(
        "files_twice",
        twice,
        "One list for the signer's eyes, one for the robot.",
        '"externals":[]',
        '"externals":[],\n"files":[]',
    )
    yield changed(
        "digest_twice",
        twice,
        "Two digests of one file: either may match.",
        '"kind":"config"',
        f'"kind":"config","sha256":"{"0" * 64}"',
    )
    yield changed(
        "predicate_twice",
        twice,
        "Two manifests under one signature.",
        '"predicate":{',
        '"predicate":{},\n"predicate":{',
    )
    for what, value in (
        ("negative", "-1"),
        ("fraction", "5.5"),
        ("whole_fraction", "5.0"),
        ("exponent", "5e0"),
        ("text", '"5"'),
        ("past_64_bits", "18446744073709551616"),
        ("null", "null"),
    ):
        yield changed(
            f"sequence_{what}",
            MALFORMED,
            "Numbers that readers round, wrap or convert: an order that is not one.",
            '"sequence":5',
            f'"sequence":{value}',
        )
    yield changed(
        "issued_with_offset",
        MALFORMED,
        "Another spelling of an instant: compared as text it is another.",
        f'"issued":"{ISSUED}"',
        '"issued":"2026-11-01T00:00:00+00:00"',
    )
    yield changed(
        "issued_without_zone", MALFORMED, "Local time: whose?", f'"issued":"{ISSUED}"', '"issued":"2026-11-01T00:00:00"'
    )
    yield changed(
        "expires_as_number", MALFORMED, "Seconds or milliseconds?", f'"expires":"{EXPIRES}"', '"expires":1793491200'
    )
    yield changed("expires_missing", MALFORMED, "Valid for ever, were it optional.", f'"expires":"{EXPIRES}",\n', "")
    yield changed("expires_with_issue", MALFORMED, "Never valid.", f'"expires":"{EXPIRES}"', f'"expires":"{ISSUED}"')
    for what, value in (
        ("branch", "main"),
        ("tag", "v1.0"),
        ("short", REVISION[:7]),
        ("upper_case", REVISION.upper()),
        ("of_sha256", "0" * 64),
        ("empty", ""),
    ):
        yield changed(
            f"revision_{what}",
            MALFORMED,
            "A name that moves, or a commit that is not spelled in full.",
            REVISION,
            value,
        )
    for what, value in (
        ("climbing", "../walk"),
        ("without_owner", "walk"),
        ("of_three_parts", "a/b/c"),
        ("with_query", "acme/walk?x"),
        ("with_space", "acme/ walk"),
    ):
        yield changed(
            f"repo_id_{what}",
            MALFORMED,
            "An id that is built into URLs and paths.",
            '"id":"acme/walk"',
            f'"id":"{value}"',
        )
    yield changed(
        "repo_type_space", MALFORMED, "A kind of repository whose files run.", '"type":"model"', '"type":"space"'
    )
    yield changed(
        "optional_null",
        MALFORMED,
        "Neither there nor left out.",
        '"policy":{"type":"mlp"}',
        '"policy":{"type":"mlp","robot":null}',
    )
    yield changed(
        "policy_type_with_escape",
        MALFORMED,
        "Clears the operator's screen.",
        '"policy":{"type":"mlp"}',
        '"policy":{"type":"\\u001b[2J"}',
    )
    yield changed(
        "policy_name_turned",
        MALFORMED,
        "Reads backwards on the operator's screen.",
        '"policy":{"type":"mlp"}',
        '"policy":{"type":"mlp","name":"\\u202everified"}',
    )
    yield changed(
        "policy_name_of_2000_bytes",
        MALFORMED,
        "Floods the log.",
        '"policy":{"type":"mlp"}',
        f'"policy":{{"type":"mlp","name":"{"x" * 2000}"}}',
    )


def subjects():
    good = [{"name": name, "digest": {"sha256": sha256(content(pieces))}} for name, pieces, _ in FILES]

    def of(name, comment, subject):
        return case(f"subject_{name}", MALFORMED, comment, signed(statement(predicate(FILES), subject=subject)))

    yield of("missing_file", "What other in-toto tools see is less than what is installed.", good[:1])
    yield of(
        "extra_file",
        "What other in-toto tools see is more than what is installed.",
        good + [{"name": "x.json", "digest": {"sha256": "0" * 64}}],
    )
    yield of(
        "other_digest",
        "Another file in the eyes of other tools.",
        [good[0], good[1] | {"digest": {"sha256": "0" * 64}}],
    )
    yield of("other_order", "Two spellings of one list.", good[::-1])
    yield of("empty", "A statement about nothing.", [])


def externals():
    pin = {
        "repo": "acme/backbone",
        "revision": REVISION,
        "files": [{"path": "w.safetensors", "size": 1, "sha256": "0" * 64}],
    }

    def of(name, comment, expect=MALFORMED, **external):
        entry = {"field": "config.json#/vlm_model_name", "name": "acme/backbone"} | external
        return rewritten(f"external_{name}", expect, comment, lambda inner: inner.update(externals=[entry]))

    yield of("absent_without_reason", "A decision that nobody gave a reason for.", decision="absent")
    yield of("absent_and_pinned", "Both at once.", decision="absent", reason="none is loaded", **pin)
    yield of(
        "pinned_without_files",
        "A commit alone: what is in it is the Hub's word.",
        decision="pinned",
        repo=pin["repo"],
        revision=REVISION,
    )
    yield of("pinned_to_a_branch", "A name that moves.", decision="pinned", **pin | {"revision": "main"})
    yield of(
        "pinned_path_climbing",
        "A name that leaves the directory.",
        decision="pinned",
        **pin | {"files": [pin["files"][0] | {"path": "../x"}]},
    )
    yield of("of_unknown_decision", "A decision that this version does not know.", decision="ask")
    yield of("reason_with_escape", "Clears the operator's screen.", decision="absent", reason="\u001b[2J")


def cases():
    for group in (statements, subjects, externals):
        yield from group()
