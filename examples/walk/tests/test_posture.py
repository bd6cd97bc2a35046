"""Targets without a policy, and the limits of those with one."""

import go2
import numpy as np
from posture import GET_UP, SIT_DOWN, SLEW, Motion, limited


def test_a_motion_begins_at_the_last_targets_and_has_no_jumps():
    start = np.linspace(-1, 1, 12)
    for poses in GET_UP, SIT_DOWN:
        motion, takes = Motion(poses, start, 10.0), sum(seconds for _, seconds in poses)
        assert np.array_equal(motion.targets(10.0), start)
        way = [motion.targets(10 + passed) for passed in np.arange(0, takes, 0.001)]
        assert np.abs(np.diff(way, axis=0)).max() < 0.06
        assert np.allclose(way[-1], poses[-1][0], atol=0.01)
        assert motion.targets(10 + takes + 0.001) is None


def test_targets_stay_within_the_joints_and_move_no_faster_than_the_limit():
    random = np.random.default_rng(1)
    last = go2.DEFAULT
    for _ in range(1000):
        targets = limited(random.normal(0, 50, 12), last)
        assert (go2.LOWER <= targets).all() and (targets <= go2.UPPER).all()
        assert np.abs(targets - last).max() <= SLEW + 1e-12
        last = targets


def test_what_was_felt_beyond_the_joints_is_no_target():
    """Who lies takes for targets what is felt, whatever that is."""
    for felt in 1e300, 100.0, -3.0:
        targets = limited(go2.STANDING, np.full(12, felt))
        assert (go2.LOWER <= targets).all() and (targets <= go2.UPPER).all(), felt


def test_a_clock_that_goes_back_moves_nothing():
    motion = Motion(SIT_DOWN, go2.STANDING, 10.0)
    assert np.array_equal(motion.targets(3.0), go2.STANDING)


def test_every_pose_is_one_that_the_joints_can_take():
    for pose, _ in (*GET_UP, *SIT_DOWN, (go2.DEFAULT, 0)):
        assert (go2.LOWER <= pose).all() and (pose <= go2.UPPER).all()


def test_gravity_is_seen_where_it_is():
    assert np.allclose(go2.gravity_seen(1, 0, 0, 0), [0, 0, -1])
    half = np.sqrt(0.5)
    # Rolled to the right by 90 degrees, down is to its right; nose down, down is ahead.
    assert np.allclose(go2.gravity_seen(half, half, 0, 0), [0, -1, 0])
    assert np.allclose(go2.gravity_seen(half, 0, half, 0), [1, 0, 0])


def test_an_orientation_that_is_none_is_no_gravity():
    for none in ((0, 0, 0, 0), (2, 0, 0, 0), (float("nan"), 0, 0, 0), (1e200, 1e200, 0, 0)):
        assert not np.isfinite(go2.gravity_seen(*none)).any(), none
