#!/usr/bin/env bash
# Judges the dependencies by deny.toml: licences, sources, what is banned, and known flaws where their list can be had.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

not_tried() { echo "NOT TRIED: $*" >&2; }

bash ros/setup.sh ensure_lint || true
deny=.ros/lint/bin/cargo-deny
if [[ ! -x $deny ]]; then
    not_tried "the licences and sources of the dependencies: cargo-deny could not be installed"
    exit 0
fi
"$deny" --locked check --hide-inclusion-graph bans licenses sources
# It comes by git from GitHub; what is said there is news, and no part of this commit.
if timeout 60 "$deny" --locked fetch db >/dev/null 2>&1; then
    "$deny" --locked --offline check --hide-inclusion-graph advisories
else
    not_tried "known flaws of the dependencies: RustSec's list could not be fetched"
fi
