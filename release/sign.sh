#!/usr/bin/env bash
# Signs a release: `bash release/sign.sh KEY.pem [DIRECTORY]` writes SHA256SUMS.sig beside SHA256SUMS, an ed25519 signature
# (RFC 8032) over its bytes. The key is one that `tensorgate keygen` or openssl made; it lies in no repository.
set -euo pipefail
key=$(realpath -- "${1:?a key: bash release/sign.sh KEY.pem [DIRECTORY]}")
cd -- "${2:-$(dirname -- "${BASH_SOURCE[0]}")/../target/shipped}"
# What is signed is what lies here.
sha256sum --check --strict --quiet SHA256SUMS
openssl pkeyutl -sign -rawin -inkey "$key" -in SHA256SUMS -out SHA256SUMS.sig
