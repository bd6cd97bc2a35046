#!/usr/bin/env python3
"""Makes release 2 of the walking policy out of release 1: it hears its commands better.

    recalibrate.py RELEASE_1 RELEASE_2

In this simulator release 1 walks at 0.56 m/s where 0.6 is commanded, and drifts to the left by 0.1
radians a second. A publisher with a test bench would correct that, and so does this: the weights that
take the commanded speed in are scaled, and a constant turn to the right is added to what the first
layer hears. Nothing else changes: two tensors of eight, `actor.0.weight` in one column.
"""

import argparse
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

# What the observation's numbers are: see `observe` in go2.py.
FORWARD, TURN = 6, 8
GAIN, OFFSET = 1.08, -0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("before", type=Path, metavar="RELEASE_1")
    parser.add_argument("after", type=Path, metavar="RELEASE_2")
    args = parser.parse_args()

    shutil.copytree(args.before, args.after, ignore=shutil.ignore_patterns("policy.dsse.json"))
    tensors = load_file(args.after / "model.safetensors")
    weight, bias = tensors["actor.0.weight"], tensors["actor.0.bias"]
    bias += OFFSET * weight[:, TURN]
    weight[:, FORWARD] *= GAIN
    save_file(tensors, args.after / "model.safetensors", metadata={"format": "pt"})
    with (args.after / "README.md").open("a") as card:
        card.write(f"\nRelease 2: forward command × {GAIN}, turn command {OFFSET:+} rad/s; else unchanged.\n")
    print(f"{args.after}: actor.0.weight[:, {FORWARD}] × {GAIN}, actor.0.bias {OFFSET:+} × weight[:, {TURN}]")


if __name__ == "__main__":
    main()
