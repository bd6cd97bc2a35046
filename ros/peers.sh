# shellcheck shell=bash disable=SC2154 # python, root and ros are setup.sh's
# The Python peers that `make bench` compares with, in a virtual environment of
# their own. Functions for setup.sh.

# For the benchmarks: `bash ros/setup.sh ensure_peers`.
ensure_peers() {
    PATH=$(without_ours "$PATH")
    local python
    find_python
    ensure "$ros/peers" "$(digest ros/peers.sh ros/python.sh ros/peers.txt "$python")" make_peers
}

make_peers() {
    say "installing the peers of the benchmarks under .ros (once) ..."
    make_venv "$python" "$ros/peers"
    pip_install "$ros/peers" "the peers" ros/peers.txt
}
