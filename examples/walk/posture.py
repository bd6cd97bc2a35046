"""What a legged robot does without a policy: it gets up, sits down, lies. Motion without thought.

Every motion begins at the targets that the motors have now, not at where the joints are: what the
motors hold up goes on being held up, and nothing goes limp.
"""

import numpy as np

import go2

# Poses and the seconds that it takes to each.
GET_UP = ((go2.STANDING, 1.5), (go2.STANDING, 0.5))
# Out of a trot two feet are in the air: first all four come down, then the body.
SIT_DOWN = ((go2.STANCE, 0.1), (go2.STANCE, 0.4), (go2.LYING, 1.6))

# How far a target may move in one period [rad]: twice what a joint does at its fastest.
SLEW = 1.0


class Motion:
    """Poses one after the other, with a smooth way between them."""

    def __init__(self, poses, start: np.ndarray, now: float):
        self.poses, self.start, self.begun = poses, start, now

    def targets(self, now: float) -> np.ndarray | None:
        """Where the joints shall be; None when all is done."""
        # A stamp from before it began is no place on the way.
        pose, passed = self.start, max(now - self.begun, 0.0)
        for next_pose, takes in self.poses:
            if passed < takes:
                share = passed / takes
                return pose + share * share * (3 - 2 * share) * (next_pose - pose)
            pose, passed = next_pose, passed - takes
        return None


def limited(targets: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Within the joints' limits, and not too far from the last targets, whatever a policy says, or
    whoever felt those."""
    within = np.clip(targets, go2.LOWER, go2.UPPER)
    return np.clip(last + np.clip(within - last, -SLEW, SLEW), go2.LOWER, go2.UPPER)
