"""A robot's controller, as a program: says each change of what it may act on, a line of JSON each.

It remembers the newest release in the directory `--state`, as a controller should that is started
again. All that it says has the time of the machine's steady clock, one for all hosts of a test.
"""

import argparse
import hashlib
import json
import mmap
import os
import time

import rclpy
from rclpy.utilities import remove_ros_args
from tensorgate_client import Rejected
from tensorgate_client.ros import PolicySubscriber
from tensorgate_msgs.msg import PolicyStatus


class Robot:
    def __init__(self, node, gate, trust, state):
        self.refused, self.said, self.epoch, self.relied_on = set(), None, 0, 0
        given = {"repo": "acme/walk", "state": state, "on_rejected": self.on_rejected}
        self.subscriber = PolicySubscriber(node, trust, gate, on_policy=self.on_policy, **given)
        node.create_subscription(PolicyStatus, f"{gate}/status", self.on_status, 10)

    def on_rejected(self, error):
        self.refused.add(error.code if isinstance(error, Rejected) else type(error).__name__)

    def on_policy(self, _):
        self.rely(0.5)

    def on_status(self, message):
        self.rely(message.lease.sec + message.lease.nanosec / 1e9)
        policy = self.subscriber.policy
        if policy and policy.manifest_digest == message.manifest_digest.tobytes().hex():
            self.epoch = message.epoch

    def rely(self, lease):
        """Until then it may act, on whatever it was told, and no longer."""
        self.relied_on = max(self.relied_on, time.monotonic() + min(lease, 5))

    def step(self):
        # Before the state is looked at: an instant later it could be over.
        at = time.monotonic()
        subscriber = self.subscriber
        word = {"state": subscriber.state, "publishers": subscriber.publishers}
        word |= {"refused": sorted(self.refused), "hundreds": subscriber.refusals[0] // 100}
        if word["state"] == "active" and at > self.relied_on:
            word["wrong"] = "active beyond its lease"
        if policy := subscriber.policy:
            word |= {"sequence": policy.sequence, "epoch": self.epoch}
        if word != self.said:
            self.said = word
            print(json.dumps({"at": at, **word, "weights": weights(policy)}), flush=True)


def weights(policy):
    """The digest of what it has in its hands."""
    if policy is None:
        return None
    fd = policy.memfd("model.safetensors")
    try:
        with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as file:
            return hashlib.sha256(file).hexdigest()
    finally:
        os.close(fd)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in "gate", "trust", "state":
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    node = rclpy.create_node("controller")
    robot = Robot(node, args.gate, args.trust, args.state)
    parent = os.getppid()
    while os.getppid() == parent:
        rclpy.spin_once(node, timeout_sec=0.02)
        robot.step()


if __name__ == "__main__":
    main()
