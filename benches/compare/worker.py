"""The worker in Python: opens a policy's weights in the ways that it is told.

Each line of standard input names a way; the answer is a line with the seconds that it took.
"""

import pathlib
import sys
import time

import oms
from safetensors import safe_open
from safetensors.numpy import load_file

FIRST = "model.layers.0.0.weight"


def all_of(weights):
    with safe_open(weights, framework="numpy") as file:
        return [file.get_tensor(name) for name in file.keys()]


def first_of(weights):
    with safe_open(weights, framework="numpy") as file:
        return file.get_tensor(FIRST)


def main():
    folder = pathlib.Path(sys.argv[1])
    weights = folder / "policy" / "model.safetensors"
    ways = {
        "load_file": lambda: load_file(weights),
        "safe_open": lambda: all_of(weights),
        "safe_open-first": lambda: first_of(weights),
    }
    for name in oms.HASHES:
        ways[f"oms-{name}"] = lambda name=name: oms.verify(folder, name)
    for line in sys.stdin:
        start = time.perf_counter()
        made = ways[line.strip()]()
        seconds = time.perf_counter() - start
        del made
        print(seconds, flush=True)


main()
