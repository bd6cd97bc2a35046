"""The cases: what somebody tries, and what becomes of it. `generate.py` writes them."""

import base64
import json

from generator import manifest, notation, tensors

# Key k is made from the seed of k, 32 times, in bytes; whoever can read this can sign with it.
NAMES = {1: "release", 2: "second", 3: "third", 4: "stranger"}
NOW = manifest.NOW
OTHER = "f" * 40
CONFIG = b'{"type": "mlp", "hidden": [2]}\n'
CARD = b"# A policy of two tensors\n"


def weights(*rows, text=None):
    """A safetensors file; `text`: another header over the same data."""
    return notation.content(tensors.tensors(*rows)) if text is None else notation.content(tensors.file(text, rows[0]))


GOOD = weights(("actor.bias", "F32", [2], tensors.f32(0.5, -1.0)), ("actor.weight", "F32", [1, 2], tensors.f32(2, 3)))
FILES = {"README.md": CARD, "config.json": CONFIG, "model.safetensors": GOOD}
KINDS = {"README.md": "card", "config.json": "config", "model.safetensors": "weights", "step.py": "reviewed-code"}


def predicate(files=None, **changes):
    """The manifest of these files, with changes."""
    rows = [(path, notation.raw(data), KINDS[path]) for path, data in (files or FILES).items()]
    return manifest.predicate(rows, **changes)


def payload(inner, kind=manifest.PREDICATE, subject=None):
    """The statement as it is signed: compact."""
    if subject is None:
        subject = [{"name": file["path"], "digest": {"sha256": file["sha256"]}} for file in inner["files"]]
    fields = {"_type": manifest.STATEMENT, "subject": subject, "predicateType": kind, "predicate": inner}
    return manifest.compact(fields).encode()


def envelope(data, *seeds, more=(), payload_type=manifest.PAYLOAD_TYPE):
    """As a writer makes it: indented; `more` are signatures that come first."""
    signed = [manifest.signature(data, seed) for seed in seeds]
    signatures = [{"keyid": key, "sig": base64.b64encode(sig).decode()} for key, sig in (*more, *signed)]
    fields = {"payloadType": payload_type, "payload": base64.b64encode(data).decode(), "signatures": signatures}
    return (json.dumps(fields, indent=2) + "\n").encode()


def revocations(*entries, seeds=(1,), **changes):
    algorithms = {"key": "sha256", "manifest": "sha256", "blake3": "blake3", "revision": "gitCommit"}
    inner = {"sequence": 1, "issued": manifest.ISSUED, "expires": manifest.EXPIRES} | changes
    inner["revoked"] = [{kind: value, "reason": "for the test"} for kind, value in entries]
    subject = [{"name": kind, "digest": {algorithms[kind]: value}} for kind, value in entries]
    return envelope(payload(inner, manifest.REVOCATIONS, subject), *seeds)


def trust(*seeds, threshold=1, more="", key_lines=""):
    keys = "".join(
        f'\n[[keys]]\nname = "{NAMES[seed]}"\npublic_key = """\n{manifest.KEYS[seed].pem()}"""\n{key_lines}'
        for seed in seeds or (1,)
    )
    return f"threshold = {threshold}\n{keys}{more}".encode()


def cases():
    for group in (signatures, statements, times, past, lists, files, content):
        yield from group()


class Case:
    """A case: what is tried, what becomes of it, and its files."""

    def __init__(
        self, name, comment, code=None, subject=None, *, files=None, signed=None, lists=None, trusted=None, **head
    ):
        verdict = {"verdict": "verified"} if code is None else {"verdict": "rejected", "code": code, "subject": subject}
        self.name = name
        self.head = {"comment": comment, "now": NOW} | head | {"expect": verdict}
        self.files = {f"policy/{path}": data for path, data in (FILES if files is None else files).items()}
        if signed != b"":
            self.files["policy/policy.dsse.json"] = envelope(payload(predicate()), 1) if signed is None else signed
        if lists is not None:
            self.files["revocations.dsse.json"] = lists
        self.files["trust.toml"] = trust() if trusted is None else trusted

    def rendered(self):
        head = (json.dumps(self.head, indent=2) + "\n").encode()
        return {f"cases/{self.name}/{path}": data for path, data in {"case.json": head, **self.files}.items()}


def signed(files=None, *seeds, **changes):
    """A good envelope of these files."""
    return envelope(payload(predicate(files, **changes)), *(seeds or (1,)))


def replaced(path, data):
    return FILES | {path: data}


def resigned(name, comment, code, subject, files, trusted=None, **changes):
    """Files that a trusted key signed, hostile or not."""
    return Case(name, comment, code, subject, files=files, signed=signed(files, **changes), trusted=trusted)


def rewritten(old, new):
    """A good statement in which `old` became `new`, signed."""
    text = payload(predicate())
    assert text.count(old) == 1, old
    return envelope(text.replace(old, new), 1)


def signatures():
    key, good = manifest.signature(payload(predicate()), 1)
    yield Case("good", "One key of one, and it signed.")
    yield Case("two_of_three", "Any two will do.", signed=signed(None, 3, 1), trusted=trust(1, 2, 3, threshold=2))
    yield Case(
        "good_beside_wrong",
        "Wrong signatures beside enough good ones are ignored.",
        signed=envelope(payload(predicate()), 1, more=[(key, bytes(64)), manifest.signature(payload(predicate()), 4)]),
    )
    yield Case("stranger", "No trusted key signed.", "signature-invalid", "signatures", signed=signed(None, 4))
    yield Case(
        "one_key_twice",
        "Keys are counted, not signatures.",
        "threshold-not-met",
        "signatures",
        signed=envelope(payload(predicate()), 1, more=[(manifest.KEYS[2].id(), good)]),
        trusted=trust(1, 2, threshold=2),
    )
    ends = 'not_after = "2026-11-23T12:00:00Z"\n'
    yield Case("key_expired", "Its time was over.", "key-expired", "signatures", trusted=trust(key_lines=ends))
    scope = 'repos = ["other/*", "acme/w-*"]\n'
    yield Case(
        "key_out_of_scope", "It speaks for others.", "key-out-of-scope", "signatures", trusted=trust(key_lines=scope)
    )
    yield Case(
        "payload_type_other",
        "A good signature of another meaning.",
        "payload-type-unsupported",
        "payloadType",
        signed=envelope(payload(predicate()), 1, payload_type="application/json"),
    )
    limit = "\n[limits]\nmanifest_bytes = 100\n"
    yield Case("too_large", "A limit of the trust policy.", "manifest-too-large", "envelope", trusted=trust(more=limit))


def statements():
    inner = predicate()
    spaced = json.dumps(json.loads(payload(inner)), indent=1, sort_keys=True).encode()
    yield Case("other_layout", "White space and the order of keys are free.", signed=envelope(spaced, 1))
    malformed = "manifest-malformed"
    zone = b'"2026-11-01T00:00:00Z"'
    for name, new, comment in [
        ("instant_with_offset", b'"2026-11-01T00:00:00+00:00"', "The same instant in another spelling."),
        ("instant_with_zeros", b'"2026-11-01T00:00:00.0Z"', "A fraction that is zero is left out."),
    ]:
        yield Case(name, comment, malformed, "statement", signed=rewritten(zone, new))
    about = b'"policy":{"type":"mlp"}'
    fraction = rewritten(zone, b'"2026-11-01T00:00:00.125Z"')
    yield Case("instant_with_fraction", "As it is written.", signed=fraction)
    yield Case(
        "robot_null",
        "Left out, never null.",
        malformed,
        "statement",
        signed=rewritten(about, about[:-1] + b',"robot":null}'),
    )
    yield Case(
        "array_for_object", "Read by position.", malformed, "statement", signed=rewritten(about, b'"policy":["mlp"]')
    )
    note = about + b',"note":"x"'
    yield Case(
        "unknown_field",
        "A meaning that nobody knows.",
        "manifest-unknown-field",
        "predicate.note",
        signed=rewritten(about, note),
    )
    twice = b'"sequence":5,"sequence":6'
    yield Case(
        "field_twice", "Which one counts?", "json-duplicate-key", "sequence", signed=rewritten(b'"sequence":5', twice)
    )
    subject = [{"name": file["path"], "digest": {"sha256": file["sha256"]}} for file in inner["files"]]
    yield Case(
        "subject_other",
        "What other tools see is not what is installed.",
        malformed,
        "subject",
        signed=envelope(payload(inner, subject=subject[::-1]), 1),
    )
    yield Case(
        "list_as_manifest",
        "A list of what is bad, offered as what is good.",
        "predicate-type-unsupported",
        "predicateType",
        signed=revocations(),
    )
    collision = predicate()
    collision["files"].insert(0, collision["files"][0] | {"path": "README.MD"})
    yield Case(
        "name_twins",
        "One file where case is ignored.",
        "file-name-collision",
        "README.md",
        signed=envelope(payload(collision), 1),
    )
    kind = rewritten(b'"kind":"card"', b'"kind":"config"')
    yield Case("kind_other", "Passed off as another kind.", "file-kind-mismatch", "README.md", signed=kind)


def times():
    at = {"now": "2027-11-01T00:00:00Z"}
    yield Case("last_second", "It still counts.", now="2027-10-31T23:59:59Z")
    yield Case("expired", "Its time was over at that very instant.", "manifest-expired", "expires", **at)
    yield Case(
        "expired_and_waived",
        "The trust policy only warns.",
        trusted=trust(more='\n[freshness]\nexpires = "warn"\n'),
        **at,
    )
    age = "\n[freshness]\nmax_age_days = 22\n"
    yield Case("too_old", "22 days and a half.", "manifest-expired", "issued", trusted=trust(more=age))
    early = {"now": "2026-10-31T23:54:59Z"}
    yield Case("from_the_future", "More than five minutes ahead.", "manifest-not-yet-valid", "issued", **early)
    yield Case("clock_five_minutes_slow", "Clocks differ.", now="2026-10-31T23:55:00Z")


def past():
    yield Case("newer", "The release after `good`.", signed=signed(sequence=6))
    yield Case("same_again", "Accepted before, and accepted again.", after=["good"])
    yield Case("rollback", "Older than what was accepted.", "manifest-rollback", "sequence", after=["newer"])
    yield Case(
        "other_of_the_same_number",
        "Two releases of one number.",
        "manifest-rollback",
        "sequence",
        after=["good"],
        signed=signed(policy={"type": "mlp", "name": "another"}),
    )
    yield Case(
        "fast_forward",
        "No later release would count.",
        "manifest-fast-forward",
        "sequence",
        after=["good"],
        signed=signed(sequence=1006),
        trusted=trust(more="\n[rollback]\nmax_jump = 1000\n"),
    )
    late = {"issued": "2027-10-01T00:00:00Z", "expires": "2028-10-01T00:00:00Z"}
    repo = {"type": "model", "id": "acme/other", "revision": OTHER}
    yield Case(
        "late", "Of another repository, and issued late.", signed=signed(repo=repo, **late), now="2027-12-01T00:00:00Z"
    )
    yield Case(
        "clock_set_back",
        "The clock is before what was accepted.",
        "manifest-expired",
        "expires",
        after=["late"],
        signed=signed(expires="2027-09-30T00:00:00Z"),
    )
    yield Case("other_repository", "Genuine, and another one's.", "repo-mismatch", "repo", repo="acme/run")
    yield Case("other_commit", "Genuine, of another commit.", "revision-mismatch", "revision", revision=OTHER)


def lists():
    inner = predicate()
    row = inner["files"][2]["tensors"][1]
    digest = manifest.sha256(payload(inner))
    yield Case(
        "nothing_of_it_revoked", "A list of others.", lists=revocations(("manifest", "0" * 64), ("revision", OTHER))
    )
    for name, code, entry, subject in [
        ("manifest_revoked", "manifest-revoked", ("manifest", digest), "manifest"),
        ("revision_revoked", "revision-revoked", ("revision", manifest.REVISION), "revision"),
        ("tensor_revoked", "digest-revoked", ("blake3", row["blake3"]), "model.safetensors#actor.weight"),
    ]:
        yield Case(name, "Called back.", code, subject, lists=revocations(entry))
    key = revocations(("key", manifest.KEYS[1].id()), seeds=(2,))
    yield Case(
        "key_revoked", "Another key called it back.", "key-revoked", "signatures", lists=key, trusted=trust(1, 2)
    )
    old = revocations(expires="2026-11-02T00:00:00Z")
    yield Case("list_expired", "Kept from newer ones.", "manifest-expired", "revocations.expires", lists=old)
    foreign = revocations(seeds=(4,))
    yield Case("list_by_a_stranger", "Anybody's word.", "signature-invalid", "revocations.signatures", lists=foreign)


def files():
    mismatch = "digest-mismatch"
    yield Case("no_manifest", "Nobody vouches for it.", "manifest-missing", "policy.dsse.json", signed=b"")
    tampered = replaced("model.safetensors", GOOD[:-1] + bytes([GOOD[-1] ^ 1]))
    yield Case("tensor_tampered", "One bit of one tensor.", mismatch, "model.safetensors#actor.weight", files=tampered)
    renamed = replaced("model.safetensors", GOOD.replace(b"actor.bias", b"actor.bios"))
    yield Case("header_tampered", "One letter of the header.", mismatch, "model.safetensors", files=renamed)
    yield Case(
        "config_tampered",
        "One digit.",
        mismatch,
        "config.json",
        files=replaced("config.json", CONFIG.replace(b"2", b"3")),
    )
    yield Case(
        "file_cut",
        "One byte less.",
        "size-mismatch",
        "model.safetensors",
        files=replaced("model.safetensors", GOOD[:-1]),
    )
    yield Case(
        "file_missing",
        "Part of a policy.",
        "file-missing",
        "config.json",
        files={k: v for k, v in FILES.items() if k != "config.json"},
    )
    yield Case("file_added", "Nobody signed it.", "file-unexpected", "notes.md", files=FILES | {"notes.md": CARD})
    yield Case(
        "name_like_an_option", "No name here begins so.", "file-name-unsafe", "-rf.md", files=FILES | {"-rf.md": CARD}
    )
    kinds = '\n[content]\nkinds = ["weights", "config"]\n'
    yield Case(
        "kind_not_allowed",
        "The trust policy wants no cards.",
        "file-kind-forbidden",
        "README.md",
        trusted=trust(more=kinds),
    )


def content():
    text = GOOD[8:].split(b"}}", 1)[0] + b"}}"
    name = "model.safetensors"
    margin = 8 + -len(text) % 8
    space = (len(text) + margin).to_bytes(8, "little") + b" " * margin + text + GOOD[-16:]
    yield resigned(
        "header_begins_with_space", "Signed, and refused.", "header-leading-space", name, replaced(name, space)
    )
    nan = weights(("actor.bias", "F32", [2], tensors.f32(0.5, float("nan"))))
    yield resigned(
        "not_a_number", "A weight that is none.", "weights-non-finite", f"{name}#actor.bias", replaced(name, nan)
    )
    bf16 = weights(("actor.bias", "BF16", [2], bytes.fromhex("803f0040")))
    rule = '\n[content]\ndtypes = ["F32"]\n'
    yield resigned(
        "dtype_not_allowed",
        "The trust policy wants F32.",
        "tensor-dtype-forbidden",
        f"{name}#actor.bias",
        replaced(name, bf16),
        trust(more=rule),
    )
    yield resigned(
        "config_is_no_json", "Signed nonsense.", "json-malformed", "config.json", replaced("config.json", b"{]")
    )
    for depth, code in ((127, None), (128, "json-malformed")):
        nested = b'{"type": "mlp", "x": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
        subject = code and "config.json"
        yield resigned(f"nested_{depth}_deep", "How deep is too deep?", code, subject, replaced("config.json", nested))
    fields = {
        "remote_code": (b'{"type": "mlp", "trust_remote_code": true}', "remote-code-requested", "trust_remote_code"),
        "names_code": (b'{"type": "mlp", "auto_map": {"AutoModel": "m.M"}}', "config-names-code", "auto_map"),
        "external_undeclared": (
            b'{"type": "smolvla", "vlm_model_name": "acme/vlm"}',
            "external-unpinned",
            "vlm_model_name",
        ),
    }
    for case, (data, code, field) in fields.items():
        yield resigned(case, "What a loader would do.", code, f"config.json#/{field}", replaced("config.json", data))
    data = fields["external_undeclared"][0]
    absent = {
        "field": "config.json#/vlm_model_name",
        "name": "acme/vlm",
        "decision": "absent",
        "reason": "it is in the weights",
    }
    yield resigned("external_absent", "Decided upon.", None, None, replaced("config.json", data), externals=[absent])
    code = FILES | {"step.py": b"print('a step')\n"}
    review = {"path": "step.py", "sha256": manifest.sha256(code["step.py"]), "reviewer": "R. Viewer", "note": "prints"}
    allow = trust(more='\n[content]\nreviewed_code = "allow"\n')
    yield resigned(
        "code_denied", "Reviewed, and not wanted here.", "code-unreviewed", "step.py", code, reviewed_code=[review]
    )
    yield resigned("code_reviewed", "Reviewed, and allowed.", None, None, code, allow, reviewed_code=[review])
    other = review | {"sha256": "0" * 64}
    yield resigned("code_changed", "Not what was read.", "code-changed", "step.py", code, allow, reviewed_code=[other])
