#!/usr/bin/env python3
"""A shell in which the pages can be followed by hand, as the tests follow them: `make shell`.

The programs that were built are on its PATH, the ROS package `tensorgate` and the Python package
`tensorgate_client` are found, and where the ROS has no command `ros2`, ros2.py stands in for it.
It begins in the home directory, with everything else as it is. Arguments are run in it instead.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from place import ROOT, installed, programs


def main() -> int:
    command = sys.argv[1:] or [os.environ.get("SHELL", "bash")]
    with tempfile.TemporaryDirectory(prefix="tensorgate-shell-") as name:
        folder = Path(name)
        environment = os.environ | {
            "PATH": before("PATH", programs(folder / "bin")),
            "PYTHONPATH": before("PYTHONPATH", ROOT / "target/python"),
            "AMENT_PREFIX_PATH": before("AMENT_PREFIX_PATH", installed(folder / "prefix")),
        }
        return subprocess.run(command, env=environment, cwd=Path.home(), check=False).returncode


def before(name: str, place: Path) -> str:
    return ":".join([str(place), *filter(None, [os.environ.get(name)])])


if __name__ == "__main__":
    sys.exit(main())
