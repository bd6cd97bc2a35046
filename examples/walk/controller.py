#!/usr/bin/env python3
"""Walks a Unitree Go2 with the gate's policy: rclpy, and `tensorgate_client.PolicySubscriber`.

    controller.py --trust trust.toml --repo OWNER/NAME --state DIR [--ros-args …]

It lies until somebody calls `~/stand_up` while a verified policy is in force; then it gets up and
walks as `cmd_vel` says. It sits down, and stays down, as soon as the policy may not be acted on: the
release was revoked or withdrawn, or the gate fell silent. It damps when it cannot feel, or has fallen.

A policy decides nothing but targets, and those are clipped: `step` is the whole chain. What it does is
on `~/state` (diagnostic_msgs/DiagnosticStatus, latched) and in its log.

ROS parameters: `gate` (`/tensorgate`) is the node whose policy to use. `sensor_timeout_s` (0.1): without
sensors for so long the motors damp. `steering_timeout_s` (0.5): without a word of whoever steers it for
so long it walks on the spot. Both by the clock on the wall.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import Imu, JointState
from std_srvs.srv import Trigger
from tensorgate_client import Policy
from tensorgate_client.ros import PolicySubscriber
from tensorgate_msgs.msg import PolicyStatus

import go2
from posture import GET_UP, SIT_DOWN, Motion, limited

sys.path.append(str(Path(__file__).resolve().parent.parent))
from go2_policy import Mlp  # noqa: E402

# Per period [m/s, m/s, rad/s], as the robot's own driver does; and what is never exceeded.
COMMAND_SLEW, COMMAND_LIMIT = np.array([0.05, 0.04, 0.10]), np.array([1.0, 0.5, 1.5])
# The part of gravity along the body's own axis below which it has fallen: 60 degrees.
FALLEN = 0.5


class Controller(Node):
    """Modes: lying, rising, walking, sitting. Only `walking` asks the policy."""

    def __init__(self, args: argparse.Namespace):
        super().__init__("controller")
        self.mode, self.motion, self.now = "lying", None, 0.0
        self.targets, self.last_action = go2.LYING.copy(), np.zeros(len(go2.JOINTS))
        self.velocity, self.steered = np.zeros(3), (np.zeros(3), 0.0)
        self.imu, self.felt = None, -np.inf
        self.network, self.of = None, None
        self.epoch, self.lost = 0, None
        gate = self.declare_parameter("gate", "/tensorgate").value
        self.sensor_timeout = self.declare_parameter("sensor_timeout_s", 0.1).value
        self.steering_timeout = self.declare_parameter("steering_timeout_s", 0.5).value
        self.policy = PolicySubscriber(
            self,
            args.trust,
            gate,
            repo=args.repo,
            state=args.state,
            on_policy=self.on_policy,
            on_stale=lambda policy: self.on_lost(policy, "nobody stands by"),
            on_revoked=lambda policy: self.on_lost(policy, "called back:"),
            on_rejected=lambda error: self.say(f"refused: {error}"),
        )
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.reports = self.create_publisher(DiagnosticStatus, "~/state", latched)
        self.commands = self.create_publisher(JointState, "joint_commands", 10)
        self.create_subscription(PolicyStatus, f"{gate}/status", self.on_status, 10)
        self.create_subscription(Twist, "cmd_vel", self.on_steered, 10)
        self.create_subscription(Imu, "imu", self.on_imu, 10)
        self.create_subscription(JointState, "joint_states", self.on_joints, 10)
        self.create_service(Trigger, "~/stand_up", self.on_stand_up)
        # A watchdog trusts no simulated time, as a lease does not.
        self.create_timer(0.05, self.on_watchdog, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # What is heard of the policy. Nothing here moves the robot: `step` looks for itself, each time.

    def on_policy(self, policy: Policy) -> None:
        self.lost = None
        self.say(
            f"verified {policy.repo}@{policy.revision[:12]}, release {policy.sequence}, by {', '.join(policy.signers)}"
        )
        self.report()

    def on_lost(self, policy: Policy, why: str) -> None:
        self.lost = time.monotonic()
        self.say(f"{why} release {policy.sequence} of {policy.repo}: the policy is {self.policy.state}")
        self.report()

    def on_status(self, msg: PolicyStatus) -> None:
        """For the log alone: heartbeats are not signed. The subscriber has its own ear on them."""
        policy = self.policy.policy
        known = policy and policy.manifest_digest == bytes(msg.manifest_digest).hex()
        if known and msg.epoch != self.epoch:
            self.epoch = msg.epoch
            self.say(f"epoch {self.epoch}: release {policy.sequence}")
            self.report()

    # What is felt, and asked.

    def on_imu(self, msg: Imu) -> None:
        self.imu = msg

    def on_steered(self, msg: Twist) -> None:
        asked = np.array([msg.linear.x, msg.linear.y, msg.angular.z])
        if np.all(np.isfinite(asked)):
            self.steered = (np.clip(asked, -COMMAND_LIMIT, COMMAND_LIMIT), time.monotonic())

    def on_stand_up(self, _: Trigger.Request, answer: Trigger.Response) -> Trigger.Response:
        if self.mode != "lying":
            answer.message = f"it is {self.mode}"
        elif self.policy.active is None:
            answer.message = f"there is no policy to walk with: {self.policy.state}"
        elif self.network_of(self.policy.active) is None:
            answer.message = "the policy in force is not for this robot"
        elif self.blind():
            answer.message = "it feels nothing"
        else:
            answer.success = True
            self.begin("rising", GET_UP)
        return answer

    def on_joints(self, msg: JointState) -> None:
        """The beat: what was felt is answered, with the stamp of what was felt."""
        if self.imu is None or self.imu.header.stamp != msg.header.stamp or msg.name != go2.JOINTS:
            return
        position, velocity = np.array(msg.position), np.array(msg.velocity)
        turning, turned = self.imu.angular_velocity, self.imu.orientation
        turning = np.array([turning.x, turning.y, turning.z])
        gravity = go2.gravity_seen(turned.w, turned.x, turned.y, turned.z)
        if not (position.shape == velocity.shape == self.targets.shape):
            return
        if not all(np.all(np.isfinite(felt)) for felt in (position, velocity, turning, gravity)):
            return
        self.felt, self.now = time.monotonic(), msg.header.stamp.sec + msg.header.stamp.nanosec / 1e9
        targets = self.step(position, velocity, turning, gravity)
        self.command(targets, msg.header.stamp)

    def on_watchdog(self) -> None:
        if self.mode != "lying" and self.blind():
            self.say("no sensors: the motors damp")
            self.lie_down()
            self.command(None, self.get_clock().now().to_msg())

    def blind(self) -> bool:
        return time.monotonic() - self.felt > self.sensor_timeout

    # What is done.

    def step(self, position, velocity, turning, gravity) -> np.ndarray | None:
        """Targets for the joints, within limits; None: damp."""
        if self.mode != "lying" and -gravity[2] < FALLEN:
            self.say("it has fallen: the motors damp")
            self.lie_down()
        # Asked once, here: a policy that is revoked while this runs decides no further step.
        network = self.network_of(self.policy.active)
        if self.mode in ("rising", "walking") and network is None:
            self.begin("sitting", SIT_DOWN)
        if self.mode == "lying":
            self.targets = position
            return None
        wanted = self.motion.targets(self.now) if self.motion else None
        if self.mode == "sitting" and wanted is None:
            self.lie_down()
            return None
        if self.mode == "rising" and wanted is None:
            self.walk()
        if self.mode == "walking":
            wanted = self.decide(network, position, velocity, turning, gravity)
        if not np.all(np.isfinite(wanted)):
            self.say("the policy decided what is no number")
            self.begin("sitting", SIT_DOWN)
            wanted = self.targets
        self.targets = limited(wanted, self.targets)
        return self.targets

    def network_of(self, policy: Policy | None) -> Mlp | None:
        """The network of a policy that is in force, on its sealed memory: made once for each."""
        if policy is None:
            return None
        if policy is not self.of:
            self.network, self.of = self.fitting(policy), policy
        return self.network

    def fitting(self, policy: Policy) -> Mlp | None:
        """What is signed need not be for this robot."""
        try:
            network = Mlp(json.loads(policy.read("config.json")), policy)
            shapes = network.layers[0][0].shape[1], network.layers[-1][0].shape[0]
        except (IndexError, KeyError, OSError, TypeError, ValueError) as error:
            self.say(f"release {policy.sequence} is no policy for this controller: {error!r}")
            return None
        if shapes != (45, len(go2.JOINTS)):
            self.say(f"release {policy.sequence} has {shapes[0]} inputs and {shapes[1]} outputs")
            return None
        return network

    def decide(self, network: Mlp, position, velocity, turning, gravity) -> np.ndarray:
        asked, at = self.steered
        if time.monotonic() - at > self.steering_timeout:
            asked = np.zeros(3)
        self.velocity = self.velocity + np.clip(asked - self.velocity, -COMMAND_SLEW, COMMAND_SLEW)
        seen = go2.observe(turning, gravity, self.velocity, position, velocity, self.last_action)
        action = network(seen)
        self.last_action = np.clip(action, -100, 100)
        # As it was decided: infinity within limits would be a target like any other.
        return go2.DEFAULT + go2.SCALE * action

    def walk(self) -> None:
        self.motion, self.last_action, self.velocity = None, np.zeros(len(go2.JOINTS)), np.zeros(3)
        self.change("walking")

    def begin(self, mode: str, poses) -> None:
        self.motion = Motion(poses, self.targets, self.now)
        self.change(mode)

    def lie_down(self) -> None:
        self.motion = None
        self.change("lying")

    def change(self, mode: str) -> None:
        self.mode = mode
        since = f", {time.monotonic() - self.lost:.2f} s after the policy was lost" if self.lost else ""
        self.say(f"{mode}{since}")
        self.report()

    def command(self, targets: np.ndarray | None, stamp) -> None:
        msg = JointState(name=go2.JOINTS)
        msg.header.stamp = stamp
        if targets is not None:
            msg.position = targets.tolist()
        self.commands.publish(msg)

    def report(self) -> None:
        state, policy = self.policy.state, self.policy.policy
        level = DiagnosticStatus.OK if state == "active" else DiagnosticStatus.ERROR
        facts = {
            "policy": state,
            "epoch": self.epoch,
            "release": policy.sequence if policy else 0,
            "time": self.now,
        }
        values = [KeyValue(key=key, value=str(value)) for key, value in facts.items()]
        self.reports.publish(DiagnosticStatus(level=level, name="controller", message=self.mode, values=values))

    def say(self, text: str) -> None:
        print(f"[{self.now:6.2f} s] {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trust", type=Path, required=True, help="whose signatures count")
    parser.add_argument("--repo", required=True, help="the repository to expect, OWNER/NAME")
    parser.add_argument(
        "--state", type=Path, required=True, help="a directory that remembers the newest release"
    )
    args = parser.parse_args(remove_ros_args(sys.argv)[1:])
    rclpy.init(args=sys.argv)
    try:
        rclpy.spin(Controller(args))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
