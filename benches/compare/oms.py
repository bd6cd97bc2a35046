"""OpenSSF Model Signing by its own package, with each of the hashes that it can be told to use.

    python oms.py sign FOLDER          signs FOLDER/policy once for each
    python oms.py verify FOLDER HASH   verifies one of the signatures

Its command verifies what was signed with the default alone, so the others go through its API.
"""

import pathlib
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing, verifying

# About as many shards as keep every core busy.
SHARD = 64_000_000


def by_file(hash):
    return hashing.Config().use_file_serialization(hashing_algorithm=hash)


def by_shard(hash):
    return hashing.Config().use_shard_serialization(hashing_algorithm=hash, shard_size=SHARD)


HASHES = {
    "sha256": by_file("sha256"),
    "blake2": by_file("blake2"),
    "blake3": by_file("blake3"),
    "sha256-shards": by_shard("sha256"),
    "blake2-shards": by_shard("blake2"),
}


def sign(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "oms.key.pem").write_bytes(private)
    (folder / "oms.pub.pem").write_bytes(public)
    for name, config in HASHES.items():
        signer = signing.Config().use_elliptic_key_signer(private_key=folder / "oms.key.pem")
        signer.set_hashing_config(config).sign(folder / "policy", folder / f"{name}.sig")


def verify(folder, name):
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=folder / "oms.pub.pem")
    verifier.set_hashing_config(HASHES[name]).verify(folder / "policy", folder / f"{name}.sig")


if __name__ == "__main__":
    task, folder, *rest = sys.argv[1:]
    {"sign": sign, "verify": verify}[task](pathlib.Path(folder), *rest)
