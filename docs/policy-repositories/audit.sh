#!/usr/bin/env bash
# What tensorgate.yml does, for any other CI system: `bash audit.sh [DIRECTORY]` in a checkout, with the release in
# TENSORGATE_URL, TENSORGATE_ARCHIVE and TENSORGATE_SHA256, as there. Status 0 passed, 1 rejected, 2 could not
# check. tensorgate.sarif and tensorgate.html are left in the directory where it is called.
set -euo pipefail
policy=${1:-policy}
externals=externals.toml

# Whatever goes wrong before the audit is no rejection.
status=2
trap 'rm -rf -- "${tools-}"; exit "$status"' EXIT
tools=$(mktemp --directory)
archive=$tools/$TENSORGATE_ARCHIVE.tar.gz
curl --fail --silent --show-error --location --output "$archive" "$TENSORGATE_URL/$TENSORGATE_ARCHIVE.tar.gz"
echo "$TENSORGATE_SHA256  $archive" | sha256sum --check --strict --quiet
tar --extract --gzip --directory "$tools" --file "$archive"

# Where that file is not, nothing is declared: else the audit believes a manifest that lies in the policy.
if [[ ! -e $externals ]]; then
    externals=$tools/externals.toml
    : >"$externals"
fi
status=0
"$tools/$TENSORGATE_ARCHIVE/bin/tensorgate" audit "$policy" --externals "$externals" \
    --sarif tensorgate.sarif --html tensorgate.html || status=$?
