"""The parameters as any ROS tool sees them: what `ros2 param list | get | set | describe | dump`
ask, asked with rclpy."""

import importlib
import os
import subprocess
from pathlib import Path

import conftest
import pytest
import rclpy.qos as qos
from conftest import Signed
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterEvent, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rosgraph_msgs.msg import Clock
from subscriber import Subscriber
from tensorgate_msgs.msg import PolicyStatus as Status
from test_gate import state_is

SETTABLE = {
    "fragment_size_kib": (64, 8192, 64),
    "latch_limit_mib": (0, 65536, 1),
    "lease_ms": (200, 5000, 1),
    "policy": None,
    "update_interval_s": (0, 86400, 1),
    "use_sim_time": None,
}
READ_ONLY = {
    *("autostart", "channel", "handoff", "handoff_uids", "hold", "hold_signal"),
    *("repo", "revision", "state", "store", "trust"),
}


class Client(AsyncParameterClient):
    """The six services, waited for: each is asked again every second, since a server gives up on
    a reader that it has not found yet."""

    def __init__(self, ros, node="/tensorgate"):
        super().__init__(ros, node)
        self.ros = ros
        ros.wait_for(self.services_are_ready, "the parameter services")

    def wait(self, ask, *args):
        asked = []
        end = lambda: [future for _, future in asked if future.done()]

        def answered():
            now = self.ros.get_clock().now().nanoseconds
            if not asked or now > asked[-1][0] + 1e9:
                asked.append((now, ask(*args)))
            return end()

        self.ros.wait_for(answered, ask.__name__)
        return end()[0].result()

    def values(self, *names):
        return [value(each) for each in self.wait(self.get_parameters, list(names)).values]

    def set(self, name, value):
        (result,) = self.wait(self.set_parameters, [Parameter(name, value=value)]).results
        return result


def value(message):
    kinds = {
        ParameterType.PARAMETER_BOOL: "bool_value",
        ParameterType.PARAMETER_INTEGER: "integer_value",
        ParameterType.PARAMETER_STRING: "string_value",
    }
    return getattr(message, kinds[message.type])


@pytest.fixture
def idle(gate, ros):
    """A gate whose policy is nowhere: its parameters are there all the same."""
    return gate(policy="/nowhere", trust="/nowhere")


def test_ros2_param_list_and_dump(idle, ros):
    client = Client(ros)
    listed = client.wait(client.list_parameters).result
    assert list(listed.names) == sorted({*SETTABLE, *READ_ONLY})
    assert list(listed.prefixes) == []
    dumped = dict(zip(listed.names, client.values(*listed.names), strict=True))
    assert (dumped["policy"], dumped["lease_ms"], dumped["autostart"]) == ("/nowhere", 500, True)
    types = client.wait(client.get_parameter_types, ["policy", "lease_ms", "autostart"]).types
    assert list(types) == [4, 2, 1]
    assert list(client.wait(client.get_parameters, ["policy", "nothing"]).values) == []
    assert list(client.wait(client.list_parameters, ["lease"], 1).result.names) == []


def test_ros2_param_describe(idle, ros):
    client = Client(ros)
    names = [*SETTABLE, *READ_ONLY]
    for descriptor in client.wait(client.describe_parameters, names).descriptors:
        assert descriptor.description
        assert descriptor.read_only == (descriptor.name in READ_ONLY)
        ranges = [(r.from_value, r.to_value, r.step) for r in descriptor.integer_range]
        expected = SETTABLE.get(descriptor.name, (1, 64, 1))
        assert ranges == ([expected] if descriptor.type == 2 else [])


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("revision", "f" * 40, "read once, at start"),
        ("trust", "/mine.toml", "`trust` is read-only"),
        ("lease_ms", 0, "200 to 5000"),
        ("lease_ms", "500", "is of type integer, not string"),
        ("fragment_size_kib", 192, "a power of two"),
        ("policy", "acme/walk@main", "revision-not-pinned"),
        ("policy", "x" * 100_000, "at most 4096"),
        ("revison", "f" * 40, 'no parameter "revison"'),
    ],
)
def test_ros2_param_set_refuses_with_a_reason(idle, ros, name, value, reason):
    client = Client(ros)
    before = client.values(*SETTABLE)
    result = client.set(name, value)
    assert not result.successful
    assert reason in result.reason
    assert client.values(*SETTABLE) == before


def test_atomically_is_all_or_nothing(idle, ros):
    client = Client(ros)
    both = [Parameter("lease_ms", value=900), Parameter("repo", value="")]
    result = client.wait(client.set_parameters_atomically, both).result
    assert not result.successful
    assert "`repo` is read-only" in result.reason
    assert client.values("lease_ms") == [500]
    assert client.wait(client.set_parameters_atomically, both[:1]).result.successful
    assert client.values("lease_ms") == [900]


def test_ros2_param_load(idle, ros, tmp_path):
    file = tmp_path / "tuned.yaml"
    file.write_text("/tensorgate:\n  ros__parameters:\n    lease_ms: 700\n    hold: sealed\n")
    client = Client(ros)
    results = client.wait(client.load_parameter_file, str(file)).results
    assert sorted(result.successful for result in results) == [False, True]
    assert client.values("lease_ms", "hold") == [700, "guarded"]


def test_a_change_is_told_and_takes_effect(idle, ros):
    events = []
    profile = qos.qos_profile_parameter_events
    ros.create_subscription(ParameterEvent, "/parameter_events", events.append, profile)
    subscriber = Subscriber(ros)
    ours = lambda: [event for event in events if event.node == "/tensorgate"]
    ros.wait_for(ours, "the event of the start")
    new = {parameter.name for parameter in ours()[0].new_parameters}
    assert new == {*SETTABLE, *READ_ONLY}
    client = Client(ros)
    result = client.set("lease_ms", 1500)
    assert (result.successful, result.reason) == (True, "")
    ros.wait_for(lambda: len(ours()) > 1, "the event of the change")
    (changed,) = ours()[1].changed_parameters
    assert (changed.name, value(changed.value)) == ("lease_ms", 1500)
    leases = lambda: [(it.lease.sec, it.lease.nanosec) for it in subscriber.statuses]
    ros.wait_for(lambda: (1, 500_000_000) in leases(), "the new lease")
    result = client.set("policy", "./elsewhere")
    assert (result.successful, result.reason) == (True, "takes effect with ~/reload")


def test_ros_time_is_simulated_on_demand_and_the_heartbeat_is_not(idle, ros):
    subscriber = Subscriber(ros)
    clock = ros.create_publisher(Clock, "/clock", 1)
    client = Client(ros)
    assert client.set("use_sim_time", True).successful
    hostile = Clock()
    hostile.clock.sec, hostile.clock.nanosec = -(2**31), 2**32 - 1
    honest = Clock()
    honest.clock.sec = 7

    def told(time):
        clock.publish(time)
        return subscriber.statuses and subscriber.statuses[-1].stamp.sec == 7

    ros.wait_for(lambda: told(honest), "simulated time")
    ros.wait_for(lambda: not told(hostile), "another time, whatever it is")
    ros.wait_for(lambda: told(honest), "simulated time again")
    count = len(subscriber.statuses)
    ros.wait_for(lambda: len(subscriber.statuses) > count + 10, "heartbeats while time stands")
    assert client.set("use_sim_time", False).successful
    ros.wait_for(lambda: subscriber.statuses[-1].stamp.sec > 1_000_000_000, "time of day")
    assert idle.process.poll() is None, idle.text()


def test_hostile_requests_are_refused_and_the_gate_goes_on(idle, ros):
    client = Client(ros)
    text = ParameterValue(type=4, string_value="x\x1b[2J" * 1_000_000)
    bomb = [ParameterMessage(name=f"lease_ms\x1b{i}", value=ParameterValue()) for i in range(100_000)]
    names = GetParameters.Request(names=["policy"] * 100_000)
    answer = ros.ask(GetParameters, "/tensorgate/get_parameters", names, "100,000 names")
    assert list(answer.values) == []
    many = SetParameters.Request(parameters=bomb)
    answer = ros.ask(SetParameters, "/tensorgate/set_parameters", many, "100,000 parameters")
    assert [result.successful for result in answer.results] == [False]
    one = ParameterMessage(name="policy", value=text)
    huge = SetParametersAtomically.Request(parameters=[one])
    service = "/tensorgate/set_parameters_atomically"
    result = ros.ask(SetParametersAtomically, service, huge, "5 MB of text").result
    assert "at most 4096" in result.reason
    for kind in range(256):
        odd = ParameterValue(type=kind, integer_value=500)
        request = SetParameters.Request(parameters=[ParameterMessage(name="lease_ms", value=odd)])
        if kind in (0, 1, 3, 9, 10, 255):
            answer = ros.ask(SetParameters, "/tensorgate/set_parameters", request, f"type {kind}")
            assert not answer.results[0].successful
    assert client.values("policy", "lease_ms") == ["/nowhere", 500]
    assert "\x1b[2J" not in idle.text()
    assert idle.stop() == 0


def test_callers_whom_no_answer_reaches_do_not_silence_the_gate(idle, ros):
    """Each takes 100 ms of it, whichever of its services they call; a controller's lease is at
    least 200 ms, and the gate that hangs for 2 s falls silent."""
    subscriber = Subscriber(ros)
    services = ros.get_service_names_and_types
    ros.wait_for(lambda: "/tensorgate/get_fragments" in dict(services()), "the services")
    deaf = qos.QoSProfile(depth=10, durability=qos.DurabilityPolicy.TRANSIENT_LOCAL)
    clients = []
    for name, (kind,) in services():
        if name.startswith("/tensorgate/") and "/srv/" in kind:
            package, _, kind = kind.split("/")
            kind = getattr(importlib.import_module(f"{package}.srv"), kind)
            clients.append((kind, ros.create_client(kind, name, qos_profile=deaf)))
    ros.wait_for(lambda: subscriber.statuses, "a heartbeat")

    def call():
        for kind, client in clients:
            client.call_async(kind.Request())

    timer = ros.create_timer(0.02, call)
    ros.wait_for(lambda: "got no answer" in idle.text(), "the flood")
    first = len(subscriber.statuses)
    ros.wait_for(lambda: len(subscriber.statuses) > first + 100, "heartbeats", 120)
    ros.destroy_timer(timer)
    stamps = [status.stamp.sec + status.stamp.nanosec / 1e9 for status in subscriber.statuses]
    pauses = [later - sooner for sooner, later in zip(stamps[first:], stamps[first + 1 :])]
    print(f"\n{len(clients)} services flooded: heartbeats at most {max(pauses):.3f} s apart")
    assert max(pauses) < 2
    client = Client(ros)
    assert client.values("policy") == ["/nowhere"]
    assert idle.stop() == 0


def test_the_hand_off_has_a_well_known_place(tmp_path, gate, ros, monkeypatch):
    """Root's is in /run, whatever the environment says."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    runtime = Path("/run") if os.geteuid() == 0 else tmp_path
    name = f"gate{os.getpid()}"
    signed = Signed(tmp_path, conftest.small_tensors())
    remaps = ["-r", "__ns:=/robot1", "-r", f"__node:={name}"]
    gate(*remaps, policy=signed.directory, trust=signed.trust, handoff="auto")
    subscriber = Subscriber(ros, f"/robot1/{name}")
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    assert (runtime / "tensorgate" / f"robot1.{name}").is_socket()


@pytest.mark.parametrize("node", ["/**", "tensorgate", "/tensorgate"])
def test_a_yaml_file_gives_the_parameters(tmp_path, gate, ros, node):
    signed = Signed(tmp_path, conftest.small_tensors())
    file = tmp_path / "params.yaml"
    file.write_text(
        f"{node}:\n  ros__parameters:\n    policy: {signed.directory}\n    trust: {signed.trust}\n"
        "    lease_ms: 800\n    qos_overrides:\n      /fragments:\n        publisher:\n"
        "          depth: 7\n"
    )
    gate("--params-file", file)
    subscriber = Subscriber(ros)
    ros.wait_for(state_is(subscriber, Status.STATE_READY), "STATE_READY")
    assert subscriber.statuses[-1].lease.nanosec == 800_000_000
    client = Client(ros)
    assert client.values("lease_ms", "policy") == [800, str(signed.directory)]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("lease_ms: '500'", "`lease_ms` is of type integer, not string"),
        ("lease_ms: 500.0", "`lease_ms` is of type integer, not double"),
        ("lease_ms: 100", "200 to 5000"),
        ("revision: 12", "quotes"),
        ("policy: [a, b]", "not string array"),
        ("revison: x", 'no parameter "revison"'),
        ("fragment_size_kib: -1", "64 to 8192"),
    ],
)
def test_a_wrong_yaml_file_ends_the_node_with_a_word(tmp_path, line, word):
    file = tmp_path / "params.yaml"
    file.write_text(f"/**:\n  ros__parameters:\n    {line}\n")
    command = [conftest.PROGRAMS / "tensorgate_node", "--ros-args", "--params-file", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert word in done.stderr
    assert "panicked" not in done.stderr
