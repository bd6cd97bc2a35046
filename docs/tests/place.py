"""Where a page is followed: a home directory, an environment, a Hub, and ROS.

Nothing of whoever runs the tests is taken over but ROS, the locale and where programs lie.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
OURS = ["tensorgate", "tensorgate-testhub", "tensorgate_node", "controller"]
# ROS, as `source /opt/ros/…/setup.bash` or `source ros/env.sh` leave it.
TAKEN = ["LD_LIBRARY_PATH", "PYTHONPATH", "AMENT_PREFIX_PATH", "RMW_IMPLEMENTATION"]
TAKEN += ["_ROS_WHEELS_BOOTSTRAP_COMPLETE"]

sys.path.append(str(ROOT / "ros"))
import own_domain  # noqa: E402

REAL_ROS2 = shutil.which("ros2")


class Place:
    """A clean place for one page; `folder` is removed by whoever made it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.home.chmod(0o755)
        self.checkout()
        (folder / "nothing").mkdir()
        self.commits = [f"--repo=acme/nothing={folder / 'nothing'}"]
        # The name of a socket has 108 bytes at the most.
        self.runtime = tempfile.TemporaryDirectory(prefix="docs-")
        self.environment = self.variables()
        self.hub, endpoint = self.start_hub()
        self.environment["HF_ENDPOINT"] = endpoint
        self.port = endpoint.rsplit(":", 1)[1]
        self.ros2_daemon("start")

    def variables(self) -> dict[str, str]:
        names = [name for name in os.environ if name in TAKEN or name.startswith("ROS_")]
        taken = {name: os.environ[name] for name in names}
        packages = ROOT / "target/python"
        return taken | {
            "HOME": str(self.home),
            "PATH": f"{programs(self.folder / 'bin')}:{os.environ['PATH']}",
            "PYTHONPATH": f"{packages}:{os.environ.get('PYTHONPATH', '')}",
            "AMENT_PREFIX_PATH": f"{installed(self.folder / 'prefix')}:{os.environ.get('AMENT_PREFIX_PATH', '')}",
            "ROS_LOG_DIR": str(self.folder / "log"),
            # Where the store of an ordinary user is, also where root runs this.
            "TENSORGATE_STORE": str(self.home / ".local/share/tensorgate"),
            "XDG_RUNTIME_DIR": self.runtime.name,
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "USER": "robot",
        }

    def checkout(self) -> None:
        """~/tensorgate: the checkout, and what was built of it."""
        target = self.home / "tensorgate/target"
        target.mkdir(parents=True)
        for entry in ROOT.iterdir():
            if entry.name != "target":
                (target.parent / entry.name).symlink_to(entry)
        (target / "debug").symlink_to(PROGRAMS)
        (target / "python").symlink_to(ROOT / "target/python")

    def serve(self, commits: list[tuple[str, str]]) -> None:
        """Directories become the next commits on the Hub, which stays at its address."""
        for repo, directory in commits:
            kept = self.folder / f"commit-{len(self.commits)}"
            shutil.copytree(self.directory(directory), kept)
            self.commits.append(f"--repo={repo}={kept}")
        self.end_hub()
        self.hub, _ = self.start_hub(self.port)

    def start_hub(self, port: str = "0") -> tuple[subprocess.Popen, str]:
        command = [PROGRAMS / "tensorgate-testhub", "--port", port, *self.commits]
        hub = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
        return hub, json.loads(hub.stdout.readline())["endpoint"]

    def directory(self, directory: str) -> Path:
        """In the home directory, or made by policies.py."""
        if (self.home / directory).is_dir():
            return self.home / directory
        made = self.folder / "made" / directory
        if not made.exists():
            made.parent.mkdir(exist_ok=True)
            command = [sys.executable, ROOT / "docs/tests/policies.py", directory, made]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return made

    def end_hub(self) -> None:
        self.hub.send_signal(signal.SIGINT)
        self.hub.wait(timeout=30)
        self.hub.stdout.close()

    def close(self) -> None:
        self.end_hub()
        self.runtime.cleanup()
        self.ros2_daemon("stop")

    def ros2_daemon(self, verb: str) -> None:
        """What ros2cli asks for names: one that begins with the first question knows none yet."""
        if REAL_ROS2:
            command = [REAL_ROS2, "daemon", verb]
            subprocess.run(command, env=self.environment, capture_output=True, check=False)


def programs(folder: Path) -> Path:
    """The programs that were built, and `ros2` where no real one is."""
    folder.mkdir(mode=0o700)
    for name in OURS:
        if (PROGRAMS / name).exists():
            (folder / name).symlink_to(PROGRAMS / name)
    if not REAL_ROS2:
        (folder / "ros2").symlink_to(ROOT / "docs/tests/ros2.py")
    return folder


def installed(prefix: Path) -> Path:
    """The ROS package `tensorgate`, as colcon installs it (crates/node/CMakeLists.txt)."""
    prefix.mkdir(mode=0o700)
    index = prefix / "share/ament_index/resource_index/packages"
    share, executables = prefix / "share/tensorgate", prefix / "lib/tensorgate"
    for folder in index, share / "launch", executables:
        folder.mkdir(parents=True)
    (index / "tensorgate").touch()
    for file in ROOT.glob("launch/*.launch.*"):
        shutil.copy(file, share / "launch")
    shutil.copytree(ROOT / "launch/config", share / "config")
    (share / "package.xml").symlink_to(ROOT / "crates/node/package.xml")
    (executables / "tensorgate_node").symlink_to(PROGRAMS / "tensorgate_node")
    return prefix
