"""The systemd unit: well-formed, as closed as it says, and the gate does all its work below it."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

UNIT = ROOT / "packaging/tensorgate.service"
# `systemd-analyze security`: 0 is nothing exposed, 10 everything. Below 2 it says OK.
EXPOSED = 20

# In mounts of its own: systemd-nspawn wants a root that is not the machine's, and has none of its networks.
CONTAINER = """
set -e
over=$1
mount -t tmpfs tmpfs "$over"
mkdir "$over"/{root,new,work}
mount -t overlay overlay -o "lowerdir=/,upperdir=$over/new,workdir=$over/work" "$over/root"
exec systemd-nspawn --quiet --directory="$over/root" --boot --register=no --keep-unit --private-network \
    --link-journal=no --settings=no --console=pipe "${@:2}" systemd.unit=basic.target
"""


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"NOT TRIED: {program} is missing (apt install systemd systemd-container)")


@pytest.fixture
def container(disk):
    """A systemd of its own over this machine's files, none of which it can change; `disk` is shared with it."""
    needs("systemd-nspawn", "nsenter", "setpriv", "unshare")
    if os.geteuid():
        pytest.skip("NOT TRIED: a container with a systemd of its own takes root")
    # The gate's user passes through.
    disk.chmod(0o755)
    store = disk / "store"
    store.mkdir()
    over = disk / "over"
    over.mkdir()
    command = ["unshare", "--mount", "bash", "-c", CONTAINER, "container", over, f"--bind-ro={ROOT}",
               f"--bind={disk}", f"--bind={store}:/var/lib/tensorgate"]
    log = (disk / "container.log").open("w")
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        first = first_process(process)
        if not first:
            pytest.skip(f"NOT TRIED: no systemd here: {(disk / 'container.log').read_text().strip()}")
        yield ["nsenter", "--target", first, "--all"]
    finally:
        process.terminate()
        process.wait(timeout=60)
        log.close()


def first_process(nspawn, seconds=60):
    """The container's systemd, once that is up; None where this machine lets none be."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if nspawn.poll() is not None:
            return None
        for child in children.read_text().split():
            state = ["nsenter", "--target", child, "--all", "systemctl", "is-system-running"]
            said = subprocess.run(state, capture_output=True, text=True, check=False).stdout.strip()
            if said in ("running", "degraded"):
                return child
        time.sleep(0.2)
    raise AssertionError("the container's systemd did not come up")


def test_the_gate_does_its_work_under_its_unit(container, disk):
    inside = [*container, sys.executable, Path(__file__).with_name("service.py"), disk]
    # The modules of this process, also those found from where it was started: inside, that is another directory.
    # The checkout is not written to from there, so no log of ROS goes into it.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "ROS_LOG_DIR": "/tmp"}
    done = subprocess.run(inside, env=environment, capture_output=True, text=True, timeout=300, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "service: ended with status 0"


def test_the_unit_is_closed():
    needs("systemd-analyze")
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSED}", UNIT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
