"""Attacks on the form of an envelope."""

import base64 as b64
import json

from .manifest import (
    FILES,
    KEYS,
    PAYLOAD_TYPE,
    envelope,
    manifest_file,
    predicate,
    signature,
    signed,
    statement,
    trust,
)
from .notation import Case, repeat, text

PAYLOAD = statement(predicate(FILES))
MALFORMED = "manifest-malformed"


def case(name, expect, comment, pieces, **head):
    return Case(name, expect, comment, head=head, parts=[trust(), manifest_file(pieces)])


def changed(name, expect, comment, old, new, **head):
    """A statement in which `old` became `new`, signed by a trusted key."""
    assert old in PAYLOAD, old
    return case(name, expect, comment, signed(PAYLOAD.replace(old, new, 1)), **head)


def rewritten(name, expect, comment, change, **head):
    """A statement whose predicate was changed, signed by a trusted key."""
    inner = json.loads(json.dumps(predicate(FILES)))
    change(inner)
    return case(name, expect, comment, signed(statement(inner)), **head)


def edited(name, expect, comment, old, new, **head):
    """The envelope's own text changed."""
    good = plain(PAYLOAD)
    assert old in good, old
    return case(name, expect, comment, text(good.replace(old, new, 1)), **head)


def plain(payload):
    """A good envelope as text, its base64 not unfolded."""
    key_id, sig = signature(payload.encode())
    return (
        f'{{"payloadType":"{PAYLOAD_TYPE}","payload":"{b64.b64encode(payload.encode()).decode()}",'
        f'"signatures":[{{"keyid":"{key_id}","sig":"{b64.b64encode(sig).decode()}"}}]}}'
    )


def cases():
    sig = b64.b64encode(signature(PAYLOAD.encode())[1]).decode()
    payload = b64.b64encode(PAYLOAD.encode()).decode()
    key_id = KEYS[1].id()
    yield case("good", "accept", "What a signer writes.", signed(PAYLOAD))
    yield case(
        "good_without_key_id",
        "accept",
        "The key id is a hint; trust comes from the keys.",
        envelope(PAYLOAD.encode(), [(None, signature(PAYLOAD.encode())[1])]),
    )
    yield case(
        "good_with_white_space",
        "accept",
        "White space between tokens is free.",
        text(" \n") + signed(PAYLOAD) + text("\r\n\t"),
    )
    yield case("empty", MALFORMED, "Nothing: an error in the reader must not read as consent.", [])
    yield case("not_json", MALFORMED, "A PEM in place of JSON.", text("-----BEGIN SIGNATURE-----\n"))
    yield case(
        "too_large", "manifest-too-large", "An envelope without end.", signed(PAYLOAD) + repeat(33 << 20, text(" "))
    )
    yield case("nested_deeply", MALFORMED, "A recursive parser runs out of stack.", repeat(100_000, text("[")))
    yield case("byte_order_mark", MALFORMED, "Skipped by some readers only.", text(b"\xef\xbb\xbf") + signed(PAYLOAD))
    yield case("not_utf8", MALFORMED, "A byte that readers replace or drop.", text(b'{"payloadType":"\xff"}'))
    yield case("second_value", MALFORMED, "Which of two envelopes counts?", signed(PAYLOAD) + text("{}"))
    yield case(
        "as_array",
        MALFORMED,
        "Read by position where a reader maps arrays to fields.",
        text(f'["{PAYLOAD_TYPE}","{payload}",[{{"sig":"{sig}"}}]]'),
    )
    yield edited(
        "unknown_field",
        "manifest-unknown-field",
        "Unsigned text beside the signed: shown by one tool, obeyed by another.",
        '{"payloadType"',
        '{"note":"reviewed by security","payloadType"',
    )
    yield edited(
        "unknown_field_in_signature",
        "manifest-unknown-field",
        "A certificate that nobody checks.",
        '{"keyid"',
        '{"cert":"x","keyid"',
    )
    yield edited(
        "payload_twice",
        "json-duplicate-key",
        "The first is signed, the last is read.",
        '{"payloadType"',
        '{"payload":"e30=","payloadType"',
    )
    yield edited(
        "payload_twice_escaped",
        "json-duplicate-key",
        "The same with an escape in the name.",
        '{"payloadType"',
        '{"p\\u0061yload":"e30=","payloadType"',
    )
    yield edited(
        "signatures_twice",
        "json-duplicate-key",
        "One list is counted, the other shown.",
        '{"payloadType"',
        '{"signatures":[],"payloadType"',
    )
    yield edited(
        "sig_twice", "json-duplicate-key", "One is verified, the other stored.", '{"keyid"', f'{{"sig":"{sig}","keyid"'
    )
    for what, value in (("missing", None), ("empty", "[]"), ("null", "null"), ("object", "{}")):
        new = "" if value is None else f',"signatures":{value}'
        yield edited(
            f"signatures_{what}",
            "signature-invalid" if what == "empty" else MALFORMED,
            "No signature is none that is wrong.",
            f',"signatures":[{{"keyid":"{key_id}","sig":"{sig}"}}]',
            new,
        )
    yield edited("key_id_null", MALFORMED, "Neither there nor left out.", f'"{key_id}"', "null")
    yield edited("key_id_number", MALFORMED, "A hint that is no text.", f'"{key_id}"', "1")
    yield edited(
        "payload_type_other",
        "payload-type-unsupported",
        "A good signature of another meaning.",
        PAYLOAD_TYPE,
        "application/json",
    )
    yield edited(
        "payload_type_of_another_case",
        "payload-type-unsupported",
        "Equal only where case is ignored; the signature covers this spelling.",
        PAYLOAD_TYPE,
        "application/vnd.In-Toto+json",
    )
    yield edited(
        "payload_type_with_parameter",
        "payload-type-unsupported",
        "Equal only where parameters are ignored.",
        PAYLOAD_TYPE,
        PAYLOAD_TYPE + ";v=2",
    )
    yield edited(
        "payload_type_missing",
        MALFORMED,
        "The default of some readers takes its place.",
        f'"payloadType":"{PAYLOAD_TYPE}",',
        "",
    )
    yield edited("payload_null", MALFORMED, "Empty for some readers.", f'"{payload}"', "null")
    yield edited(
        "payload_with_space",
        MALFORMED,
        "Lenient decoders skip it: two texts of one payload.",
        payload[:40],
        payload[:40] + " ",
    )
    yield edited(
        "payload_with_newline",
        MALFORMED,
        "MIME's line ends, which strict decoders refuse.",
        payload[:40],
        payload[:40] + "\\n",
    )
    yield edited(
        "payload_with_junk",
        MALFORMED,
        "Lenient decoders skip what is not in the alphabet.",
        payload[:40],
        payload[:40] + "*",
    )
    yield edited("payload_cut", MALFORMED, "A group of digits that is no byte.", payload, payload[:41])
    yield edited("sig_of_63_bytes", MALFORMED, "Short: padded by some readers.", sig, b64.b64encode(bytes(63)).decode())
    yield edited("sig_of_65_bytes", MALFORMED, "Long: cut by some readers.", sig, b64.b64encode(bytes(65)).decode())
    yield edited("sig_without_padding", MALFORMED, "Another spelling of the same bytes.", sig, sig.rstrip("="))
    last = sig.rstrip("=")[-1]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    yield edited(
        "sig_with_spare_bits",
        MALFORMED,
        "The last digit has bits that no byte uses: another spelling of the same bytes.",
        sig,
        sig.rstrip("=")[:-1] + digits[digits.index(last) + 1] + "==",
    )
    url = b64.urlsafe_b64encode(b"\xfb\xff" * 32).decode()
    yield edited("sig_of_the_url_alphabet", MALFORMED, "base64url: the same text means other bytes, or none.", sig, url)
    one = f'{{"sig":"{b64.b64encode(bytes(64)).decode()}"}}'
    yield case(
        "seventeen_signatures",
        MALFORMED,
        "Each costs a verification for each trusted key.",
        text(plain(PAYLOAD)[:-2]) + repeat(16, text("," + one)) + text("]}"),
    )
    yield case(
        "sixteen_signatures",
        "accept",
        "As many as there may be; the wrong ones are not counted.",
        text(plain(PAYLOAD)[:-2]) + repeat(15, text("," + one)) + text("]}"),
    )
    yield case(
        "a_hundred_thousand_signatures",
        MALFORMED,
        "A list that takes memory for its length.",
        text(f'{{"payloadType":"{PAYLOAD_TYPE}","payload":"","signatures":[{{"sig":""}}')
        + repeat(100_000, text(',{"sig":""}'))
        + text("]}"),
    )
