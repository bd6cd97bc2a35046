# shellcheck shell=bash disable=SC2034,SC2154 # PYTHONS is for the others, ros is setup.sh's
# Python virtual environments: functions for setup.sh.

# The Pythons that lock.txt has wheels for.
readonly PYTHONS="3.10, 3.11 or 3.12"

fits_lock() {
    "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' 2>/dev/null
}

# make_venv PYTHON DIR [OPTION...]
make_venv() {
    local log=$ros/log/venv.log
    "$1" -m venv "${@:3}" -- "$2" >"$log" 2>&1 ||
        fail "$1 cannot make a virtual environment: $(reason "$log")" "see $log"
}

# pip_install DIR WHAT LIST...: what the lists name, and nothing that they do not.
pip_install() {
    local log=$ros/log/pip.log list
    (
        unset PYTHONHOME PYTHONPATH
        for list in "${@:3}"; do
            "$1/bin/python3" -m pip install --require-hashes --no-deps --no-build-isolation \
                --no-cache-dir --disable-pip-version-check \
                --requirement "$list" || exit
        done
    ) >"$log" 2>&1 || fail "pip could not install $2: $(reason "$log")" \
        "see $log; if it was the network, source ros/env.sh again"
}

# python_lacks PYTHON: prints "what|remedy", or nothing.
python_lacks() {
    local version
    version=python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$1" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$1 lacks the module venv|apt install $version-venv"
    elif ! "$1" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' \
        2>/dev/null; then
        echo "$1 lacks its C header Python.h|apt install $version-dev"
    fi
}
