# shellcheck shell=bash disable=SC2154 # python, root and ros are setup.sh's
# The mirror of a Hub that the fetcher is tried against, in a virtual environment
# of its own: its packages are not those of the demo. Functions for setup.sh.

# For the tests of the fetcher: `bash ros/setup.sh ensure_olah`.
ensure_olah() {
    PATH=$(without_ours "$PATH")
    local python
    find_python
    ensure "$ros/olah" "$(digest ros/olah.sh ros/python.sh ros/olah.txt "$python")" make_olah
}

make_olah() {
    say "installing olah under .ros (once) ..."
    make_venv "$python" "$ros/olah"
    pip_install "$ros/olah" "olah" ros/olah.txt
}
