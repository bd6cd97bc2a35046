"""A subscriber for the tests: everything that a gate publishes, through `tensorgate_client`."""

import mmap
import os
import time

import rclpy.qos as qos
import tensorgate_client
from rcl_interfaces.msg import Log
from tensorgate_msgs.msg import PolicyManifest, PolicyStatus, TensorFragment

LATCHED = {
    "reliability": qos.ReliabilityPolicy.RELIABLE,
    "durability": qos.DurabilityPolicy.TRANSIENT_LOCAL,
}


class Subscriber:
    """Subscribes to the fragments when the manifest has told how many there are."""

    def __init__(self, node, gate="/tensorgate", trust=None, **expected):
        self.node, self.gate = node, gate
        self.receiver = tensorgate_client.Receiver(str(trust), **expected) if trust else None
        self.begun = time.monotonic()
        self.manifests, self.statuses, self.logs, self.rejected = [], [], [], []
        self.policy = self.complete_after = self.fragments = None
        depth = qos.QoSProfile(depth=1, **LATCHED)
        node.create_subscription(PolicyManifest, f"{gate}/manifest", self.on_manifest, depth)
        node.create_subscription(PolicyStatus, f"{gate}/status", self.on_status, 10)
        depth = qos.QoSProfile(depth=1000, **LATCHED)
        node.create_subscription(Log, "/rosout", self.logs.append, depth)

    def on_manifest(self, message):
        self.manifests.append(message)
        if self.receiver is None:
            return
        files = [(file.path, file.data.tobytes()) for file in message.files]
        try:
            self.arrived(
                self.receiver.announce(
                    message.session_id.tobytes(),
                    message.epoch,
                    message.envelope.tobytes(),
                    files,
                    message.fragment_size,
                    message.fragment_count,
                    message.fragment_digests.tobytes(),
                )
            )
        except tensorgate_client.Rejected as rejected:
            self.rejected.append(rejected.code)
            return
        if message.fragment_count == 0:
            return
        depth = qos.QoSProfile(depth=message.fragment_count, **LATCHED)
        topic = f"{self.gate}/fragments"
        self.fragments = self.node.create_subscription(
            TensorFragment, topic, self.on_fragment, depth
        )

    def on_fragment(self, message):
        session = message.session_id.tobytes()
        index, data = message.fragment_index, message.data.tobytes()
        self.arrived(self.receiver.fragment(session, message.epoch, index, data))

    def on_status(self, message):
        self.statuses.append(message)

    def arrived(self, policy):
        if policy is not None:
            self.policy = policy
            self.complete_after = time.monotonic() - self.begun

    def bytes_of(self, file):
        """The received file, mapped from its sealed memfd."""
        fd = self.policy.memfd(file)
        try:
            return mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
