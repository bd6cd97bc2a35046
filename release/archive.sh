#!/usr/bin/env bash
# Makes the release archive of the command under target/shipped/, from what is committed: the same bytes wherever
# the same commit is built by the same compiler. RELEASING.md says how to show that, and how to sign it.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
shipped=$root/target/shipped
source=$shipped/source
readonly root shipped source

main() {
    # Neither the caller's language, time zone and mask, nor flags of theirs.
    export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH
    umask 022
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CFLAGS CXXFLAGS
    # One commit, whatever HEAD becomes while it is built.
    commit=$(git rev-parse HEAD)
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct "$commit")
    PATH=$root/target/tools/bin:$PATH
    target=$(rustc --version --verbose | sed -n 's/^host: //p')
    take_commit
    version=$(cd "$source" && cargo pkgid --package tensorgate | sed 's/.*[#@]//')
    name=tensorgate-$version-$target
    stage=$shipped/$name
    build
    lay_out
    pack
}

# What is released is the commit, whatever else lies in the checkout.
take_commit() {
    rm -rf -- "$source"
    mkdir -p "$source"
    git archive "$commit" | tar --extract --directory "$source"
    (cd "$source" && cargo fetch --locked --quiet --target "$target")
}

# No path of this machine, no name of a build, no time: from the compiler, the C compiler, the linker.
build() {
    local from flags=() prefixes=()
    for from in "$source=/tensorgate" "$root/target=/target" "$(cargo_home)"/registry/src/*/; do
        [[ $from == *=* ]] || from=${from%/}=/crates
        prefixes+=("-ffile-prefix-map=$from")
        flags+=("--remap-path-prefix=$from")
    done
    flags+=(-C "link-arg=-Wl,--build-id=none")
    (
        cd "$source"
        # Separated as they are here, since a path may have spaces.
        CARGO_ENCODED_RUSTFLAGS=$(printf '%s\x1f' "${flags[@]}" | head -c -1) CFLAGS="${prefixes[*]}" \
            cargo auditable build --locked --quiet --profile dist \
            --package tensorgate --target "$target" --target-dir "$root/target/dist-build"
    )
}

cargo_home() { realpath -- "${CARGO_HOME:-$HOME/.cargo}"; }

# As below /usr/local, so that it can be unpacked there.
lay_out() {
    local program=$stage/bin/tensorgate docs=$stage/share/doc/tensorgate
    rm -rf -- "$stage"
    ln -sfn -- "$name" "$shipped/stage"
    install -D "$root/target/dist-build/$target/dist/tensorgate" "$program"
    install -D -m 644 -t "$docs" "$source"/{LICENSE,CHANGELOG.md,README.md,SECURITY.md}
    mkdir -p "$stage"/share/man/man1
    "$program" man "$stage/share/man/man1" >&2
    completions bash bash-completion/completions/tensorgate
    completions zsh zsh/site-functions/_tensorgate
    completions fish fish/vendor_completions.d/tensorgate.fish
    python3 "$source/release/notices.py" "$source" "$program" >"$docs/NOTICES"
    bill >"$docs/tensorgate.cdx.json"
    {
        echo "commit $commit"
        rustc --version --verbose
        cc --version | head -n 1
    } >"$docs/BUILD"
}

completions() {
    mkdir -p "$(dirname -- "$stage/share/$2")"
    "$stage/bin/tensorgate" completions "$1" >"$stage/share/$2"
}

# CycloneDX of what this program was compiled from.
bill() {
    (
        cd "$source"
        cargo cyclonedx --quiet --manifest-path crates/cli/Cargo.toml --format json --spec-version 1.5 \
            --target "$target" --no-build-deps --override-filename bill >&2
    )
    python3 "$source/release/bill.py" "$source" "$stage/bin/tensorgate"
}

# The workflow for policy repositories comes with the digest of the archive that it installs.
pack() {
    local digest
    cd "$shipped"
    rm -f -- SHA256SUMS{,.sig}
    tar --create --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        "$name" | gzip --no-name --best >"$name.tar.gz"
    cp -- "$stage/share/doc/tensorgate/tensorgate.cdx.json" "$name.cdx.json"
    digest=$(sha256sum -- "$name.tar.gz" | cut -d ' ' -f 1)
    sed -e "s/^\(  TENSORGATE_SHA256:\) .*/\1 \"$digest\"/" -e "s/^\(  TENSORGATE_ARCHIVE:\) .*/\1 $name/" \
        -e "s#/download/v.*#/download/v$version#" "$source/docs/policy-repositories/tensorgate.yml" >tensorgate.yml
    sha256sum -- "$name.cdx.json" "$name.tar.gz" tensorgate.yml >SHA256SUMS
    cat SHA256SUMS
}

main "$@"
