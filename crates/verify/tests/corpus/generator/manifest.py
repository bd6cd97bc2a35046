"""Manifests, envelopes and trust policies, well made; the attacks change them."""

import hashlib
import json

from . import tensors
from .blake3 import blake3
from .ed25519 import Key
from .notation import base64, content, file, raw, text

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:tensorgate:policy:v1"
REVOCATIONS = "urn:tensorgate:revocations:v1"
REVISION = "0123456789abcdef0123456789abcdef01234567"
ISSUED, NOW, EXPIRES = "2026-11-01T00:00:00Z", "2026-11-23T12:00:00Z", "2027-11-01T00:00:00Z"
KEYS = {seed: Key(seed) for seed in range(1, 5)}


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def listed(path, pieces, kind):
    """What a manifest says of one file."""
    data = content(pieces)
    entry = {"path": path, "size": len(data), "sha256": sha256(data), "blake3": blake3(data), "kind": kind}
    return entry | described(data) if kind in ("weights", "processor-state") else entry


def described(data):
    """Of safetensors: the digest of the header, and the tensors with theirs."""
    start = 8 + int.from_bytes(data[:8], "little")
    rows = [
        (row["data_offsets"], name, row) for name, row in json.loads(data[8:start]).items() if name != "__metadata__"
    ]
    table = [
        {
            "name": name,
            "dtype": row["dtype"],
            "shape": row["shape"],
            "begin": begin,
            "end": end,
            "blake3": blake3(data[start + begin : start + end]),
        }
        for (begin, end), name, row in sorted(rows, key=lambda r: r[:2])
    ]
    return {"header_blake3": blake3(data[:start]), "tensors": table}


def predicate(files, **changes):
    """`files` are (path, pieces, kind)."""
    return {
        "repo": {"type": "model", "id": "acme/walk", "revision": REVISION},
        "sequence": 5,
        "issued": ISSUED,
        "expires": EXPIRES,
        "policy": {"type": "mlp"},
        "files": [listed(*row) for row in sorted(files, key=lambda row: row[0])],
        "externals": [],
        "reviewed_code": [],
    } | changes


def statement(inner, predicate_type=PREDICATE, subject=None):
    """The text that is signed: a line for each field and each file."""
    if subject is None:
        subject = [{"name": entry["path"], "digest": {"sha256": entry["sha256"]}} for entry in inner["files"]]
    fields = ",\n".join(f"{compact(key)}:{lines(value)}" for key, value in inner.items())
    return (
        f'{{"_type":{compact(STATEMENT)},\n"subject":{lines(subject)},\n'
        f'"predicateType":{compact(predicate_type)},\n"predicate":{{\n{fields}\n}}}}'
    )


def lines(value):
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(compact, value)) + "\n]"
    return compact(value)


def pae(payload, payload_type=PAYLOAD_TYPE):
    return f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload


def signature(payload, seed=1, message=None):
    """(key id, signature) of a payload, or of what the signer is made to sign in its place."""
    key = KEYS[seed]
    return (key.id(), key.sign(pae(payload) if message is None else message))


def envelope(payload, signatures, payload_type=PAYLOAD_TYPE, close="]}"):
    """Lines of an envelope around `payload`; `signatures` are (key id or None, bytes)."""

    def one(key_id, sig):
        hint = "" if key_id is None else f'"keyid":"{key_id}",'
        return text("{" + hint + '"sig":"') + base64(raw(sig)) + text('"}')

    body = text(f'{{"payloadType":"{payload_type}","payload":"') + base64(text(payload)) + text('","signatures":[')
    for i, (key_id, sig) in enumerate(signatures):
        body += (text(",") if i else []) + one(key_id, sig)
    return body + text(close)


def signed(payload, *seeds):
    payload = payload if isinstance(payload, bytes) else payload.encode()
    return envelope(payload, [signature(payload, seed) for seed in seeds or (1,)])


def trust(*seeds, threshold=1, more="", key_lines=""):
    """A trust policy of these keys; `key_lines` go to each key, `more` behind them."""
    keys = "".join(
        f'\n[[keys]]\nname = "key {seed}"\n{key_lines}public_key = """\n{KEYS[seed].pem()}"""\n'
        for seed in seeds or (1,)
    )
    return file("trust.toml", text(f"threshold = {threshold}\n{keys}{more}"))


def manifest_file(pieces):
    return file("policy.dsse.json", pieces)


CONFIG = text('{"type": "mlp"}\n')
WEIGHTS = tensors.tensors(("actor.weight", "F32", [2], tensors.f32(0.5, -1.0)))
FILES = [("config.json", CONFIG, "config"), ("model.safetensors", WEIGHTS, "weights")]
