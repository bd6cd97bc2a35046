#!/usr/bin/env python3
"""Writes the test vectors; with `--check`, only says whether they are as they would be written.

Digests and signatures are computed by the generator of the attack corpus, in plain Python, from keys
whose seeds are written in attempts.py: every run writes the same bytes.
"""

import base64
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
PKCS8 = bytes.fromhex("302e020100300506032b657004220420")
sys.path.insert(0, str(HERE.parents[1] / "crates/verify/tests/corpus"))

import attempts  # noqa: E402
from generator import blake3, manifest  # noqa: E402


def dsse():
    """A payload, what is signed of it, and the signature."""
    data = attempts.payload(attempts.predicate())
    key, sig = manifest.signature(data, 1)
    return {
        "seed": manifest.KEYS[1].seed.hex(),
        "public_key": manifest.KEYS[1].public.hex(),
        "keyid": key,
        "payload": data.decode(),
        "pae": manifest.pae(data).hex(),
        "sig": sig.hex(),
        "manifest": manifest.sha256(data),
    }


def fragments():
    """Tensors of these lengths in fragments of 64 KiB: byte i is i mod 251, as in BLAKE3's own vectors."""
    step = 1 << 16
    for length in (4, step, step + 4, 3 * step, 5 * step + 1024):
        data = bytes(i % 251 for i in range(length))
        pieces = [(at, data[at : at + step]) for at in range(0, length, step)]
        value = lambda at, piece: b"".join(word.to_bytes(4, "little") for word in blake3.subtree(piece, at // 1024, 0))
        alone = length <= step
        values = [blake3.blake3(piece) if alone else value(at, piece).hex() for at, piece in pieces]
        yield {"length": length, "fragment_size": step, "values": values, "blake3": blake3.blake3(data)}


def key_files():
    for seed, name in attempts.NAMES.items():
        body = base64.b64encode(PKCS8 + manifest.KEYS[seed].seed).decode()
        yield f"keys/{name}.test-key.pem", f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n".encode()
        yield f"keys/{name}.pub.pem", manifest.KEYS[seed].pem().encode()


def vectors():
    """Every file, by its path here."""
    files = dict(key_files())
    files["dsse.json"] = (json.dumps(dsse(), indent=2) + "\n").encode()
    files["fragments.json"] = (json.dumps(list(fragments()), indent=2) + "\n").encode()
    for case in attempts.cases():
        assert f"cases/{case.name}/case.json" not in files, case.name
        files |= case.rendered()
    return files


def present():
    folders = [HERE / "keys", HERE / "cases"]
    found = {str(path.relative_to(HERE)) for folder in folders for path in folder.rglob("*") if path.is_file()}
    return found | {name for name in ("dsse.json", "fragments.json") if (HERE / name).exists()}


def main():
    wanted, there = vectors(), present()
    if sys.argv[1:] == ["--check"]:
        wrong = [f"unknown: {name}" for name in sorted(there - wanted.keys())]
        wrong += [
            f"changed or missing: {n}"
            for n, data in wanted.items()
            if n not in there or (HERE / n).read_bytes() != data
        ]
        print(*wrong or [f"{len(wanted)} files are as generated"], sep="\n")
        sys.exit(bool(wrong))
    for name in there - wanted.keys():
        (HERE / name).unlink()
    for name, data in wanted.items():
        (HERE / name).parent.mkdir(parents=True, exist_ok=True)
        (HERE / name).write_bytes(data)
    print(f"{len(wanted)} files")


if __name__ == "__main__":
    main()
