"""Fetching, which a benchmark of its own measures: ours, a bare stream, and the Python client."""

import os
import subprocess

from measure import last_line
from peers import ROOT, VENV
from targets import Target, ratio

COMMAND = ["cargo", "bench", "--locked", "--quiet", "--package", "tensorgate-benches"]


def run(say):
    """Says its table, and returns the targets of fetching."""
    environment = {**os.environ, "TENSORGATE_PYTHON": str(VENV / "python3")}
    # 256 MB here too: a longer download adds minutes, and no insight.
    environment.pop("TENSORGATE_BENCH_FULL", None)
    command = [*COMMAND, "--bench", "fetch"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        say(f"### Fetching\n\nnot measured: {last_line(done.stderr)}\n")
        return []
    say(f"### Fetching\n\n{done.stdout}")
    return targets(rows(done.stdout))


def rows(table):
    """`{what: {who: (seconds, MiB)}}` of its Markdown."""
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[4].endswith("MiB"):
            what, who, seconds, _, peak, _ = cells
            took = float(seconds), float(peak.removesuffix("MiB"))
            found.setdefault(what, {})[who.split(",")[0]] = took
    return found


def targets(found):
    wanted = []
    for what, by in found.items():
        seconds = ratio(by["reqwest"][0], by["tensorgate"][0])
        wanted.append(Target(f"fetch {what}: faster than a bare stream", "≥", 0.9, "×", seconds))
        wanted.append(Target(f"fetch {what}: peak memory", "≤", 64, "MiB", by["tensorgate"][1]))
    return wanted
