#!/usr/bin/env python3
"""What the pages use of the command `ros2`, with rclpy: for machines whose ROS has no ros2cli.

    ros2 launch tensorgate tensorgate.launch.xml [NAME:=VALUE …]
    ros2 topic echo --once TOPIC [--field NAME]
    ros2 service call SERVICE TYPE [YAML]
    ros2 action send_goal ACTION TYPE YAML
    ros2 lifecycle get|set NODE [TRANSITION]
    ros2 param get|set NODE NAME [VALUE]

It prints what ros2cli of Jazzy prints. The wheels that `source ros/env.sh` installs have neither
ros2cli nor launch; where a real `ros2` is on the PATH, the tests of the documentation use that.
"""

import argparse
import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from pathlib import Path

import rclpy
import yaml
from action_msgs.msg import GoalStatus
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.action import ActionClient
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import QoSProfile

STATUSES = {
    GoalStatus.STATUS_SUCCEEDED: "SUCCEEDED",
    GoalStatus.STATUS_CANCELED: "CANCELED",
    GoalStatus.STATUS_ABORTED: "ABORTED",
}


def main() -> int:
    args = arguments()
    if args.command == "launch":
        return launch(args.package, args.file, dict(pair.split(":=", 1) for pair in args.values))
    rclpy.init()
    node = rclpy.create_node("ros2cli")
    try:
        return args.run(node, args)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ros2")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("launch")
    one.add_argument("package", choices=["tensorgate"])
    one.add_argument("file", choices=["tensorgate.launch.xml"])
    one.add_argument("values", nargs="*")
    verbs = {
        "topic echo": (echo, ["topic"], ["--once", "--field"]),
        "service call": (call, ["service", "type", "?values"], []),
        "action send_goal": (send_goal, ["action", "type", "values"], []),
        "lifecycle get": (lifecycle_get, ["node"], []),
        "lifecycle set": (lifecycle_set, ["node", "transition"], []),
        "param get": (param_get, ["node", "name"], []),
        "param set": (param_set, ["node", "name", "value"], []),
    }
    groups: dict = {}
    for words, (run, positional, options) in verbs.items():
        group, verb = words.split()
        if group not in groups:
            groups[group] = commands.add_parser(group).add_subparsers(required=True)
        one = groups[group].add_parser(verb)
        one.set_defaults(run=run)
        for name in positional:
            one.add_argument(name.removeprefix("?"), nargs="?" if name[0] == "?" else None)
        for name in options:
            action = "store_true" if name == "--once" else "store"
            one.add_argument(name, action=action, required=name == "--once")
    return parser.parse_args()


def launch(package: str, file: str, values: dict[str, str]) -> int:
    """Starts the node of the launch file in XML, as launch/tests do: with the values put in."""
    share = next(
        Path(prefix) / "share" / package
        for prefix in os.environ["AMENT_PREFIX_PATH"].split(":")
        if (Path(prefix) / "share" / package / "launch").is_dir()
    )
    root = xml.parse(share / "launch" / file).getroot()
    known = {arg.get("name"): arg.get("default") for arg in root.iter("arg")}
    if unknown := values.keys() - known.keys():
        sys.exit(f"no such arguments: {unknown}")
    known |= values

    def put_in(text: str) -> str:
        text = re.sub(r"\$\(find-pkg-share \w+\)", lambda _: str(share), text)
        return re.sub(r"\$\(var (\w+)\)", lambda match: known[match[1]], text)

    element = root.find("node")
    name = element.get("exec")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as parameters:
        parameters.write(put_in(Path(put_in(put_in(element.find("param").get("from")))).read_text()))
        parameters.flush()
        command = [share.parents[1] / "lib" / package / name, "--ros-args"]
        command += put_in(element.get("ros_args")).split()
        command += ["-r", f"__node:={known['name']}", "--params-file", parameters.name]
        if known["namespace"]:
            command += ["-r", f"__ns:=/{known['namespace'].strip('/')}"]
        return watch(command, f"{name}-1")


def watch(command: list, name: str) -> int:
    """Runs a program as launch does: its lines have its name before them."""
    log = os.environ.get("ROS_LOG_DIR", "~/.ros/log")
    say(f"[INFO] [launch]: All log files can be found below {log}")
    say("[INFO] [launch]: Default logging verbosity is set to INFO")
    # Ctrl-C goes to both; this one waits for the other.
    interrupted = "[WARNING] [launch]: user interrupted with ctrl-c (SIGINT)"
    signal.signal(signal.SIGINT, lambda *_: say(interrupted))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    say(f"[INFO] [{name}]: process started with pid [{process.pid}]")
    for line in process.stdout:
        say(f"[{name}] {line.rstrip()}")
    code = process.wait()
    if code:
        say(f"[ERROR] [{name}]: process has died [pid {process.pid}, exit code {code}]")
        return 1
    say(f"[INFO] [{name}]: process has finished cleanly [pid {process.pid}]")
    return 0


def echo(node, args) -> int:
    types = wait_for(node, lambda: dict(node.get_topic_names_and_types()).get(args.topic))
    messages: list = []
    qos = QoSProfile(depth=10, durability=durability(node, args.topic))
    node.create_subscription(interface(types[0]), args.topic, messages.append, qos)
    wait_for(node, lambda: messages)
    value = messages[0]
    for name in (args.field or "").split("."):
        value = getattr(value, name) if name else value
    value = plain(value)
    text = yaml.dump(value, sort_keys=False, allow_unicode=True, width=1 << 20)
    say(text.rstrip("\n") if isinstance(value, dict | list) else str(value))
    say("---")
    return 0


def durability(node, topic: str):
    """As the publishers have it: what is latched is wanted by who asks once."""
    publishers = wait_for(node, lambda: node.get_publishers_info_by_topic(topic))
    return publishers[0].qos_profile.durability


def plain(value):
    """A message as what YAML has."""
    if hasattr(value, "get_fields_and_field_types"):
        return {name: plain(getattr(value, name)) for name in value.get_fields_and_field_types()}
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str | bool | int | float):
        return value
    return [plain(part) for part in (value.tolist() if hasattr(value, "tolist") else value)]


def call(node, args) -> int:
    request = filled(interface(args.type).Request(), args.values)
    response = ask(node, interface(args.type), args.service, request, tell=True)
    say(f"response:\n{response!r}\n")
    return 0


def send_goal(node, args) -> int:
    kind = interface(args.type)
    client = ActionClient(node, kind, args.action)
    say("Waiting for an action server to become available...")
    wait_for(node, client.server_is_ready)
    goal = filled(kind.Goal(), args.values)
    say(f"Sending goal:\n     {yaml.dump(plain(goal), sort_keys=False)}")
    handle = result_of(node, client.send_goal_async(goal))
    if not handle.accepted:
        say("Goal was rejected.")
        return 0
    say(f"Goal accepted with ID: {bytes(handle.goal_id.uuid).hex()}\n")
    answer = result_of(node, handle.get_result_async())
    say(f"Result:\n    {yaml.dump(plain(answer.result), sort_keys=False)}")
    say(f"Goal finished with status: {STATUSES[answer.status]}")
    return 0


def lifecycle_get(node, args) -> int:
    state = ask(node, GetState, f"{args.node}/get_state", GetState.Request()).current_state
    say(f"{state.label} [{state.id}]")
    return 0


def lifecycle_set(node, args) -> int:
    request = ChangeState.Request()
    request.transition.label = args.transition
    answer = ask(node, ChangeState, f"{args.node}/change_state", request)
    say("Transitioning successful" if answer.success else "Transitioning failed")
    return 0


def param_get(node, args) -> int:
    request = GetParameters.Request(names=[args.name])
    (value,) = ask(node, GetParameters, f"{args.node}/get_parameters", request).values
    kind = Parameter.Type(value.type).name.title()
    say(f"{kind} value is: {parameter_value_to_python(value)}")
    return 0


def param_set(node, args) -> int:
    value = Parameter(args.name, value=yaml.safe_load(args.value)).to_parameter_msg()
    request = SetParameters.Request(parameters=[value])
    (result,) = ask(node, SetParameters, f"{args.node}/set_parameters", request).results
    reason = f": {result.reason}" if result.reason else ""
    say(f"{'Set parameter successful' if result.successful else 'Setting parameter failed'}{reason}")
    return 0


def interface(name: str):
    """The class of `tensorgate_msgs/srv/RevokePolicy`."""
    package, kind, name = name.split("/")
    return getattr(importlib.import_module(f"{package}.{kind}"), name)


def filled(message, values: str | None):
    for name, value in yaml.safe_load(values or "{}").items():
        setattr(message, name, value)
    return message


def ask(node, kind, service: str, request, tell: bool = False):
    client = node.create_client(kind, service)
    wait_for(node, client.service_is_ready)
    # What is asked before the answer's way is known is not answered.
    time.sleep(0.2)
    if tell:
        say(f"requester: making request: {request!r}\n")
    return result_of(node, client.call_async(request))


def result_of(node, future):
    wait_for(node, future.done)
    return future.result()


def wait_for(node, condition, seconds: float = 60):
    """What the condition gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit("timed out")
        rclpy.spin_once(node, timeout_sec=0.05)
    return found


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
