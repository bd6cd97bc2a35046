# shellcheck shell=bash disable=SC2154 # python, root and ros are setup.sh's
# Programs of the lints that Cargo does not build, in a virtual environment of their own. Functions for setup.sh.

# For `make lint`: `bash ros/setup.sh ensure_lint`.
ensure_lint() {
    PATH=$(without_ours "$PATH")
    local python
    find_python
    ensure "$ros/lint" "$(digest ros/lint.sh ros/python.sh ros/lint.txt "$python")" make_lint
}

make_lint() {
    say "installing the programs of the lints under .ros (once) ..."
    make_venv "$python" "$ros/lint"
    pip_install "$ros/lint" "the programs of the lints" ros/lint.txt
}
