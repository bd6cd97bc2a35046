# shellcheck shell=bash disable=SC2154 # python, root and ros are setup.sh's
# The simulator of the robot that walks, and what draws it, in a virtual
# environment of its own, whose packages are put on PYTHONPATH beside those of the
# ROS environment. Functions for setup.sh.

# For `make demo-walk` and its test: `bash ros/setup.sh ensure_sim`.
ensure_sim() {
    PATH=$(without_ours "$PATH")
    local python
    find_python
    ensure "$ros/sim" "$(digest ros/sim.sh ros/python.sh ros/sim.txt "$python")" make_sim
}

make_sim() {
    say "installing MuJoCo under .ros (once) ..."
    make_venv "$python" "$ros/sim"
    pip_install "$ros/sim" "MuJoCo" ros/sim.txt
}
