"""The gate under its own systemd, in a container: run as root inside of it by test_service.py, with a directory for
what it makes. Everything is as the package installs it; the ROS is that of the tests."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import conftest
import rclpy
from conftest import ROOT
from subscriber import Subscriber
from test_channel import Channel, stands_by

UNIT = "tensorgate.service"
# Whose only right is to be named in `handoff_uids`.
CONTROLLER = 4711
SOCKET = "/run/tensorgate/tensorgate"
ACTIVE = "activating → active"
# Of the environment of the tests: where ROS is.
OF_ROS = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "ROS_DISTRO")


def main(home):
    # The container has a network of its own, of this interface: what finds others there finds only us. On one machine
    # alone (`LOCALHOST`) the middleware would take shared memory whatever ros.env says.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "SUBNET"
    os.environ["ROS_DOMAIN_ID"] = "0"
    for command in ("link set lo multicast on", "route add 224.0.0.0/4 dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    channel = Channel(home)
    try:
        work(channel)
    finally:
        channel.stop()


def work(channel):
    def again(**values):
        parameters(**values)
        systemctl("restart", UNIT)
        subscriber.statuses.clear()

    first = channel.release(1)
    configure(channel)
    rclpy.init()
    subscriber = Subscriber(rclpy.create_node("observer"))
    systemctl("start", UNIT)
    wait_for(stands_by(subscriber, first), subscriber, "the first release")
    say("published what came from the Hub, below the sandbox")

    second = channel.release(2)
    wait_for(stands_by(subscriber, second), subscriber, "the second release")
    say("took a newer release")

    policy = own_directory(channel)
    again(policy=f'"{policy}"', channel='""')
    wait_for(stands_by(subscriber, second), subscriber, "the same from a directory")
    # Whoever opens it for writing waits until the gate has moved the bytes.
    with (policy / "model.safetensors").open("r+b"):
        pass
    wait_for(lambda: "were moved into sealed memory" in journal(), subscriber, "the word on the move")
    say("kept the bytes of a guarded file from a writer")

    # Weights that are handed over are sealed at once, and no longer guarded.
    again(handoff="auto", handoff_uids=f'"{CONTROLLER}"')
    wait_for(stands_by(subscriber, second), subscriber, "the gate after its restart")
    hand_over()
    say("handed its pages to another user")

    lives = journal().count(ACTIVE)
    kill()
    wait_for(lambda: journal().count(ACTIVE) > lives, subscriber, "the gate's return")
    subscriber.statuses.clear()
    wait_for(stands_by(subscriber, second), subscriber, "the policy after its return")
    say("came back after it was killed")

    systemctl("stop", UNIT)
    assert show("Result") == "success" and show("ExecMainStatus") == "0", show("ExecMainStatus")
    say("ended with status 0")
    # What the kernel refused would be in the log.
    assert "Operation not permitted" not in journal(), journal()


def configure(channel):
    install("usr/lib/systemd/system/tensorgate.service", "tensorgate.service")
    install("usr/lib/sysusers.d/tensorgate.conf", "sysusers.conf")
    install("usr/lib/tmpfiles.d/tensorgate.conf", "tmpfiles.conf")
    install("usr/lib/tensorgate/tensorgate-node", "tensorgate-node", mode="755")
    place("opt/tensorgate/lib/tensorgate/tensorgate_node", conftest.PROGRAMS / "tensorgate_node", "755")
    for name in ("release.pub.pem", "trust.toml"):
        place(f"etc/tensorgate/{name}", channel.home / name)
    setup = "".join(f"export {name}='{os.environ[name]}'\n" for name in OF_ROS if name in os.environ)
    write("etc/tensorgate/setup.sh", setup)
    write("etc/tensorgate/ros.env",
          (ROOT / "packaging/ros.env").read_text().replace("/opt/ros/jazzy", "/etc/tensorgate")
          + f"HF_ENDPOINT={channel.endpoint}\n")
    place("etc/tensorgate/node.yaml", ROOT / "packaging/node.yaml")
    parameters(channel=f'"{conftest.REPO}@main"', update_interval_s=5)
    subprocess.run(["systemd-sysusers"], check=True)
    subprocess.run(["systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/tensorgate.conf"], check=True)
    systemctl("daemon-reload")


def parameters(**values):
    """Sets these in the file that the package installs, as an operator does."""
    file = Path("/etc/tensorgate/node.yaml")
    text = file.read_text()
    for name, value in values.items():
        text, found = re.subn(rf"(?m)^(    {name}:) .*$", rf"\1 {value}", text)
        assert found == 1, name
    file.write_text(text)


def install(where, what, mode="644"):
    place(where, ROOT / "packaging" / what, mode)


def place(where, what, mode="644"):
    subprocess.run(["install", "-D", f"--mode={mode}", what, f"/{where}"], check=True)


def write(where, text):
    Path(f"/{where}").write_text(text)


def hand_over():
    """To a process that is neither root nor the gate."""
    command = ["setpriv", f"--reuid={CONTROLLER}", f"--regid={CONTROLLER}", "--clear-groups", sys.executable,
               Path(__file__).with_name("handed.py"), SOCKET]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "sha256" in done.stdout, done.stderr


def own_directory(channel):
    """A policy that is the gate's user's own, as what is to be guarded has to be."""
    directory = channel.directories[-1]
    subprocess.run(["chown", "--recursive", "tensorgate:", directory], check=True)
    return directory


def kill():
    subprocess.run(["kill", "-KILL", show("MainPID")], check=True)


def systemctl(*args):
    done = subprocess.run(["systemctl", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + journal()


def show(name):
    command = ["systemctl", "show", "--value", f"--property={name}", UNIT]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def journal():
    command = ["journalctl", "--no-pager", "--output=cat", f"--unit={UNIT}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(condition, subscriber, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}\n{journal()}"
        rclpy.spin_once(subscriber.node, timeout_sec=0.05)


def say(what):
    print(f"service: {what}", flush=True)


main(Path(sys.argv[1]))
