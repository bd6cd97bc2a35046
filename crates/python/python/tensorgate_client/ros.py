"""The gate's policy in a node of rclpy.

    subscriber = PolicySubscriber(node, trust="trust.toml", repo="acme/walk")
    …
    if policy := subscriber.active:
        weights = policy["actor.0.weight"]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from os import PathLike
from threading import Thread
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from tensorgate_msgs.msg import PolicyManifest, PolicyStatus, TensorFragment
from tensorgate_msgs.srv import GetFragments

from tensorgate_client import Candidate, Policy, Pull, Receiver, Rejected, well_known
from tensorgate_client.telling import Callbacks, Telling

if TYPE_CHECKING:
    from tensorgate_client._native import State

# Ten periods of the gate's heartbeat pass in half a second; a lease that ran out is noticed within
# this time, and `state` knows it at once.
TICK_S = 0.05
# A hand-off takes milliseconds. What does not come by then comes over the topics.
HANDOFF_S = 2.0
# How long the gate may stand by something unknown before it is asked to announce it again, and how
# often it is.
LOST_S, AGAIN_S, SELDOM_S = 5.0, 10.0, 160.0
# Requests for fragments that the receiver has under way at the most.
OUTSTANDING = 2
# Publishers are counted once in so long.
SECOND_S = 1.0


class PolicySubscriber:
    """Subscribes a node to the policy of a gate, and says when it may be acted on.

    `active` is the policy to act on now, or None; ask for it in each cycle of the control loop: it
    waits for nothing. What it returns stays readable for as long as it is referenced, whatever the
    gate does.

    It works with every executor of rclpy: its callbacks are in a group of their own, one at a time,
    and what takes long (proving gigabytes, the hand-off's socket) is done on threads.
    """

    def __init__(
        self,
        node: Node,
        trust: str | PathLike[str],
        gate: str = "/tensorgate",
        *,
        repo: str | None = None,
        revision: str | None = None,
        state: str | PathLike[str] | None = None,
        max_bytes: int = 4 << 30,
        handoff: str | PathLike[str] | None = "auto",
        on_policy: Callable[[Policy], None] | None = None,
        on_stale: Callable[[Policy], None] | None = None,
        on_revoked: Callable[[Policy], None] | None = None,
        on_rejected: Callable[[Exception], None] | None = None,
    ) -> None:
        """Subscribes `node` to the gate of that name, absolute or relative to the node's namespace.

        trust: the trust policy, a file: whose signatures count.
        repo, revision: take nothing but policies of this repository, at this commit.
        state: a directory of this controller's own that remembers the newest release, so that no
            older one comes back after a restart. It is made where it is missing.
        max_bytes: refuse larger policies before memory is taken for them.
        handoff: on the gate's machine, its socket: weights are mapped instead of sent. "auto" is
            where a gate with `handoff:=auto` listens; None for topics alone. Where nothing comes of
            it, topics are used.

        Called in the node's executor, once for each change:

        on_policy(policy): it may be acted on now. It is the first, or replaces another at once, or
            may be acted on again.
        on_stale(policy): it may not be acted on any longer: the gate is silent, took it back, or it
            expired. Stop in an orderly way.
        on_revoked(policy): it was declared bad. Stop at once; only another policy ends this.
        on_rejected(error): something was refused (Rejected), did not arrive in time (TimeoutError),
            or could not be checked (OSError). What runs stays. A refusal like the last one is
            reported once a second.

        Raises OSError if the trust policy or the state cannot be read, or others could write to it;
        ValueError if it, or an argument, is malformed.
        """
        self._receiver = Receiver(
            trust, repo=repo, revision=revision, state=state, max_bytes=max_bytes
        )
        self._node, self._logger = node, node.get_logger()
        # Remapping rules are for single topics, and apply when each entity is made.
        self.gate: str = node.resolve_topic_name(gate, only_expand=True)
        callbacks = Callbacks(on_policy, on_stale, on_revoked, on_rejected)
        self._telling = Telling(self.gate, self._logger, callbacks)
        self._handoff = handoff
        self._taking_over = False
        self._working = 0  # threads that prove, or wait for the socket
        self._finished: list[Exception | None] = []
        self._answers: list[tuple[Pull, Any]] = []
        self._asked: list[Any] = []
        self._publishers = 0
        self._counted = 0.0
        self._lost: float | None = None
        self._again, self._pause = 0.0, AGAIN_S
        self._fragments: Any = None
        self._announced: tuple[int, int] = (0, 0)
        self._subscribe()

    @property
    def state(self) -> State:
        """ "no-policy", "receiving", "verified", "active", "stale" or "revoked", as of now."""
        return self._receiver.state

    @property
    def active(self) -> Policy | None:
        """The policy to act on, now; None unless `state` is "active"."""
        return self._receiver.active

    @property
    def policy(self) -> Policy | None:
        """The policy last put into force, in whatever state."""
        return self._receiver.policy

    @property
    def refusals(self) -> tuple[int, str | None]:
        """How much was refused so far, and the code of the last: grows where somebody cheats."""
        return self._receiver.refusals

    @property
    def publishers(self) -> int:
        """Who announces on the gate's topic: more than one is a warning."""
        return self._publishers

    def destroy(self) -> None:
        """Ends the subscription, as `destroy_node` does. Policies stay readable."""
        self._handoff = None
        for entity, destroy in self._entities():
            if entity is not None:
                destroy(entity)
        self._fragments = None

    def _subscribe(self) -> None:
        node, group = self._node, MutuallyExclusiveCallbackGroup()
        self._group = group
        self._manifests = self._subscribe_manifests()
        self._statuses = node.create_subscription(
            PolicyStatus, f"{self.gate}/status", self._on_status, 10, callback_group=group
        )
        self._service = node.create_client(
            GetFragments, f"{self.gate}/get_fragments", callback_group=group
        )
        # Leases run on the steady clock, which simulated time does not stop.
        self._timer = node.create_timer(
            TICK_S, self._on_tick, callback_group=group, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._guard = node.create_guard_condition(self._on_woken, callback_group=group)

    def _entities(self) -> list[tuple[Any, Callable[[Any], Any]]]:
        node = self._node
        return [
            (self._timer, node.destroy_timer),
            (self._manifests, node.destroy_subscription),
            (self._statuses, node.destroy_subscription),
            (self._fragments, node.destroy_subscription),
            (self._service, node.destroy_client),
            (self._guard, node.destroy_guard_condition),
        ]

    def _subscribe_manifests(self) -> Any:
        return self._node.create_subscription(
            PolicyManifest,
            f"{self.gate}/manifest",
            self._on_manifest,
            _latched(10),
            callback_group=self._group,
        )

    def _subscribe_fragments(self) -> None:
        """A late joiner gets as many latched fragments as its queue is deep, and no more. The count
        is that of the signed weights, and so within `max_bytes`."""
        count, delivery = self._announced
        self._unsubscribe_fragments()
        if self._receiver.receiving and delivery != PolicyManifest.DELIVERY_PULLED:
            self._fragments = self._node.create_subscription(
                TensorFragment,
                f"{self.gate}/fragments",
                self._on_fragment,
                _latched(count),
                callback_group=self._group,
            )

    def _unsubscribe_fragments(self) -> None:
        if self._fragments is not None:
            self._node.destroy_subscription(self._fragments)
            self._fragments = None

    def _on_manifest(self, msg: PolicyManifest) -> None:
        before = self._receiver.receiving
        files = [(file.path, bytes(file.data)) for file in msg.files]
        try:
            candidate = self._receiver.begin(
                bytes(msg.session_id),
                msg.epoch,
                bytes(msg.envelope),
                files,
                msg.fragment_size,
                msg.fragment_count,
                bytes(msg.fragment_digests),
                msg.delivery,
            )
        except (Rejected, OSError) as error:
            return self._refuse(error)
        self._announced = (msg.fragment_count, msg.delivery)
        if candidate:
            self._prove(candidate)
        elif self._receiver.receiving not in (None, before):
            self._fetch()
        self._report()

    def _fetch(self) -> None:
        """By the gate's socket, or over its topics."""
        if self._place() is None:
            return self._subscribe_fragments()
        self._unsubscribe_fragments()
        # One that goes on takes what is announced by then; else the topics have it.
        if not self._taking_over:
            self._taking_over = True
            self._work(self._take_over)

    def _place(self) -> str | PathLike[str] | None:
        """Of the gate's socket now: root's gate may have come since."""
        return well_known(self.gate) if self._handoff == "auto" else self._handoff

    def _take_over(self) -> None:
        try:
            self._ask_the_socket()
        finally:
            self._taking_over = False

    def _ask_the_socket(self) -> None:
        end = time.monotonic() + HANDOFF_S
        while (socket := self._place()) is not None:
            try:
                candidate = self._receiver.take_over(socket, timeout=HANDOFF_S)
                if candidate:
                    self._receiver.settle(candidate)
                return
            except OSError as error:
                # A gate that announces a policy may still be sealing it. Else it is on another
                # machine, another user's, or one that hands nothing over.
                if not isinstance(error, BlockingIOError) or time.monotonic() > end:
                    self._logger.debug(f"no hand-off from {self.gate}: {error}")
                    return
            time.sleep(TICK_S)

    def _prove(self, candidate: Candidate) -> None:
        self._unsubscribe_fragments()
        self._work(lambda: self._receiver.settle(candidate))

    def _work(self, job: Callable[[], object]) -> None:
        """Does what takes long on a thread, and `_on_finished` in the executor."""

        def work() -> None:
            try:
                job()
                self._finished.append(None)
            except Exception as error:  # noqa: BLE001 - it is raised in the executor
                self._finished.append(error)
            self._wake()

        self._working += 1
        Thread(target=work, name="tensorgate").start()

    def _wake(self) -> None:
        """What was queued is taken up in the executor, and in the group: one thing at a time."""
        try:
            self._guard.trigger()
        except InvalidHandle:
            pass  # destroyed meanwhile

    def _on_woken(self) -> None:
        if self._finished:
            self._on_finished()
        while self._answers:
            self._on_answer(*self._answers.pop(0))

    def _on_finished(self) -> None:
        while self._finished:
            self._working -= 1
            error = self._finished.pop(0)
            if isinstance(error, (Rejected, OSError)):
                self._refuse(error)
            elif error is not None:
                raise error
        if not self._working and self._fragments is None:
            self._subscribe_fragments()
        self._report()

    def _on_fragment(self, msg: TensorFragment) -> None:
        self._accept(msg)
        self._report()

    def _accept(self, msg: TensorFragment) -> None:
        session, data = bytes(msg.session_id), bytes(msg.data)
        try:
            candidate = self._receiver.accept(session, msg.epoch, msg.fragment_index, data)
        except (Rejected, OSError) as error:
            return self._refuse(error)
        if candidate:
            self._prove(candidate)

    def _on_status(self, msg: PolicyStatus) -> None:
        session, digest = bytes(msg.session_id), bytes(msg.manifest_digest)
        lease = msg.lease.sec + msg.lease.nanosec / 1e9
        self._receiver.status(session, msg.epoch, msg.sequence, msg.state, digest, lease)
        if msg.state == PolicyStatus.STATE_READY:
            self._seek(self._receiver.knows(session, msg.epoch))
        self._report()

    def _seek(self, known: bool) -> None:
        """Where the gate stands by what did not arrive here, or was given up, it is asked again: a
        new subscription gets what is latched."""
        now = time.monotonic()
        if known or self._working:
            self._lost, self._pause = None, AGAIN_S
            return
        self._lost = self._lost or now
        if now - self._lost > LOST_S and now > self._again:
            self._again, self._pause = now + self._pause, min(2 * self._pause, SELDOM_S)
            self._node.destroy_subscription(self._manifests)
            self._manifests = self._subscribe_manifests()

    def _on_tick(self) -> None:
        if not self._working:
            self._ask()
        now = time.monotonic()
        if now - self._counted > SECOND_S:
            self._counted = now
            self._count_publishers()
        self._report()

    def _ask(self) -> None:
        """Asks for the fragments that do not come, until nothing more is due."""
        try:
            while pull := self._receiver.pull():
                self._request(pull)
        except TimeoutError as error:
            self._unsubscribe_fragments()
            self._refuse(error)

    def _request(self, pull: Pull) -> None:
        if not self._service.service_is_ready():
            return self._receiver.pulled(pull)
        if len(self._asked) >= OUTSTANDING:
            # The answer to the oldest was lost; rclpy would wait for it for ever.
            self._service.remove_pending_request(self._asked.pop(0))
        request = GetFragments.Request(epoch=pull.epoch, first=pull.first, count=pull.count)
        request.session_id = list(pull.session)
        future = self._service.call_async(request)
        self._asked.append(future)
        future.add_done_callback(lambda future: self._bring(pull, future))

    def _bring(self, pull: Pull, future: Any) -> None:
        """An executor runs this beside every callback group (rclpy, task.py: a future's callbacks
        are tasks of their own), and so beside the other callbacks."""
        self._answers.append((pull, future))
        self._wake()

    def _on_answer(self, pull: Pull, future: Any) -> None:
        """Whatever the result says, the fragments prove themselves."""
        if future in self._asked:
            self._asked.remove(future)
        answer = future.result() if future.exception() is None else None
        for fragment in answer.fragments[: pull.count] if answer else ():
            self._accept(fragment)
        self._receiver.pulled(pull)
        # What arrived does not wait for a tick to be followed by the next.
        if answer and answer.fragments and not self._working:
            self._ask()
        self._report()

    def _count_publishers(self) -> None:
        topic = self._manifests.topic_name
        before, self._publishers = self._publishers, self._node.count_publishers(topic)
        if self._publishers > max(before, 1):
            count = self._publishers
            self._logger.warning(f"{count} publishers on {topic}: somebody else announces")

    def _refuse(self, error: Exception) -> None:
        self._telling.refuse(error)

    def _report(self) -> None:
        self._telling.report(*self._receiver.look())


def _latched(depth: int) -> QoSProfile:
    reliable, kept = ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL
    return QoSProfile(depth=depth, reliability=reliable, durability=kept)
