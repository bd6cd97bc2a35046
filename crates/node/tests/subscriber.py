"""A subscriber for the tests: everything that a gate publishes, through `tensorgate_client`."""

import mmap
import os
import time

import rclpy.qos as qos
import tensorgate_client
from rcl_interfaces.msg import Log
from tensorgate_msgs.msg import PolicyManifest, PolicyStatus, TensorFragment
from tensorgate_msgs.srv import GetFragments

LATCHED = {
    "reliability": qos.ReliabilityPolicy.RELIABLE,
    "durability": qos.DurabilityPolicy.TRANSIENT_LOCAL,
}


class Subscriber:
    """Subscribes to the fragments when the manifest has told how many there are, with as much
    history as `depth` says; what comes through `spoil` counts as arrived. Asks for the rest where
    the manifest says so, or when nothing has come for `patience` seconds."""

    def __init__(
        self,
        node,
        gate="/tensorgate",
        trust=None,
        depth=None,
        spoil=lambda fragment: [fragment],
        patience=2,
        **expected,
    ):
        self.node, self.gate, self.depth, self.spoil = node, gate, depth, spoil
        self.receiver = tensorgate_client.Receiver(str(trust), **expected) if trust else None
        self.begun = time.monotonic()
        self.manifests, self.statuses, self.logs, self.rejected = [], [], [], []
        self.policy = self.complete_after = self.fragments = None
        self.topics = self.pulled = 0
        depth = qos.QoSProfile(depth=1, **LATCHED)
        node.create_subscription(PolicyManifest, f"{gate}/manifest", self.on_manifest, depth)
        node.create_subscription(PolicyStatus, f"{gate}/status", self.on_status, 10)
        depth = qos.QoSProfile(depth=1000, **LATCHED)
        node.create_subscription(Log, "/rosout", self.logs.append, depth)
        self.puller = Puller(self, patience) if trust else None

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
        self.puller.begin(message)
        if message.fragment_count == 0 or message.delivery == PolicyManifest.DELIVERY_PULLED:
            return
        depth = qos.QoSProfile(depth=self.depth or message.fragment_count, **LATCHED)
        topic = f"{self.gate}/fragments"
        self.fragments = self.node.create_subscription(
            TensorFragment, topic, self.on_fragment, depth
        )

    def on_fragment(self, message):
        self.puller.heard()
        for fragment in self.spoil(message):
            self.topics += 1
            self.take(fragment)

    def take(self, message):
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


class Puller:
    """Asks for the first run of missing fragments, and for the next when that has arrived."""

    AGAIN = 1  # seconds without an answer

    def __init__(self, subscriber, patience, most=0xFFFF_FFFF):
        self.subscriber, self.patience, self.most = subscriber, patience, most
        self.manifest = None
        self.quiet_since = self.asked_at = time.monotonic()
        node = subscriber.node
        self.client = node.create_client(GetFragments, f"{subscriber.gate}/get_fragments")
        node.create_timer(0.05, self.look)

    def begin(self, manifest):
        self.manifest = manifest
        self.heard()
        if manifest.delivery == PolicyManifest.DELIVERY_PULLED:
            self.patience = 0
        self.asked_at = -self.AGAIN

    def heard(self):
        self.quiet_since = time.monotonic()

    def look(self):
        now = time.monotonic()
        quiet = now >= self.quiet_since + self.patience
        if self.manifest and quiet and now >= self.asked_at + self.AGAIN:
            self.ask()

    def ask(self):
        missing = self.subscriber.receiver.missing
        if not missing or not self.client.service_is_ready():
            return
        first = missing[0]
        run = next((i for i, at in enumerate(missing) if at != first + i), len(missing))
        self.asked_at = time.monotonic()
        request = GetFragments.Request(
            session_id=self.manifest.session_id,
            epoch=self.manifest.epoch,
            first=first,
            count=min(run, self.most),
        )
        self.client.call_async(request).add_done_callback(self.on_answer)

    def on_answer(self, future):
        answer = future.result()
        assert answer.result == GetFragments.Response.RESULT_OK, answer.message
        for fragment in answer.fragments:
            self.subscriber.pulled += 1
            self.subscriber.take(fragment)
        self.ask()
