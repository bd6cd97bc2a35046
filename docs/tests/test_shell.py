"""The shell of `make shell` finds what the pages use."""

import subprocess
import sys

import pytest
from place import ROOT


def shell(*command: str) -> subprocess.CompletedProcess:
    program = [sys.executable, ROOT / "docs/tests/shell.py", *command]
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    "line",
    [
        "tensorgate --version",
        "command -v tensorgate-testhub tensorgate_node",
        "ros2 launch --help",
        "python -c 'import tensorgate_client.ros'",
        "test -x ${AMENT_PREFIX_PATH%%:*}/lib/tensorgate/tensorgate_node",
        "test -f ${AMENT_PREFIX_PATH%%:*}/share/tensorgate/launch/tensorgate.launch.xml",
    ],
)
def test_the_shell_finds(line):
    ended = shell("bash", "-c", line)
    assert ended.returncode == 0, ended.stderr


def test_the_shell_ends_as_what_ran_in_it():
    assert shell("bash", "-c", "exit 7").returncode == 7


def test_the_shell_is_at_home_and_leaves_nothing():
    ended = shell("bash", "-c", "pwd -P; echo ${PATH%%:*}; cd ~; pwd -P")
    here, programs, home = ended.stdout.split()
    assert here == home
    assert subprocess.run(["test", "-e", programs], check=False).returncode == 1
