#!/usr/bin/env bash
# Makes what ros/env.sh promises and prints the environment for it: `export`
# lines on stdout, progress and errors on stderr, the noise of tools under
# .ros/log/.
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
ros=$root/.ros
venv=$ros/jazzy

source "$root/ros/jazzy.sh"

main() {
    local foreign made_from=
    foreign=$(without_ours "${AMENT_PREFIX_PATH:-}")
    if [[ -n ${ROS_DISTRO:-} && -n $foreign ]]; then
        underlay=
        check_sourced_ros
    else
        underlay=$venv
        made_from=$(digest ros/jazzy.sh ros/lock.txt)
        ensure "$venv" "$made_from" make_jazzy
    fi
    # The directory is named after what is in it, and stands in the variables
    # by which r2r decides whether its bindings are still good: edited messages
    # mean new bindings.
    local id
    id=$(digest ros/setup.sh $(cd "$root" && echo msg/*.* msg/*/*) "$made_from" "$foreign")
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

# digest FILE|TEXT...: of the files' contents, of the texts, and of the place,
# since what we make is full of absolute paths.
digest() {
    local input
    for input in "$root" "$@"; do
        echo "$input"
        if [[ -f $root/$input ]]; then cat -- "$root/$input"; fi
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

made() { [[ -f $1/.made-from && $(<"$1/.made-from") == "$2" ]]; }

check_sourced_ros() {
    case $ROS_DISTRO in
        humble | iron | jazzy | lyrical | rolling) ;;
        *) fail "ROS_DISTRO=$ROS_DISTRO is not supported by r2r, which the node is built with" \
            "source ROS 2 Jazzy, or start a shell without ROS to have it made under .ros" ;;
    esac
    need colcon "apt install python3-colcon-common-extensions"
    need c++ "apt install build-essential"
    need make "apt install build-essential"
}

# need COMMAND REMEDY
need() {
    command -v "$1" >/dev/null || fail "\`$1\` is missing" "$2"
}

make_messages() {
    say "building tensorgate_msgs (once, about 1 min) ..."
    local options=(-DBUILD_TESTING=OFF) log=$ros/log/tensorgate_msgs.log
    if [[ -n $underlay ]]; then
        options+=(-G Ninja -DPython3_EXECUTABLE="$venv/bin/python3")
    fi
    rm -rf -- "$ros/build"
    (
        eval "$(environment)"
        colcon --log-base "$ros/log/colcon" build --base-paths "$root/msg" \
            --build-base "$ros/build" --install-base "$messages" --merge-install \
            --event-handlers console_direct+ --cmake-args "${options[@]}"
    ) >"$log" 2>&1 || fail "tensorgate_msgs does not build: $(reason "$log")" "see $log"
}

# reason LOG: the last line there that names an error, or the last line.
reason() {
    local line
    line=$(grep -i 'error' -- "$1" | tail -n 1)
    echo "${line:-$(tail -n 1 -- "$1")}"
}

environment() {
    prepend AMENT_PREFIX_PATH "$messages" "$underlay"
    prepend CMAKE_PREFIX_PATH "$messages" "$underlay"
    prepend LD_LIBRARY_PATH "$messages/lib" \
        ${underlay:+"$venv"/lib "$venv"/lib/python3*/site-packages/ros_*.libs}
    prepend PYTHONPATH "$messages"/{,local/}lib/python3*/{site,dist}-packages
    prepend PATH ${underlay:+"$venv/bin"}
    if [[ -n $underlay ]]; then jazzy_variables; fi
}

# prepend VARIABLE DIR...: our directories (those that exist), then the caller's.
prepend() {
    local variable=$1 value='' dir
    for dir in "${@:2}"; do
        if [[ -d $dir ]]; then value+=${value:+:}$dir; fi
    done
    local rest
    rest=$(without_ours "${!variable:-}")
    printf 'export %s=%q\n' "$variable" "$value${value:+${rest:+:}}$rest"
}

# without_ours PATHS: a colon-separated list without what lies under .ros, as
# an earlier call left it.
without_ours() {
    local kept='' dir
    local IFS=:
    for dir in $1; do
        if [[ $dir != "$ros"/* ]]; then kept+=${kept:+:}$dir; fi
    done
    echo "$kept"
}

main
