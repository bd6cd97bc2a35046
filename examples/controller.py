#!/usr/bin/env python3
"""A robot's controller: acts only on weights that it verified itself.

    controller.py --trust trust.toml [--repo OWNER/NAME] [--revision COMMIT] [--ros-args …]

It subscribes to a gate's policy, and reports every change until SIGINT. With
`--observations IN --actions OUT` (bare little-endian float32, 45 and 12 to a row) it computes the
actions as soon as the policy may be acted on, and exits 0. It exits 2 when no policy became active
within `--timeout` seconds.

ROS parameter `gate` (default `/tensorgate`): the node whose policy to use.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args
from tensorgate_client import Policy
from tensorgate_client.ros import PolicySubscriber

from go2_policy import Mlp


class Controller(Node):
    """Computes actions with the gate's policy, for as long as it may."""

    def __init__(self, args: argparse.Namespace):
        super().__init__("controller")
        self.network, self.of = None, None
        self.policy = PolicySubscriber(
            self,
            args.trust,
            self.declare_parameter("gate", "/tensorgate").value,
            repo=args.repo,
            revision=args.revision,
            state=args.state,
            on_policy=self.network_of,
            on_stale=lambda policy: say(f"stop: nobody stands by release {policy.sequence}"),
            on_revoked=lambda policy: say(f"stop at once: release {policy.sequence} was revoked"),
            on_rejected=lambda error: say(str(error)),
        )

    def network_of(self, policy: Policy) -> Mlp:
        """The network on the verified weights themselves: its arrays are views of sealed memory."""
        if policy is not self.of:
            say_verified(policy)
            self.network, self.of = Mlp(json.loads(policy.read("config.json")), policy), policy
        return self.network

    def act(self, observations: np.ndarray) -> np.ndarray | None:
        """Actions for observations, or None: the robot must stop then. Asked for here, the policy is that of
        this moment; callbacks come after the fact."""
        policy = self.policy.active
        return self.network_of(policy)(observations) if policy else None


def main() -> int:
    args = parse(remove_ros_args(sys.argv)[1:])
    rclpy.init(args=sys.argv)
    try:
        return run(Controller(args), args)
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    except (KeyError, OSError, TypeError, ValueError) as error:
        say(f"no policy for this controller: {error}")
        return 2


def run(controller: Controller, args: argparse.Namespace) -> int:
    subscriber, state = controller.policy, None
    deadline = time.monotonic() + args.timeout
    while True:
        rclpy.spin_once(controller, timeout_sec=0.05)
        previous, state = state, subscriber.state
        if state != previous:
            say(f"state: {state}")
        if args.observations:
            observations = np.fromfile(args.observations, "<f4").reshape(-1, 45)
            if (actions := controller.act(observations)) is not None:
                actions.astype("<f4").tofile(args.actions)
                say(f"computed {len(actions)} actions")
                return 0
        awaited = args.observations or not subscriber.policy
        if awaited and time.monotonic() > deadline:
            say(f"no policy became active within {args.timeout:g} s")
            say(f"hint: is a gate running? see what it says on {subscriber.gate}/status")
            return 2


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trust", type=Path, required=True, help="whose signatures count")
    parser.add_argument("--repo", help="the repository to expect, OWNER/NAME")
    parser.add_argument("--revision", help="the commit to expect, 40 hexadecimal digits")
    parser.add_argument("--state", type=Path, help="a directory that remembers the newest release")
    parser.add_argument("--observations", type=Path, help="compute actions for these, then end")
    parser.add_argument("--actions", type=Path, help="where the actions go")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for a policy")
    args = parser.parse_args(argv)
    if (args.observations is None) != (args.actions is None):
        parser.error("--observations and --actions go together")
    return args


def say_verified(policy: Policy) -> None:
    size = sum(tensor.nbytes for tensor in policy.tensors()) / 1e6
    say(f"verified {policy.repo}@{policy.revision}")
    say(f"  release {policy.sequence} of type {policy.policy_type}")
    say(f"  signed by {', '.join(policy.signers)}; manifest sha256 {policy.manifest_digest}")
    say(f"  {len(policy)} tensors, {size:.1f} MB")


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
