"""A controller's side of tensorgate: weights that it verified itself, for as long as it may use them.

ROS topics are an untrusted transport. What this package hands out is, byte for byte, what keys
signed that the controller's own trust policy names; it says at any moment whether it may be acted
on.

- `tensorgate_client.ros.PolicySubscriber`: for nodes of rclpy. Most need nothing else.
- `Receiver`: the state machine alone, for other transports; messages are arguments.

Heartbeats are not signed: forged ones can stop a robot, and can keep it on a verified policy after
the gate is gone; where that matters, use SROS 2. What was revoked stays so.
"""

from collections.abc import Mapping

from tensorgate_client._native import (
    Candidate,
    Policy,
    Pull,
    Receiver,
    Rejected,
    TensorInfo,
    well_known,
)

Mapping.register(Policy)

__all__ = ["Candidate", "Policy", "Pull", "Receiver", "Rejected", "TensorInfo", "well_known"]
