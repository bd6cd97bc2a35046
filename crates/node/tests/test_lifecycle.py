"""The life cycle, driven as `ros2 lifecycle` and launch_ros drive it."""

import signal
import time

import conftest
import pytest

from conftest import Signed
from lifecycle_msgs.msg import State, Transition, TransitionEvent
from lifecycle_msgs.srv import (
    ChangeState,
    GetAvailableStates,
    GetAvailableTransitions,
    GetState,
)
from rclpy.lifecycle import LifecycleNode
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status

CALLED = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4, "shutdown": 5}


class Managed:
    """A gate's life cycle, as another node sees it."""

    def __init__(self, ros, gate="/tensorgate"):
        self.ros, self.gate, self.events = ros, gate, []
        self.subscription = ros.create_subscription(
            TransitionEvent, f"{gate}/transition_event", self.events.append, 10
        )
        self.change_client = ros.create_client(ChangeState, f"{gate}/change_state")

    def ask(self, kind, service):
        return self.ros.ask(kind, f"{self.gate}/{service}", kind.Request(), service)

    def state(self):
        return self.ask(GetState, "get_state").current_state.label

    def listen(self):
        """Until the gate is known to hear and to be heard."""
        self.ros.wait_for(self.change_client.service_is_ready, "~/change_state")
        publishers = lambda: self.ros.count_publishers(f"{self.gate}/transition_event")
        self.ros.wait_for(publishers, "~/transition_event")
        self.state()
        time.sleep(0.5)

    def change(self, label="", id=0):
        """Asked once: to ask again would be another transition."""
        request = ChangeState.Request(transition=Transition(id=id, label=label))
        future = self.change_client.call_async(request)
        self.ros.wait_for(future.done, f"the answer to {label or id}")
        return future.result().success

    def path(self):
        """What ~/transition_event told, as a list of states."""
        return [(it.start_state.label, it.goal_state.label) for it in self.events]


@pytest.fixture
def managed(ros):
    return Managed(ros)


def ready(subscriber):
    return lambda: bool(subscriber.statuses) and subscriber.statuses[-1].state == Status.STATE_READY


def is_state(subscriber, state):
    return lambda: bool(subscriber.statuses) and subscriber.statuses[-1].state == state


def signed_policy(tmp_path):
    return Signed(tmp_path, conftest.small_tensors())


def edges(transitions):
    return {
        (it.transition.id, it.transition.label, it.start_state.label, it.goal_state.label)
        for it in transitions
    }


def test_the_graph_is_that_of_rcl_lifecycle(tmp_path, gate, ros, managed):
    """An rclpy LifecycleNode has rcl_lifecycle's own machine."""
    gate(policy="/nowhere", trust="/nowhere", autostart="false")
    reference = LifecycleNode("reference", context=ros.context)
    machine = reference._state_machine
    expected = {(it[0], it[1], it[3], it[5]) for it in machine.transition_graph}
    graph = managed.ask(GetAvailableTransitions, "get_transition_graph").available_transitions
    assert len(graph) == len(expected) == 25
    assert edges(graph) == expected
    for it in graph:
        ours = (it.start_state.id, it.start_state.label), (it.goal_state.id, it.goal_state.label)
        assert all(pair in machine.available_states for pair in ours)
    states = managed.ask(GetAvailableStates, "get_available_states").available_states
    assert [(it.id, it.label) for it in states] == list(machine.available_states)
    here = managed.ask(GetAvailableTransitions, "get_available_transitions").available_transitions
    assert edges(here) == {(it[0], it[1], it[3], it[5]) for it in machine.available_transitions}
    reference.destroy_node()


def test_a_plain_node_starts_by_itself(tmp_path, gate, ros, managed):
    signed = signed_policy(tmp_path)
    subscriber = Subscriber(ros)
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(ready(subscriber), "STATE_READY")
    assert managed.state() == "active"


def test_a_life_by_hand(tmp_path, gate, ros, managed):
    """As a launch file with a LifecycleNode, or `ros2 lifecycle set`, does it."""
    signed = signed_policy(tmp_path)
    subscriber = Subscriber(ros, trust=signed.trust)
    node = gate(policy=signed.directory, trust=signed.trust, autostart="false")
    managed.listen()
    assert managed.state() == "unconfigured"
    ros.wait_for(is_state(subscriber, Status.STATE_NO_POLICY), "STATE_NO_POLICY")
    assert managed.change("configure")
    assert managed.state() == "inactive"
    assert not subscriber.manifests and "verified acme/walk" in node.text()
    assert managed.change(id=Transition.TRANSITION_ACTIVATE)
    ros.wait_for(ready(subscriber), "STATE_READY")
    ros.wait_for(lambda: subscriber.policy, "the policy")
    assert managed.change("deactivate")
    ros.wait_for(is_state(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert managed.change("activate")
    ros.wait_for(ready(subscriber), "STATE_READY again")
    assert subscriber.statuses[-1].epoch == 2
    assert managed.change("deactivate")
    assert managed.change("cleanup")
    ros.wait_for(is_state(subscriber, Status.STATE_NO_POLICY), "STATE_NO_POLICY again")
    assert managed.change("shutdown")
    assert managed.state() == "finalized"
    steps = [
        ("unconfigured", "configuring"),
        ("configuring", "inactive"),
        ("inactive", "activating"),
        ("activating", "active"),
        ("active", "deactivating"),
        ("deactivating", "inactive"),
        ("inactive", "activating"),
        ("activating", "active"),
        ("active", "deactivating"),
        ("deactivating", "inactive"),
        ("inactive", "cleaningup"),
        ("cleaningup", "unconfigured"),
        ("unconfigured", "shuttingdown"),
        ("shuttingdown", "finalized"),
    ]
    ros.wait_for(lambda: len(managed.events) == len(steps), "the last event")
    assert managed.path() == steps
    labels = [it.transition.label for it in managed.events[:4]]
    assert labels == ["configure", "transition_success", "activate", "transition_success"]
    # A finalized node stays until a signal, as rclcpp's do.
    assert node.process.poll() is None
    assert node.stop() == 0


def test_shutdown_withdraws_what_is_announced(tmp_path, gate, ros, managed):
    signed = signed_policy(tmp_path)
    subscriber = Subscriber(ros)
    gate(policy=signed.directory, trust=signed.trust)
    ros.wait_for(ready(subscriber), "STATE_READY")
    managed.listen()
    assert managed.change(id=Transition.TRANSITION_ACTIVE_SHUTDOWN)
    ros.wait_for(is_state(subscriber, Status.STATE_WITHDRAWN), "STATE_WITHDRAWN")
    assert managed.state() == "finalized"
    for label in CALLED:
        assert not managed.change(label)


def test_a_refused_policy_leaves_it_unconfigured(tmp_path, gate, ros, managed):
    signed = signed_policy(tmp_path)
    good = signed.trust.read_text()
    conftest.tensorgate("keygen", "--out", tmp_path / "other")
    signed.trust.write_text(good.replace("release.pub", "other.pub"))
    subscriber = Subscriber(ros)
    gate(policy=signed.directory, trust=signed.trust, autostart="false")
    managed.listen()
    assert not managed.change("configure")
    assert managed.state() == "unconfigured"
    ros.wait_for(is_state(subscriber, Status.STATE_REJECTED), "STATE_REJECTED")
    assert subscriber.statuses[-1].reason == Status.REASON_SIGNATURE_INVALID
    ros.wait_for(lambda: len(managed.events) == 2, "the events")
    failure = managed.events[-1]
    assert (failure.transition.id, failure.goal_state.label) == (11, "unconfigured")
    # What was refused once can be asked for again.
    signed.trust.write_text(good)
    assert managed.change("configure") and managed.change("activate")
    ros.wait_for(ready(subscriber), "STATE_READY")


def test_while_it_configures_it_answers_and_takes_no_other_transition(tmp_path, gate, ros, managed):
    signed = signed_policy(tmp_path)
    with conftest.waiting_with_proven_weights(tmp_path, signed, gate, ros):
        assert managed.state() == "configuring"
        here = managed.ask(GetAvailableTransitions, "get_available_transitions")
        assert edges(here.available_transitions) == {
            (10, "transition_success", "configuring", "inactive"),
            (11, "transition_failure", "configuring", "unconfigured"),
            (12, "transition_error", "configuring", "errorprocessing"),
        }
        managed.listen()
        # How it ends is not a client's to say.
        for label, id in [("configure", 0), ("shutdown", 0), ("transition_success", 0), ("", 10)]:
            assert not managed.change(label, id)
    ros.wait_for(lambda: managed.state() == "active", "the state active")


@pytest.mark.parametrize("label", ["", "nonsense", "CONFIGURE", "configure ", "\x01", "x" * 100_000])
def test_what_is_no_transition_is_answered_so(tmp_path, gate, ros, managed, label):
    node = gate(policy="/nowhere", trust="/nowhere", autostart="false")
    managed.listen()
    for id in (0, 2, 3, 4, 6, 7, 8, 10, 99, 255) if not label else (1,):
        assert not managed.change(label, id)
    assert managed.state() == "unconfigured" and not managed.events
    assert node.stop() == 0


def test_activate_without_a_policy_fails_back_to_inactive(tmp_path, gate, ros, managed):
    """It was let go of meanwhile: it expired."""
    signed = signed_policy(tmp_path)
    soon = time.gmtime(time.time() + 15)
    signed.sign("--replace", sequence=2, expires=time.strftime("%Y-%m-%dT%H:%M:%SZ", soon))
    node = gate(policy=signed.directory, trust=signed.trust, autostart="false")
    managed.listen()
    assert managed.change("configure")
    ros.wait_for(lambda: "manifest-expired" in node.text(), "the expiry")
    assert not managed.change("activate")
    assert managed.state() == "inactive"
    assert managed.path()[-2:] == [("inactive", "activating"), ("activating", "inactive")]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_configures_ends_it(tmp_path, gate, ros, how):
    signed = signed_policy(tmp_path)
    with conftest.waiting_with_proven_weights(tmp_path, signed, gate, ros) as node:
        begun = time.monotonic()
        assert node.stop(how) == 0
        # What `ros2 launch` waits before it sends the next signal.
        assert time.monotonic() - begun < 5
