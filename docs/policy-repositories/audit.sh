#!/usr/bin/env bash
# What tensorgate.yml does, for any other CI system: `bash audit.sh [DIRECTORY]` in a checkout, with the release in
# TENSORGATE_URL, TENSORGATE_ARCHIVE and TENSORGATE_SHA256, as there. Status 0 passed, 1 rejected, 2 could not
# check. tensorgate.sarif and tensorgate.html are left in the directory where it is called.
set -euo pipefail
policy=${1:-policy}
externals=externals.toml

tools=$(mktemp --directory)
trap 'rm -rf -- "$tools"' EXIT
archive=$tools/$TENSORGATE_ARCHIVE.tar.gz
curl --fail --silent --show-error --location --output "$archive" "$TENSORGATE_URL/$TENSORGATE_ARCHIVE.tar.gz" || exit 2
echo "$TENSORGATE_SHA256  $archive" | sha256sum --check --strict --quiet || exit 2
tar --extract --gzip --directory "$tools" --file "$archive"

declared=()
if [[ -e $externals ]]; then declared=(--externals "$externals"); fi
"$tools/$TENSORGATE_ARCHIVE/bin/tensorgate" audit "$policy" "${declared[@]}" \
    --sarif tensorgate.sarif --html tensorgate.html
