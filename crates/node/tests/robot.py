"""A robot's controller, as a program: says each change of what it may act on, a line of JSON each.

It remembers the newest release in `--memory`, as a controller should that is started again. All that
it says has the time of the machine's steady clock, which is one for all hosts of a test.
"""

import argparse
import hashlib
import json
import os
import time
from collections import Counter
from pathlib import Path

import rclpy
import tensorgate_client
from rclpy.utilities import remove_ros_args
from subscriber import Subscriber


class Robot(Subscriber):
    def __init__(self, node, gate, trust, memory):
        self.memory, self.said, self.refusals = memory, None, Counter()
        expected = {"repo": "acme/walk"}
        if memory.exists():
            expected["last_accepted"] = tuple(json.loads(memory.read_text()))
        super().__init__(node, gate, trust, **expected)
        self.relied_on, self.epoch = self.begun, 0

    def on_manifest(self, message):
        before = len(self.rejected)
        super().on_manifest(message)
        self.refusals.update(self.rejected[before:])

    def on_fragment(self, message):
        try:
            super().on_fragment(message)
        except tensorgate_client.Rejected as rejected:
            self.refusals[rejected.code] += 1

    def on_status(self, message):
        session, digest = message.session_id.tobytes(), message.manifest_digest.tobytes()
        lease = message.lease.sec + message.lease.nanosec / 1e9
        sequence = message.epoch, message.sequence, message.state
        self.receiver.status(session, *sequence, digest, lease)
        self.relied_on = max(self.relied_on, time.monotonic() + min(lease, 5))
        if self.policy and self.policy.manifest_digest == digest.hex():
            self.epoch = message.epoch

    def arrived(self, policy):
        super().arrived(policy)
        if policy is not None:
            self.relied_on = max(self.relied_on, time.monotonic() + 0.5)
            self.memory.write_text(json.dumps([policy.sequence, policy.manifest_digest]))

    def step(self):
        # Before the state is looked at: an instant later it could be over.
        at = time.monotonic()
        word = {"state": self.receiver.state, "refused": dict(self.refusals)}
        if word["state"] == "active" and at > self.relied_on:
            word["wrong"] = "active beyond its lease"
        if policy := self.receiver.policy:
            word |= {"sequence": policy.sequence, "manifest": policy.manifest_digest, "epoch": self.epoch}
        if word != self.said:
            self.said = word
            print(json.dumps({"at": at, **word, **self.weights()}), flush=True)

    def weights(self):
        policy = self.receiver.policy
        if policy is None:
            return {}
        digest = hashlib.sha256(self.bytes_of("model.safetensors")).hexdigest()
        return {"weights": digest}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in "gate", "trust", "memory":
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args(remove_ros_args()[1:])
    rclpy.init()
    node = rclpy.create_node("controller")
    robot = Robot(node, args.gate, args.trust, Path(args.memory))
    parent = os.getppid()
    while os.getppid() == parent:
        rclpy.spin_once(node, timeout_sec=0.02)
        robot.step()


if __name__ == "__main__":
    main()
