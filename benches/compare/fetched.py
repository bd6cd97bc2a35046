"""Fetching, which a benchmark of its own measures: ours beside a bare stream and the Python client."""

import os
import subprocess

from peers import ROOT, VENV

COMMAND = ["cargo", "bench", "--locked", "--quiet", "--package", "tensorgate-benches", "--bench", "fetch"]


def run(say):
    """Says its table; returns `{what: bare / ours}`."""
    environment = {**os.environ, "TENSORGATE_PYTHON": str(VENV / "python3")}
    # 256 MB here too: a longer download adds minutes, and no insight.
    environment.pop("TENSORGATE_BENCH_FULL", None)
    done = subprocess.run(COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        say(f"### Fetching\n\nnot measured: {done.stderr.strip().splitlines()[-1]}\n")
        return {}
    say(f"### Fetching\n\n{done.stdout}")
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "|" in line]
    seconds = {(row[0], row[1].split(",")[0]): row[2] for row in rows[2:]}
    return {
        what: float(seconds[what, "reqwest"]) / float(took)
        for (what, who), took in seconds.items()
        if who == "tensorgate"
    }
