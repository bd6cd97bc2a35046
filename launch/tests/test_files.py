"""The launch files offer the same in all three languages, and the parameter file knows them.

Read as data: `launch` itself is not among the wheels that the tests run with.
"""

import ast
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).resolve().parents[1]
ROOT = LAUNCH.parent
PARAMS_FILE = "$(find-pkg-share tensorgate)/config/tensorgate.yaml"


def of_python(name):
    """{argument: (default, description)} of the list ARGUMENTS."""
    tree = ast.parse((LAUNCH / name).read_text())
    values = {
        node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign)
    }
    path = [part.value for part in values["PARAMS_FILE"].args[0].elts[1:]]
    assert path == ["config", "tensorgate.yaml"]
    arguments = {}
    for name, default, description in (row.elts for row in values["ARGUMENTS"].elts):
        is_file = isinstance(default, ast.Name) and default.id == "PARAMS_FILE"
        default = PARAMS_FILE if is_file else default.value
        arguments[name.value] = (default, description.value)
    return arguments


def of_xml():
    arguments = xml.parse(LAUNCH / "tensorgate.launch.xml").getroot().iter("arg")
    return {arg.get("name"): (arg.get("default"), arg.get("description")) for arg in arguments}


def of_yaml():
    actions = yaml.safe_load((LAUNCH / "tensorgate.launch.yaml").read_text())["launch"]
    arguments = [action["arg"] for action in actions if "arg" in action]
    return {arg["name"]: (arg["default"], arg["description"]) for arg in arguments}


def parameters():
    text = (LAUNCH / "config/tensorgate.yaml").read_text()
    return yaml.safe_load(text)["/**"]["ros__parameters"]


@pytest.mark.parametrize("other", [of_xml, of_yaml])
def test_all_languages_offer_the_same_arguments(other):
    assert other() == of_python("tensorgate.launch.py")


def test_the_lifecycle_launch_file_offers_them_too():
    plain, lifecycle = map(of_python, ("tensorgate.launch.py", "tensorgate_lifecycle.launch.py"))
    assert lifecycle.keys() == plain.keys()
    differences = {name for name in plain if plain[name] != lifecycle[name]}
    assert differences == {"autostart"}


def test_every_argument_is_described():
    for name, (default, description) in of_python("tensorgate.launch.py").items():
        assert isinstance(default, str) and len(description) > 10, name


def test_the_parameter_file_takes_the_arguments_by_their_names():
    arguments = of_python("tensorgate.launch.py").keys()
    used = {
        name: match[1]
        for name, value in parameters().items()
        if (match := re.fullmatch(r"\$\(var (\w+)\)", str(value)))
    }
    assert all(name == argument for name, argument in used.items())
    of_launch = {"params_file", "namespace", "name", "log_level"}
    assert set(used) == arguments - of_launch


def test_comments_of_the_parameter_file_hold_nothing_to_be_put_in():
    """launch puts values into comments as well, and fails where it cannot."""
    for line in (LAUNCH / "config/tensorgate.yaml").read_text().splitlines():
        assert "$(" not in line.partition("#")[2], line


def test_nobody_but_the_gate_may_announce_or_answer():
    """The SROS 2 policy, as far as it can be read without DDS security."""
    ours = {"manifest", "fragments", "status", "transition_event"}
    enclaves = xml.parse(LAUNCH / "sros2/tensorgate.policy.xml").getroot().iter("enclave")
    for enclave in enclaves:
        is_gate = enclave.get("path") == "/tensorgate"
        for profile in enclave.iter("profile"):
            node = profile.get("ns") + profile.get("node")
            allowed = {
                entry.text.replace("~", node)
                for group in profile
                if {group.get(way) for way in ("publish", "reply", "execute")} & {"ALLOW"}
                for entry in group
            }
            assert not any("*" in name for name in allowed)
            of_gate = {name for name in allowed if name.startswith("/tensorgate/")}
            assert bool(of_gate) == is_gate, enclave.get("path")
            assert not is_gate or {f"/tensorgate/{name}" for name in ours} <= of_gate


@pytest.mark.parametrize("package", ["crates/node", "msg", "examples/rclcpp"])
def test_packages_have_the_version_of_the_crates(package):
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
    assert xml.parse(ROOT / package / "package.xml").findtext("version") == version


def test_the_package_asks_for_what_it_is_built_of_and_runs_with():
    """rosdep installs what stands here, and nothing else."""
    asked = {}
    for element in xml.parse(ROOT / "crates/node/package.xml").getroot():
        if element.tag.endswith("depend"):
            asked.setdefault(element.tag, set()).add(element.text)
    linked = {"rcl", "rcl_action", "lifecycle_msgs", "diagnostic_msgs", "std_srvs", "tensorgate_msgs"}
    assert {"ament_cmake", "cargo", "rustc"} <= asked["buildtool_depend"]
    assert "libclang-dev" in asked["build_depend"]
    assert linked <= asked["depend"]
    assert {"launch", "launch_ros", "rclpy"} <= asked["exec_depend"]
