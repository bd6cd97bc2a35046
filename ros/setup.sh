#!/usr/bin/env bash
# Makes what ros/env.sh promises and prints the environment for it: `export`
# lines on stdout, progress and errors on stderr, the noise of tools under
# .ros/log/. With `ensure_olah`, makes what the tests of the fetcher want besides;
# with `ensure_peers`, what the benchmarks compare with; with `ensure_sim`, the
# simulator of the robot that walks; with `ensure_browser`, a browser for the tests
# of the reports; with `ensure_lint`, what the lints do.
set -euo pipefail
# The same order of files and the same words from tools everywhere, and no `cd`
# to elsewhere.
export LC_ALL=C
unset CDPATH

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
ros=$root/.ros
jazzy=$ros/jazzy
tools=$ros/tools

# shellcheck source=ros/python.sh
source "$root/ros/python.sh"
# shellcheck source=ros/jazzy.sh
source "$root/ros/jazzy.sh"
# shellcheck source=ros/tools.sh
source "$root/ros/tools.sh"
# shellcheck source=ros/olah.sh
source "$root/ros/olah.sh"
# shellcheck source=ros/peers.sh
source "$root/ros/peers.sh"
# shellcheck source=ros/sim.sh
source "$root/ros/sim.sh"
# shellcheck source=ros/browser.sh
source "$root/ros/browser.sh"
# shellcheck source=ros/lint.sh
source "$root/ros/lint.sh"

main() {
    PATH=$(without_ours "$PATH") # or we would build on what we are about to replace
    local made_from
    made_from=$(without_ours "${AMENT_PREFIX_PATH:-}")
    if [[ -n ${ROS_DISTRO:-} ]] && has_ros "$made_from"; then
        underlay=
        check_sourced_ros
        ensure_tools
    else
        underlay=$jazzy
        made_from=$(digest ros/jazzy.sh ros/python.sh ros/lock.txt)
        ensure "$jazzy" "$made_from" make_jazzy
    fi
    # The directory is named after what is in it, and stands in the variables
    # by which r2r decides whether its bindings are still good: edited messages
    # mean new bindings.
    local id
    id=$(digest ros/setup.sh msg/*.* msg/*/* "$made_from")
    messages=$ros/install/${id:0:16}
    ensure "$messages" "$id" make_messages
    environment
}

say() { echo "tensorgate: $*" >&2; }

# fail WHAT HINT
fail() {
    say "$1"
    echo "hint: $2" >&2
    exit 1
}

# need COMMAND REMEDY
need() {
    command -v "$1" >/dev/null || fail "\`$1\` is missing" "$2"
}

# has_ros PATHS: whether the client library lies in one of these prefixes. An
# overlay alone, sourced after our own ROS, is none.
has_ros() {
    local dir
    split "$1"
    for dir in "${parts[@]}"; do
        if [[ -d $dir/share/rcl ]]; then return 0; fi
    done
    return 1
}

# digest FILE|TEXT...: of the files' contents, of the texts, and of the place,
# since what we make is full of absolute paths.
digest() {
    local input
    for input in "$root" "$@"; do
        echo "$input"
        if [[ -f $input ]]; then cat -- "$input"; fi
    done | sha256sum | cut -d ' ' -f 1
}

# ensure DIR STAMP COMMAND: runs COMMAND, which makes DIR, unless DIR was made
# whole from the same inputs. The stamp comes last, so that what was interrupted
# is made again; one process at a time makes things.
ensure() {
    made "$1" "$2" && return
    mkdir -p "$ros/log"
    exec {lock}>"$ros/lock"
    if ! flock --nonblock "$lock"; then
        say "waiting for another process that is making $ros"
        flock "$lock"
    fi
    if ! made "$1" "$2"; then
        rm -rf -- "$1"
        "$3"
        echo "$2" >"$1/.made-from"
    fi
    exec {lock}>&-
}

made() {
    # A virtual environment does not outlive the Python that made it.
    if [[ -L $1/bin/python3 && ! -x $1/bin/python3 ]]; then return 1; fi
    [[ -f $1/.made-from && $(<"$1/.made-from") == "$2" ]]
}

check_sourced_ros() {
    case $ROS_DISTRO in
        humble | iron | jazzy | lyrical | rolling) ;;
        *) fail "ROS_DISTRO=$ROS_DISTRO is not supported by r2r, which the node is built with" \
            "source ROS 2 Jazzy, or start a shell without ROS to have it made under .ros" ;;
    esac
    local command
    for command in cmake c++ make; do need "$command" "apt install build-essential cmake"; done
}

make_messages() {
    say "building tensorgate_msgs (once, about 1 min) ..."
    local options=(-DBUILD_TESTING=OFF) log=$ros/log/tensorgate_msgs.log
    if [[ -n $underlay ]]; then
        options+=(-G Ninja -DPython3_EXECUTABLE="$jazzy/bin/python3")
    fi
    rm -rf -- "$ros/build"
    (
        eval "$(environment)"
        cmake -S msg -B "$ros/build" -DCMAKE_INSTALL_PREFIX="$messages" "${options[@]}" &&
            cmake --build "$ros/build" --parallel "$(nproc)" &&
            cmake --install "$ros/build"
    ) >"$log" 2>&1 || fail "tensorgate_msgs does not build: $(reason "$log")" "see $log"
}

# reason LOG: the last line there that names an error, or the last line. That
# there was one, as cmake and make conclude, is no reason.
reason() {
    local line
    line=$(grep -i 'error' -- "$1" | grep -v -e '^-- ' -e '\*\*\*' | tail -n 1)
    echo "${line:-$(tail -n 1 -- "$1")}"
}

environment() {
    prepend AMENT_PREFIX_PATH "$messages" "$underlay"
    prepend CMAKE_PREFIX_PATH "$messages" "$underlay"
    prepend LD_LIBRARY_PATH "$messages/lib" \
        ${underlay:+"$jazzy"/lib "$jazzy"/lib/python3*/site-packages/ros_*.libs}
    prepend PYTHONPATH "$messages"/{,local/}lib/python3*/{site,dist}-packages
    prepend PATH "${underlay:-$tools}/bin"
    if [[ -n $underlay ]]; then jazzy_variables; fi
    clang_variables "${underlay:-$tools}"
}

# clang_variables VENV: libclang of that place and the compiler's headers, for
# bindgen.
clang_variables() {
    local native
    for native in "$1"/lib/python3*/site-packages/clang/native; do
        if [[ ! -d $native ]]; then continue; fi
        printf 'export %s=%q\n' LIBCLANG_PATH "$native" \
            BINDGEN_EXTRA_CLANG_ARGS "-I$(cc -print-file-name=include)"
    done
}

# prepend VARIABLE DIR...: our directories (those that exist), then the caller's.
prepend() {
    local variable=$1 value='' dir rest
    for dir in "${@:2}"; do
        if [[ -d $dir ]]; then value+=${value:+:}$dir; fi
    done
    rest=$(without_ours "${!variable:-}")
    value+=${value:+${rest:+:}}$rest
    if [[ -n $value ]]; then printf 'export %s=%q\n' "$variable" "$value"; fi
}

# without_ours PATHS: a colon-separated list without what lies under .ros, as
# an earlier call left it.
without_ours() {
    local kept='' dir
    split "$1"
    for dir in "${parts[@]}"; do
        if [[ $dir != "$ros"/* ]]; then kept+=${kept:+:}$dir; fi
    done
    echo "$kept"
}

# split PATHS: sets `parts` to those of a colon-separated list.
split() { IFS=: read -r -a parts <<<"$1"; }

"${1:-main}"
