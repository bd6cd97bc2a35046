#!/usr/bin/env bash
# Shows that a release is what it says: built here and, from a clone elsewhere with crates fetched anew, a second time, it
# is the same archive, byte for byte; its parts are there and agree; a signature over it holds, and over another does
# not. Two builds: about 8 min on two cores.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
elsewhere=$(mktemp --directory)
trap 'rm -rf -- "$elsewhere"' EXIT

fail() {
    echo "release: $1" >&2
    exit 1
}

bash release/archive.sh
git clone --quiet --no-checkout . "$elsewhere/elsewhere"
# What the archive says that it is, whatever HEAD has become.
git -C "$elsewhere/elsewhere" checkout --quiet --detach \
    "$(sed -n 's/^commit //p' target/shipped/stage/share/doc/tensorgate/BUILD)"
mkdir "$elsewhere/cargo"
# Which registry is asked is this machine's to say; what comes from it is judged by Cargo.lock.
for config in "${CARGO_HOME:-$HOME/.cargo}"/config{,.toml}; do
    if [[ -e $config ]]; then cp -- "$config" "$elsewhere/cargo/"; fi
done
(
    cd "$elsewhere/elsewhere"
    mkdir target
    ln -s "$root/target/tools" target/tools
    CARGO_HOME=$elsewhere/cargo bash release/archive.sh
)
cmp target/shipped/SHA256SUMS "$elsewhere/elsewhere/target/shipped/SHA256SUMS" || fail "a second build is another archive"

cd target/shipped
sha256sum --check --strict --quiet SHA256SUMS
mkdir "$elsewhere/unpacked"
tar --extract --gzip --strip-components 1 --directory "$elsewhere/unpacked" --file tensorgate-*.tar.gz
cd "$elsewhere/unpacked"
bin/tensorgate --version
for part in share/man/man1/tensorgate{,-verify}.1 share/bash-completion/completions/tensorgate \
    share/zsh/site-functions/_tensorgate share/fish/vendor_completions.d/tensorgate.fish \
    share/doc/tensorgate/{LICENSE,CHANGELOG.md,NOTICES,BUILD,tensorgate.cdx.json}; do
    [[ -s $part ]] || fail "$part is missing"
done
if grep -q -a -F -e "$root" -e "$elsewhere" -e "$HOME/" -r .; then fail "a path of this machine is in it"; fi

# With a key of tensorgate's own kind, as RELEASING.md does it.
bin/tensorgate keygen --out "$elsewhere/key" >/dev/null 2>&1
bash "$root/release/sign.sh" "$elsewhere/key.key.pem" "$root/target/shipped"
verify=(openssl pkeyutl -verify -rawin -pubin -inkey "$elsewhere/key.pub.pem" -sigfile "$root/target/shipped/SHA256SUMS.sig")
"${verify[@]}" -in "$root/target/shipped/SHA256SUMS"
sed 's/^./0/' "$root/target/shipped/SHA256SUMS" >"$elsewhere/other"
if "${verify[@]}" -in "$elsewhere/other" >/dev/null 2>&1; then fail "the signature holds over another list"; fi
rm -- "$root/target/shipped/SHA256SUMS.sig"
echo "release: reproduced, complete, and signed by a key that is gone"
