#!/usr/bin/env python3
"""Compares a controller's actions with those of onnxruntime on the original policy.

    compare_go2.py draw OBSERVATIONS             1,000 random observations, always the same
    compare_go2.py check OBSERVATIONS ACTIONS

`check` prints the largest difference; it exits 0 if that is at most 1e-5, else 1. The files hold
bare float32, little-endian: 45 for each observation, 12 for each action.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime

from convert_go2 import original

# float32 has 7 decimal digits; sums of 512 products in another order lose one or two.
TOLERANCE = 1e-5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="compare the actions")
    for command in (commands.add_parser("draw", help="write the observations"), check):
        command.add_argument("observations", type=Path)
    check.add_argument("actions", type=Path)
    args = parser.parse_args()

    if args.command == "draw":
        draw().astype("<f4").tofile(args.observations)
        return 0
    expected = reference(np.fromfile(args.observations, "<f4").reshape(-1, 45))
    actions = np.fromfile(args.actions, "<f4")
    if actions.size != expected.size:
        print(f"{args.actions}: {actions.size} numbers, expected {expected.size}")
        return 1
    difference = np.abs(actions.reshape(expected.shape) - expected).max()
    print(f"{len(expected)} actions: max |Δ| = {difference:.2e}, {TOLERANCE:.0e} allowed")
    return 0 if difference <= TOLERANCE else 1  # NaN is no agreement


def draw() -> np.ndarray:
    """A robot on its feet, a little out of balance, with commands of up to 1 m/s and 1 rad/s.

    The layout is legged_gym's: angular velocity, gravity, command, then 12 joint positions (from
    the standing pose), velocities and last actions. Actions stay where the robot uses them: far
    outside, they grow to hundreds, and a difference of 1e-5 would be less than a float32 resolves.
    """
    random = np.random.default_rng(2026)
    observations = 0.1 * random.standard_normal((1000, 45))
    observations[:, 5] -= 1.0  # gravity points down
    observations[:, 6:9] = random.uniform(-1.0, 1.0, (1000, 3))
    return observations.astype(np.float32)


def reference(observations: np.ndarray) -> np.ndarray:
    """The original takes one observation at a time."""
    session = onnxruntime.InferenceSession(original(), providers=["CPUExecutionProvider"])
    actions = [session.run(None, {"obs": observation[None]})[0] for observation in observations]
    return np.concatenate(actions)


if __name__ == "__main__":
    sys.exit(main())
