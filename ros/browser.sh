# shellcheck shell=bash disable=SC2154 # root and ros are setup.sh's
# The browser that reports are tried in, where the machine has none: a headless
# Chromium with the libraries that it wants, from the npm package
# @sparticuz/chromium (MIT; Chromium is BSD), without root. Functions for setup.sh.

readonly CHROMIUM=153.0.0
readonly CHROMIUM_SHA256=20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0

# For the tests of the reports: `bash ros/setup.sh ensure_browser`.
ensure_browser() {
    PATH=$(without_ours "$PATH")
    local command
    for command in chromium chromium-browser google-chrome; do
        if command -v "$command" >/dev/null; then return; fi
    done
    if [[ $(uname -m) != x86_64 ]]; then
        fail "there is no browser package for $(uname -m)" "apt install chromium"
    fi
    for command in npm node; do need "$command" "apt install chromium, or npm"; done
    ensure "$ros/browser" "$(digest ros/browser.sh)" make_browser
}

make_browser() {
    say "installing a headless Chromium under .ros (once) ..."
    local log=$ros/log/npm.log browser=$ros/browser
    mkdir -p "$browser"
    (
        set -e
        cd -- "$browser"
        npm pack --silent --ignore-scripts "@sparticuz/chromium@$CHROMIUM"
        echo "$CHROMIUM_SHA256  sparticuz-chromium-$CHROMIUM.tgz" | sha256sum --check
        tar -xzf "sparticuz-chromium-$CHROMIUM.tgz" package/bin
        unpack chromium >chromium
        chmod +x chromium
        unpack al2023.tar | tar -x --no-same-owner
        unpack swiftshader.tar | tar -x --no-same-owner
        unpack fonts.tar | tar -x --no-same-owner
        # Fonts of its own, so that a page looks the same everywhere.
        printf '<fontconfig><dir>%s/fonts</dir><cachedir>%s/cache</cachedir></fontconfig>\n' \
            "$browser" "$browser" >fonts.conf
        rm -r package "sparticuz-chromium-$CHROMIUM.tgz"
    ) >"$log" 2>&1 || fail "the browser could not be installed: $(reason "$log")" "see $log"
}

# unpack NAME: what package/bin/NAME.br holds.
unpack() {
    node -e 'const zlib = require("zlib"), fs = require("fs");
        fs.createReadStream(process.argv[1]).pipe(zlib.createBrotliDecompress()).pipe(process.stdout)' \
        "package/bin/$1.br"
}
