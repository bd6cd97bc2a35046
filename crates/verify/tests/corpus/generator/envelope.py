"""Attacks on the form of what is signed: the envelope, and the statement inside."""

import base64 as b64
import json

from .manifest import (EXPIRES, FILES, ISSUED, KEYS, PAYLOAD_TYPE, PREDICATE, REVISION, REVOCATIONS, STATEMENT, compact, envelope,
                       listed, manifest_file, pae, predicate, sha256, signature, signed, statement, trust)
from .notation import Case, content, file, repeat, text
from . import tensors

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
    return (f'{{"payloadType":"{PAYLOAD_TYPE}","payload":"{b64.b64encode(payload.encode()).decode()}",'
            f'"signatures":[{{"keyid":"{key_id}","sig":"{b64.b64encode(sig).decode()}"}}]}}')


def envelopes():
    sig = b64.b64encode(signature(PAYLOAD.encode())[1]).decode()
    payload = b64.b64encode(PAYLOAD.encode()).decode()
    key_id = KEYS[1].id()
    yield case("good", "accept", "What a signer writes.", signed(PAYLOAD))
    yield case("good_without_key_id", "accept", "The key id is a hint; trust comes from the keys.", envelope(PAYLOAD.encode(), [(None, signature(PAYLOAD.encode())[1])]))
    yield case("good_with_white_space", "accept", "White space between tokens is free.", text(" \n") + signed(PAYLOAD) + text("\r\n\t"))
    yield case("empty", MALFORMED, "Nothing: an error in the reader must not read as consent.", [])
    yield case("not_json", MALFORMED, "A PEM in place of JSON.", text("-----BEGIN SIGNATURE-----\n"))
    yield case("too_large", "manifest-too-large", "An envelope without end.", signed(PAYLOAD) + repeat(33 << 20, text(" ")))
    yield case("nested_deeply", MALFORMED, "A recursive parser runs out of stack.", repeat(100_000, text("[")))
    yield case("byte_order_mark", MALFORMED, "Skipped by some readers only.", text(b"\xef\xbb\xbf") + signed(PAYLOAD))
    yield case("not_utf8", MALFORMED, "A byte that readers replace or drop.", text(b'{"payloadType":"\xff"}'))
    yield case("second_value", MALFORMED, "Which of two envelopes counts?", signed(PAYLOAD) + text("{}"))
    yield case("as_array", MALFORMED, "Read by position where a reader maps arrays to fields.", text(f'["{PAYLOAD_TYPE}","{payload}",[{{"sig":"{sig}"}}]]'))
    yield edited("unknown_field", "manifest-unknown-field", "Unsigned text beside the signed: shown by one tool, obeyed by another.", '{"payloadType"', '{"note":"reviewed by security","payloadType"')
    yield edited("unknown_field_in_signature", "manifest-unknown-field", "A certificate that nobody checks.", '{"keyid"', '{"cert":"x","keyid"')
    yield edited("payload_twice", "json-duplicate-key", "The first is signed, the last is read.", '{"payloadType"', '{"payload":"e30=","payloadType"')
    yield edited("payload_twice_escaped", "json-duplicate-key", "The same with an escape in the name.", '{"payloadType"', '{"p\\u0061yload":"e30=","payloadType"')
    yield edited("signatures_twice", "json-duplicate-key", "One list is counted, the other shown.", '{"payloadType"', '{"signatures":[],"payloadType"')
    yield edited("sig_twice", "json-duplicate-key", "One is verified, the other stored.", '{"keyid"', f'{{"sig":"{sig}","keyid"')
    for what, value in (("missing", None), ("empty", "[]"), ("null", "null"), ("object", "{}")):
        new = "" if value is None else f',"signatures":{value}'
        yield edited(f"signatures_{what}", "signature-invalid" if what == "empty" else MALFORMED, "No signature is none that is wrong.",
                     f',"signatures":[{{"keyid":"{key_id}","sig":"{sig}"}}]', new)
    yield edited("key_id_null", MALFORMED, "Neither there nor left out.", f'"{key_id}"', "null")
    yield edited("key_id_number", MALFORMED, "A hint that is no text.", f'"{key_id}"', "1")
    yield edited("payload_type_other", "payload-type-unsupported", "A good signature of another meaning.", PAYLOAD_TYPE, "application/json")
    yield edited("payload_type_of_another_case", "payload-type-unsupported", "Equal only where case is ignored; the signature covers this spelling.", PAYLOAD_TYPE, "application/vnd.In-Toto+json")
    yield edited("payload_type_with_parameter", "payload-type-unsupported", "Equal only where parameters are ignored.", PAYLOAD_TYPE, PAYLOAD_TYPE + ";v=2")
    yield edited("payload_type_missing", MALFORMED, "The default of some readers takes its place.", f'"payloadType":"{PAYLOAD_TYPE}",', "")
    yield edited("payload_null", MALFORMED, "Empty for some readers.", f'"{payload}"', "null")
    yield edited("payload_with_space", MALFORMED, "Lenient decoders skip it: two texts of one payload.", payload[:40], payload[:40] + " ")
    yield edited("payload_with_newline", MALFORMED, "MIME's line ends, which strict decoders refuse.", payload[:40], payload[:40] + "\\n")
    yield edited("payload_with_junk", MALFORMED, "Lenient decoders skip what is not in the alphabet.", payload[:40], payload[:40] + "*")
    yield edited("payload_cut", MALFORMED, "A group of digits that is no byte.", payload, payload[:41])
    yield edited("sig_of_63_bytes", MALFORMED, "Short: padded by some readers.", sig, b64.b64encode(bytes(63)).decode())
    yield edited("sig_of_65_bytes", MALFORMED, "Long: cut by some readers.", sig, b64.b64encode(bytes(65)).decode())
    yield edited("sig_without_padding", MALFORMED, "Another spelling of the same bytes.", sig, sig.rstrip("="))
    last = sig.rstrip("=")[-1]
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    yield edited("sig_with_spare_bits", MALFORMED, "The last digit has bits that no byte uses: another spelling of the same bytes.",
                 sig, sig.rstrip("=")[:-1] + digits[digits.index(last) + 1] + "==")
    url = b64.urlsafe_b64encode(b"\xfb\xff" * 32).decode()
    yield edited("sig_of_the_url_alphabet", MALFORMED, "base64url: the same text means other bytes, or none.", sig, url)
    one = f'{{"sig":"{b64.b64encode(bytes(64)).decode()}"}}'
    yield case("seventeen_signatures", MALFORMED, "Each costs a verification for each trusted key.",
               text(plain(PAYLOAD)[:-2]) + repeat(16, text("," + one)) + text("]}"))
    yield case("sixteen_signatures", "accept", "As many as there may be; the wrong ones are not counted.",
               text(plain(PAYLOAD)[:-2]) + repeat(15, text("," + one)) + text("]}"))
    yield case("a_hundred_thousand_signatures", MALFORMED, "A list that takes memory for its length.",
               text(f'{{"payloadType":"{PAYLOAD_TYPE}","payload":"","signatures":[{{"sig":""}}') + repeat(100_000, text(',{"sig":""}')) + text("]}"))


def statements():
    other = "predicate-type-unsupported"
    yield changed("predicate_of_model_signing", other, "A good OpenSSF signature by the same key is no manifest.", PREDICATE, "https://model_signing/signature/v1.0")
    yield changed("predicate_of_provenance", other, "How it was built is not whether it may drive.", PREDICATE, "https://slsa.dev/provenance/v1")
    yield changed("predicate_of_the_next_version", other, "A meaning that this version does not know.", PREDICATE, "urn:tensorgate:policy:v2")
    yield changed("predicate_of_revocations", other, "A list of what is bad, offered as what is good.", PREDICATE, REVOCATIONS)
    yield changed("statement_of_another_version", other, "Another version may give the fields another meaning.", STATEMENT, "https://in-toto.io/Statement/v0.1")
    yield changed("predicate_type_missing", MALFORMED, "Taken for the expected one.", f'"predicateType":"{PREDICATE}",\n', "")
    yield case("payload_empty", MALFORMED, "A signature of nothing.", signed(""))
    yield case("payload_not_json", MALFORMED, "Signed, and still no statement.", signed("yes"))
    yield case("payload_second_value", MALFORMED, "Bytes behind the statement, of no meaning to one reader and of all meaning to another.", signed(PAYLOAD + "{}"))
    yield changed("unknown_field_in_statement", "manifest-unknown-field", "A condition that this version would not honour.", '"subject":', '"valid_for":"dock 3",\n"subject":')
    yield changed("unknown_field_in_predicate", "manifest-unknown-field", "A condition that this version would not honour.", '"sequence"', '"max_speed":0.5,\n"sequence"')
    yield changed("unknown_field_in_repo", "manifest-unknown-field", "A branch beside the commit.", '"id":"acme/walk"', '"id":"acme/walk","branch":"main"')
    yield changed("unknown_field_in_file", "manifest-unknown-field", "Where should it be fetched from?", '"kind":"config"', '"kind":"config","url":"https://evil.example"')
    twice = "json-duplicate-key"
    yield changed("sequence_twice", twice, "The low one is checked, the high one remembered.", '"sequence":5', '"sequence":5,\n"sequence":900')
    yield changed("sequence_twice_escaped", twice, "The same with an escape in the name.", '"sequence":5', '"sequence":5,\n"s\\u0065quence":900')
    yield changed("files_twice", twice, "One list for the signer's eyes, one for the robot.", '"externals":[]', '"externals":[],\n"files":[]')
    yield changed("digest_twice", twice, "Two digests of one file: either may match.", '"kind":"config"', f'"kind":"config","sha256":"{"0" * 64}"')
    yield changed("predicate_twice", twice, "Two manifests under one signature.", '"predicate":{', '"predicate":{},\n"predicate":{')
    for what, value in (("negative", "-1"), ("fraction", "5.5"), ("whole_fraction", "5.0"), ("exponent", "5e0"), ("text", '"5"'), ("past_64_bits", "18446744073709551616"), ("null", "null")):
        yield changed(f"sequence_{what}", MALFORMED, "Numbers that readers round, wrap or convert: an order that is not one.", '"sequence":5', f'"sequence":{value}')
    yield changed("issued_with_offset", MALFORMED, "Another spelling of an instant: compared as text it is another.", f'"issued":"{ISSUED}"', '"issued":"2026-11-01T00:00:00+00:00"')
    yield changed("issued_without_zone", MALFORMED, "Local time: whose?", f'"issued":"{ISSUED}"', '"issued":"2026-11-01T00:00:00"')
    yield changed("expires_as_number", MALFORMED, "Seconds or milliseconds?", f'"expires":"{EXPIRES}"', '"expires":1793491200')
    yield changed("expires_missing", MALFORMED, "Valid for ever, were it optional.", f'"expires":"{EXPIRES}",\n', "")
    yield changed("expires_with_issue", MALFORMED, "Never valid.", f'"expires":"{EXPIRES}"', f'"expires":"{ISSUED}"')
    for what, value in (("branch", "main"), ("tag", "v1.0"), ("short", REVISION[:7]), ("upper_case", REVISION.upper()), ("of_sha256", "0" * 64), ("empty", "")):
        yield changed(f"revision_{what}", MALFORMED, "A name that moves, or a commit that is not spelled in full.", REVISION, value)
    for what, value in (("climbing", "../walk"), ("without_owner", "walk"), ("of_three_parts", "a/b/c"), ("with_query", "acme/walk?x"), ("with_space", "acme/ walk")):
        yield changed(f"repo_id_{what}", MALFORMED, "An id that is built into URLs and paths.", '"id":"acme/walk"', f'"id":"{value}"')
    yield changed("repo_type_space", MALFORMED, "A kind of repository whose files run.", '"type":"model"', '"type":"space"')
    yield changed("optional_null", MALFORMED, "Neither there nor left out.", '"policy":{"type":"mlp"}', '"policy":{"type":"mlp","robot":null}')
    yield changed("policy_type_with_escape", MALFORMED, "Clears the operator's screen.", '"policy":{"type":"mlp"}', '"policy":{"type":"\\u001b[2J"}')
    yield changed("policy_name_turned", MALFORMED, "Reads backwards on the operator's screen.", '"policy":{"type":"mlp"}', '"policy":{"type":"mlp","name":"\\u202everified"}')
    yield changed("policy_name_of_2000_bytes", MALFORMED, "Floods the log.", '"policy":{"type":"mlp"}', f'"policy":{{"type":"mlp","name":"{"x" * 2000}"}}')


def subjects():
    good = [{"name": name, "digest": {"sha256": sha256(content(pieces))}} for name, pieces, _ in FILES]
    def of(name, comment, subject):
        return case(f"subject_{name}", MALFORMED, comment, signed(statement(predicate(FILES), subject=subject)))
    yield of("missing_file", "What other in-toto tools see is less than what is installed.", good[:1])
    yield of("extra_file", "What other in-toto tools see is more than what is installed.", good + [{"name": "x.json", "digest": {"sha256": "0" * 64}}])
    yield of("other_digest", "Another file in the eyes of other tools.", [good[0], good[1] | {"digest": {"sha256": "0" * 64}}])
    yield of("other_order", "Two spellings of one list.", good[::-1])
    yield of("empty", "A statement about nothing.", [])


def file_lists():
    def listing(name, expect, comment, change, **head):
        return rewritten(name, expect, comment, lambda inner: change(inner["files"]), **head)
    config, weights = 0, 1
    yield rewritten("files_empty", MALFORMED, "A policy of no files has nothing wrong in it.", lambda inner: inner.update(files=[]))
    yield listing("files_unordered", MALFORMED, "Two spellings of one list; a search by halves misses files.", lambda files: files.reverse())
    yield listing("file_twice", "file-name-collision", "Two digests for one file: either may match.", lambda files: files.append(dict(files[weights])))
    twin = lambda path: lambda files: files.insert(0, files[config] | {"path": path})
    yield listing("file_case_twin", "file-name-collision", "One file where names have no case, and which?", lambda files: files.insert(0, files[config] | {"path": "Config.json", "kind": "config"}))
    yield listing("file_is_a_directory", "file-name-collision", "A name that is a file and a directory.", lambda files: files.insert(1, files[config] | {"path": "config.json/config.json"}))
    for what, path in (("climbing", "../config.json"), ("absolute", "/etc/config.json"), ("in_git", ".git/config.json"), ("in_git_of_another_case", ".GIT/config.json"),
                       ("with_dot", "./config.json"), ("with_backslash", "a\\config.json"), ("with_nul", "config.json\0"), ("with_newline", "a\nconfig.json"),
                       ("with_trailing_dot", "a./config.json"), ("with_colon", "c:config.json"), ("empty", ""), ("not_ascii", "c\u00f6nfig.json"), ("turned", "\u202enosj.gifnoc"),
                       ("deep", "a/" * 16 + "config.json"), ("long", "a" * 256 + ".json"), ("of_a_double_slash", "a//config.json")):
        yield listing(f"file_name_{what}", MALFORMED, "A name that leaves the directory, or means another file elsewhere.", twin(path))
    yield listing("manifest_lists_itself", MALFORMED, "A file that cannot hold its own digest.", lambda files: files.append(files[config] | {"path": "policy.dsse.json"}))
    yield listing("kind_mismatch", "file-kind-mismatch", "Code passed off as a card, which nobody reads.", lambda files: files[config].update(kind="card"))
    yield listing("kind_of_weights_for_json", "file-kind-mismatch", "Judged by the rules of another kind.", lambda files: files[config].update(kind="weights"))
    yield listing("kind_unknown", MALFORMED, "A kind that this version does not know.", lambda files: files[config].update(kind="plugin"))
    yield listing("digest_in_upper_case", MALFORMED, "Two spellings of one digest.", lambda files: files[config].update(sha256=files[config]["sha256"].upper()))
    yield listing("digest_short", MALFORMED, "A prefix is easier to match.", lambda files: files[config].update(blake3=files[config]["blake3"][:32]))
    yield listing("digest_missing", MALFORMED, "Not there: not checked.", lambda files: files[config].pop("blake3"))
    yield listing("size_of_a_huge_text", "json-too-large", "A text of a terabyte, signed.", lambda files: files[config].update(size=1 << 40))
    yield listing("size_smaller_than_tensors", MALFORMED, "The tensors reach past the file.", lambda files: files[weights].update(size=4))
    yield listing("size_past_the_limit", MALFORMED, "More weights than any robot holds.", lambda files: files[weights].update(size=1 << 40))
    yield listing("weights_without_table", MALFORMED, "Weights whose tensors nobody signed.", lambda files: [files[weights].pop(key) for key in ("tensors", "header_blake3")])
    yield listing("config_with_table", MALFORMED, "A table of no tensors.", lambda files: files[config].update(header_blake3="0" * 64, tensors=[]))
    first = lambda files: files[weights]["tensors"][0]
    yield listing("table_empty", "header-too-large", "All of the file is header, it says.", lambda files: (files[weights].update(size=64 << 20), files[weights]["tensors"].clear()))
    yield listing("table_with_hole", "tensor-offsets-invalid", "Bytes that no digest covers.", lambda files: first(files).update(begin=4, shape=[1]))
    yield listing("table_overlap", "tensor-offsets-invalid", "Two names for one range.", lambda files: files[weights]["tensors"].append(first(files) | {"name": "b"}))
    yield listing("table_shape_overflow", "tensor-shape-overflow", "Wraps around to what fits.", lambda files: first(files).update(shape=[1 << 62, 4]))
    yield listing("table_shape_too_large", "tensor-size-mismatch", "The reader that trusts the shape reads past the range.", lambda files: first(files).update(shape=[3]))
    yield listing("table_of_no_elements", "tensor-empty", "A tensor without elements.", lambda files: first(files).update(shape=[0], end=0))
    yield listing("table_of_nine_dimensions", "tensor-rank-too-high", "More than any network has.", lambda files: first(files).update(shape=[1] * 8 + [2]))
    yield listing("table_misaligned", "tensor-misaligned", "Cannot be viewed in place.", lambda files: files[weights].update(size=files[weights]["size"] + 1))
    yield listing("table_name_unsafe", "tensor-name-unsafe", "A name that is a path.", lambda files: first(files).update(name="../../x"))
    yield listing("table_dtype_unknown", MALFORMED, "A type of unknown size.", lambda files: first(files).update(dtype="F31"))
    yield listing("table_dtype_as_object", MALFORMED, "Mapped by readers in their own way.", lambda files: first(files).update(dtype={"F32": None}))
    yield listing("table_same_tensor_in_two_files", MALFORMED, "One controller takes the first, another the last.", lambda files: files.insert(1, files[weights] | {"path": "model-00001-of-00002.safetensors"}))


def externals():
    pin = {"repo": "acme/backbone", "revision": REVISION, "files": [{"path": "w.safetensors", "size": 1, "sha256": "0" * 64}]}
    def of(name, comment, expect=MALFORMED, **external):
        entry = {"field": "config.json#/vlm_model_name", "name": "acme/backbone"} | external
        return rewritten(f"external_{name}", expect, comment, lambda inner: inner.update(externals=[entry]))
    yield of("absent_without_reason", "A decision that nobody gave a reason for.", decision="absent")
    yield of("absent_and_pinned", "Both at once.", decision="absent", reason="none is loaded", **pin)
    yield of("pinned_without_files", "A commit alone: what is in it is the Hub's word.", decision="pinned", repo=pin["repo"], revision=REVISION)
    yield of("pinned_to_a_branch", "A name that moves.", decision="pinned", **pin | {"revision": "main"})
    yield of("pinned_path_climbing", "A name that leaves the directory.", decision="pinned", **pin | {"files": [pin["files"][0] | {"path": "../x"}]})
    yield of("of_unknown_decision", "A decision that this version does not know.", decision="ask")
    yield of("reason_with_escape", "Clears the operator's screen.", decision="absent", reason="\u001b[2J")


def cases():
    for group in (envelopes, statements, subjects, file_lists, externals):
        yield from group()
