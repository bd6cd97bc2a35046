#!/usr/bin/env python3
"""A robot's controller: acts only on weights that it verified itself.

    controller.py --trust trust.toml [--repo OWNER/NAME] [--revision COMMIT] [--ros-args …]

It subscribes to a gate's topics, verifies and assembles the policy, and reports every change of
state until SIGINT. With `--observations IN --actions OUT` (bare little-endian float32, 45 and 12 to
a row) it computes the actions as soon as the policy may be acted on, and exits 0. It exits 2 when
no policy became active within `--timeout` seconds.

ROS parameter `gate` (default `/tensorgate`): the node whose topics to subscribe to.
"""

import argparse
import json
import math
import mmap
import os
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from tensorgate_client import Policy, Receiver, Rejected
from tensorgate_msgs.msg import PolicyManifest, PolicyStatus, TensorFragment

from go2_policy import Mlp


class Controller(Node):
    """Feeds a gate's messages to a `Receiver`."""

    def __init__(self, receiver: Receiver):
        super().__init__("controller")
        self.receiver = receiver
        self.gate = self.declare_parameter("gate", "/tensorgate").value
        self.fragments = None
        self.announced = time.monotonic()
        gate = self.gate
        self.create_subscription(PolicyManifest, f"{gate}/manifest", self.on_manifest, latched(1))
        self.create_subscription(PolicyStatus, f"{gate}/status", self.on_status, 1)

    def on_manifest(self, msg: PolicyManifest) -> None:
        files = [(file.path, bytes(file.data)) for file in msg.files]
        announcement = bytes(msg.session_id), msg.epoch, bytes(msg.envelope), files
        table = msg.fragment_size, msg.fragment_count, bytes(msg.fragment_digests)
        try:
            self.receiver.announce(*announcement, *table)
        except (Rejected, OSError) as error:
            return say(str(error))
        if self.receiver.missing:
            self.announced = time.monotonic()
            self.subscribe_fragments(msg.fragment_count)

    def subscribe_fragments(self, count: int) -> None:
        """A late joiner gets as many latched fragments as its queue is deep, and no more."""
        if self.fragments:
            self.destroy_subscription(self.fragments)
        topic, qos = f"{self.gate}/fragments", latched(count)
        self.fragments = self.create_subscription(TensorFragment, topic, self.on_fragment, qos)

    def on_fragment(self, msg: TensorFragment) -> None:
        session, data = bytes(msg.session_id), bytes(msg.data)
        try:
            policy = self.receiver.fragment(session, msg.epoch, msg.fragment_index, data)
        except (Rejected, OSError) as error:
            return say(str(error))
        if policy:
            say_verified(policy, time.monotonic() - self.announced)

    def on_status(self, msg: PolicyStatus) -> None:
        session, digest = bytes(msg.session_id), bytes(msg.manifest_digest)
        lease = msg.lease.sec + msg.lease.nanosec / 1e9
        self.receiver.status(session, msg.epoch, msg.sequence, msg.state, digest, lease)


def main() -> int:
    args = parse(remove_ros_args(sys.argv)[1:])
    try:
        receiver = Receiver(args.trust, repo=args.repo, revision=args.revision)
    except (OSError, ValueError) as error:
        say(str(error))
        return 2
    rclpy.init(args=sys.argv)
    try:
        return run(Controller(receiver), args)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (KeyError, ValueError) as error:
        say(f"the policy does not fit this controller: {error}")
        return 2


def run(controller: Controller, args: argparse.Namespace) -> int:
    receiver, state = controller.receiver, None
    deadline = time.monotonic() + args.timeout
    while True:
        rclpy.spin_once(controller, timeout_sec=0.05)
        previous, state = state, receiver.state
        if state != previous:
            say(f"state: {state}")
        if args.observations and (policy := receiver.active):
            observations = np.fromfile(args.observations, "<f4").reshape(-1, 45)
            network(policy)(observations).astype("<f4").tofile(args.actions)
            say(f"computed {len(observations)} actions")
            return 0
        awaited = args.observations or not receiver.policy
        if awaited and time.monotonic() > deadline:
            say(f"no policy became active within {args.timeout:g} s")
            say(f"hint: is a gate running? see what it says on {controller.gate}/status")
            return 2


def network(policy: Policy) -> Mlp:
    """The network on the verified weights themselves: its arrays are views of sealed memory."""
    views, tensors = {}, {}
    for file, name, dtype, shape, offset, _ in policy.tensors():
        if name in tensors or dtype != "F32":
            raise ValueError(f"tensor {name!r} in {file!r} is {dtype} or there twice")
        if file not in views:
            views[file] = map_file(policy, file)
        array = np.frombuffer(views[file], "<f4", math.prod(shape), offset)
        tensors[name] = array.reshape(shape)
    return Mlp(json.loads(policy.read("config.json")), tensors)


def map_file(policy: Policy, file: str) -> mmap.mmap:
    fd = policy.memfd(file)
    try:
        return mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    finally:
        os.close(fd)


def latched(depth: int) -> QoSProfile:
    reliable, kept = ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(depth=depth, reliability=reliable, durability=kept)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trust", type=Path, required=True, help="whose signatures count")
    parser.add_argument("--repo", help="the repository to expect, OWNER/NAME")
    parser.add_argument("--revision", help="the commit to expect, 40 hexadecimal digits")
    parser.add_argument("--observations", type=Path, help="compute actions for these, then end")
    parser.add_argument("--actions", type=Path, help="where the actions go")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for a policy")
    args = parser.parse_args(argv)
    if (args.observations is None) != (args.actions is None):
        parser.error("--observations and --actions go together")
    return args


def say_verified(policy: Policy, seconds: float) -> None:
    tensors = policy.tensors()
    size = sum(nbytes for *_, nbytes in tensors) / 1e6
    say(f"verified {policy.repo}@{policy.revision}")
    say(f"  release {policy.sequence} of type {policy.policy_type}")
    say(f"  signed by {', '.join(policy.signers)}; manifest sha256 {policy.manifest_digest}")
    say(f"  {len(tensors)} tensors, {size:.1f} MB, {seconds:.2f} s after the announcement")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
