#!/usr/bin/env bash
# The tools of a release under target/tools/, at these versions: compiled from the sources that the registry
# has, since whoever builds a release trusts them with it. Some 5 min of one core, once.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# In this order: what writes into the program itself what it was compiled from, where `cargo audit bin` finds it on any
# robot; what writes the bill of materials, with licences and digests; what makes Debian packages.
for tool in cargo-auditable@0.7.7 cargo-cyclonedx@0.5.9 cargo-deb@3.8.0; do
    # Says so and does nothing where that version is there.
    cargo install --locked --quiet --root target/tools "$tool"
done
