"""`colcon build` and `colcon test` in an ordinary workspace, and what is installed, as its users use it.

Cargo's profile `dev`, as `-DCMAKE_BUILD_TYPE=Debug` asks for. The workspace stays under target/, so that only the
first run builds everything.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import conftest
import pytest
from conftest import ROOT, Signed

WORKSPACE = ROOT / "target/colcon/workspace"
# The place of an underlay, whose messages are not ours.
UNDERLAY = [
    prefix
    for prefix in os.environ["AMENT_PREFIX_PATH"].split(":")
    if not os.path.isdir(f"{prefix}/share/tensorgate_msgs")
]
SETTINGS = ["-DCMAKE_BUILD_TYPE=Debug", f"-DPython3_EXECUTABLE={sys.executable}"]


def environment():
    """That of somebody who sourced ROS, and nothing of tensorgate."""
    ours = set(os.environ["AMENT_PREFIX_PATH"].split(":")) - set(UNDERLAY)

    def without_ours(name):
        paths = os.environ.get(name, "").split(":")
        kept = [path for path in paths if not any(path.startswith(prefix) for prefix in ours)]
        return ":".join(path for path in kept if "target/python" not in path)

    names = ("AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
    variables = {name: without_ours(name) for name in names}
    # What nobody debugs or edits takes half the disk.
    lean = {"CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0"}
    return {**os.environ, **variables, **lean}


def run(*command, status=0, **options):
    options = {"cwd": WORKSPACE, "env": environment(), **options}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workspace():
    sources = WORKSPACE / "src"
    sources.mkdir(parents=True, exist_ok=True)
    # Or the workspace's own build would be found inside of the checkout.
    (WORKSPACE.parent / "COLCON_IGNORE").touch()
    link = sources / "tensorgate"
    if not link.is_symlink():
        link.symlink_to(ROOT)
    if shutil.which("colcon") is None:
        pytest.fail("colcon is missing; hint: source ros/env.sh, or apt install python3-colcon-common-extensions")
    # What an earlier run installed is no evidence.
    shutil.rmtree(WORKSPACE / "install/tensorgate", ignore_errors=True)
    begun = time.monotonic()
    run("colcon", "build", "--cmake-args", *SETTINGS)
    print(f"\ncolcon build: {time.monotonic() - begun:.0f} s")
    return WORKSPACE


def in_workspace(command, **options):
    """As a user would: with the workspace sourced."""
    return run("bash", "-c", f"source install/setup.bash && {command}", **options)


def test_both_packages_are_found(workspace):
    packages = run("colcon", "list", "--names-only").split()
    assert sorted(packages) == ["tensorgate", "tensorgate_msgs"]


def test_everything_is_installed(workspace):
    prefix = workspace / "install/tensorgate"
    for name in (
        "bin/tensorgate",
        "lib/tensorgate/tensorgate_node",
        "lib/libtensorgate_c.so",
        "include/tensorgate/tensorgate_client.h",
        "include/tensorgate/tensorgate_client.hpp",
        "share/tensorgate/package.xml",
        "share/tensorgate/LICENSE",
        "share/tensorgate/launch/tensorgate.launch.py",
        "share/tensorgate/launch/tensorgate.launch.xml",
        "share/tensorgate/launch/tensorgate.launch.yaml",
        "share/tensorgate/launch/tensorgate_lifecycle.launch.py",
        "share/tensorgate/config/tensorgate.yaml",
        "share/tensorgate/sros2/tensorgate.policy.xml",
    ):
        assert (prefix / name).is_file(), name


def test_the_installed_command_and_module_start(workspace):
    assert in_workspace("tensorgate --version").startswith("tensorgate ")
    check = "import tensorgate_client, tensorgate_msgs.msg as m; print(tensorgate_client.__file__)"
    found = in_workspace(f'python3 -c "{check}"').strip()
    assert found.startswith(str(workspace / "install/tensorgate/"))


def test_the_installed_node_publishes(workspace, tmp_path, ros):
    from subscriber import Subscriber

    signed = Signed(tmp_path, conftest.small_tensors())
    subscriber = Subscriber(ros, trust=signed.trust)
    arguments = f"-p policy:={signed.directory} -p trust:={signed.trust} -p store:={tmp_path}/store"
    node = "install/tensorgate/lib/tensorgate/tensorgate_node"
    command = f"source install/setup.bash && exec {node} --ros-args {arguments}"
    process = subprocess.Popen(["bash", "-c", command], cwd=WORKSPACE, env=environment())
    try:
        ros.wait_for(lambda: subscriber.policy, "the policy")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_cmake_project_finds_the_library(workspace, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(controller CXX)\n"
        "find_package(tensorgate REQUIRED)\nadd_executable(controller controller.cpp)\n"
        "target_compile_features(controller PRIVATE cxx_std_17)\n"
        "target_link_libraries(controller tensorgate::client)\n"
    )
    (tmp_path / "controller.cpp").write_text(
        '#include <tensorgate_client.hpp>\n#include <cstdio>\n'
        "int main() {tensorgate::Receiver none = tensorgate::open({});\n"
        'std::puts(tensorgate_error_message()); return none ? 1 : 0;}\n'
    )
    build = tmp_path / "build"
    in_workspace(f"cmake -S {tmp_path} -B {build} -G Ninja && cmake --build {build}")
    assert in_workspace(build / "controller") == "trust is NULL\n"


def test_colcon_test_runs_the_tests_of_the_package(workspace):
    results = workspace / "build/tensorgate/test_results"
    shutil.rmtree(results, ignore_errors=True)
    run("colcon", "test", "--packages-select", "tensorgate", "--return-code-on-test-failure")
    summary = run("colcon", "test-result", "--test-result-base", results)
    assert re.search(r"Summary: \d+ tests, 0 errors, 0 failures, 0 skipped", summary), summary
    suites = [xml.parse(path).getroot() for path in results.rglob("*.xunit.xml")]
    cases = [case for suite in suites for case in suite.iter("testcase")]
    names = {case.get("name") for case in cases}
    assert "test_the_parameter_file_has_every_parameter_and_its_default" in names
