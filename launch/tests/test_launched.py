"""What is launched is what is documented: the parameters, and the names on the graph."""

import xml.etree.ElementTree as xml

import pytest
import yaml
from conftest import ARGUMENTS, ROOT
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python
from tensorgate_msgs.msg import PolicyStatus

GATE = "/tensorgate"


def test_a_signed_policy_is_published_and_sigint_ends_it_well(gate, ros):
    statuses = []
    ros.create_subscription(PolicyStatus, f"{GATE}/status", statuses.append, 10)
    is_ready = lambda: statuses and statuses[-1].state == PolicyStatus.STATE_READY  # noqa: E731
    ros.wait_for(is_ready, "STATE_READY")
    assert gate() == 0


def test_the_parameter_file_has_every_parameter_and_its_default(gate, ros, signed):
    text = (ROOT / "launch/config/tensorgate.yaml").read_text()
    documented = yaml.safe_load(text)["/**"]["ros__parameters"]
    listed = ros.ask(ListParameters, f"{GATE}/list_parameters", ListParameters.Request())
    names = [name for name in listed.result.names if not name.startswith("qos_overrides.")]
    assert sorted(names) == sorted(documented)
    names = list(documented)
    request = GetParameters.Request(names=names)
    values = ros.ask(GetParameters, f"{GATE}/get_parameters", request).values
    for name, value in zip(names, map(parameter_value_to_python, values)):
        if not str(documented[name]).startswith("$(var "):
            assert (name, value) == (name, documented[name])
        elif name in ARGUMENTS:
            assert (name, value) == (name, yaml.safe_load(ARGUMENTS[name] or '""'))


def test_every_parameter_is_described(gate, ros):
    names = ros.ask(ListParameters, f"{GATE}/list_parameters", ListParameters.Request())
    request = DescribeParameters.Request(names=names.result.names)
    described = ros.ask(DescribeParameters, f"{GATE}/describe_parameters", request)
    for descriptor in described.descriptors:
        assert len(descriptor.description) > 10, descriptor.name


@pytest.fixture
def allowed():
    """{way: names} that the SROS 2 policy allows the gate."""
    policy = xml.parse(ROOT / "launch/sros2/tensorgate.policy.xml").getroot()
    enclave = next(e for e in policy.iter("enclave") if e.get("path") == GATE)
    ways = {}
    for group in enclave.find("profiles/profile"):
        names = {entry.text.replace("~", GATE) for entry in group}
        for way in ("publish", "subscribe", "reply", "execute"):
            if group.get(way) == "ALLOW":
                ways.setdefault(way, set()).update(names)
    return ways


def test_the_sros2_policy_allows_the_gate_what_it_does_and_no_more(gate, ros, allowed):
    ways = {
        "publish": ros.get_publisher_names_and_types_by_node,
        "reply": ros.get_service_names_and_types_by_node,
        "subscribe": ros.get_subscriber_names_and_types_by_node,
    }
    seen = {way: set() for way in ways}

    def is_complete():
        """An entity of a node is discovered on its own, the node itself among the last."""
        if ("tensorgate", "/") in ros.get_node_names_and_namespaces():
            for way, ask in ways.items():
                names = {name for name, _ in ask("tensorgate", "/")}
                seen[way] |= {name for name in names if "/_action/" not in name}
        return all(allowed[way] <= seen[way] for way in ("publish", "reply"))

    ros.wait_for(is_complete, f"what is allowed, {allowed}")
    assert seen["publish"] == allowed["publish"]
    assert seen["reply"] == allowed["reply"]
    assert seen["subscribe"] <= allowed["subscribe"]
