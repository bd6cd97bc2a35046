"""Hosts of their own for the tests: network namespaces on a switch whose lines are bad.

Nothing is made in the machine's own network, and nothing outlives the test, however that ends: the
namespaces live as long as the processes in them, and those end with their standard input, or with
the process that started them. Root is not needed where user namespaces are to be had.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest


class Fleet:
    """Hosts named `hosts`, each with an address on one switch."""

    def __init__(self, *hosts):
        if shutil.which("ip") is None:
            pytest.skip("NOT TRIED: `ip` is missing; hint: apt install iproute2")
        self.started = []
        self.enter_user = []
        self.switch = self.start_switch()
        self.hosts = {}
        for number, name in enumerate(hosts, 1):
            self.hosts[name] = self.start_host(name, number)
        # The middleware passes over a device that does not run yet.
        shown = lambda host: self.call(host, "ip", "link", "show", "eth0")
        until(lambda: all("state UP" in shown(host) for host in self.hosts.values()))

    def start_switch(self):
        """In a network namespace, in a user namespace where that takes one."""
        reasons = []
        for user in [], ["--user", "--map-root-user"]:
            command = ["unshare", *user, "--net", sys.executable, Path(__file__).with_name("switch.py")]
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            switch = self.start(command, **pipes)
            if switch.stdout.readline() == "ready\n":
                self.enter_user = ["--user", "--preserve-credentials"] if user else []
                return switch
            reasons.append(switch.stderr.read().strip())
        self.close()
        pytest.skip(f"NOT TRIED: a fleet wants root or user namespaces: {'; '.join(reasons)}")

    def start_host(self, name, number):
        """A namespace with an address; the other end of its cable is in the switch, named as it is."""
        here = os.readlink("/proc/self/ns/net"), os.readlink(f"/proc/{self.switch.pid}/ns/net")
        host = self.start([*self.inside(self.switch), "unshare", "--net", "cat"], stdin=subprocess.PIPE)
        until(lambda: os.readlink(f"/proc/{host.pid}/ns/net") not in here)
        cable = f"link add name {name} type veth peer name eth0 netns {host.pid}"
        self.call(self.switch, "ip", *cable.split())
        self.call(self.switch, "ip", "link", "set", name, "up")
        self.call(host, "ip", "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
        for device in "lo", "eth0":
            self.call(host, "ip", "link", "set", device, "up")
        self.tell(port=name)
        return host

    def line(self, *hosts, **quality):
        """How good the cables of `hosts` are from now on, in both directions: `loss` and `reorder`
        as shares of all packets, `delay` in seconds, `up`."""
        for name in hosts:
            self.tell(port=name, **quality)

    def tell(self, **line):
        self.switch.stdin.write(json.dumps(line) + "\n")
        self.switch.stdin.flush()
        assert self.switch.stdout.readline() == "done\n", "the switch ended"

    def on(self, name):
        """What runs a program on a host, and ends it with this process. ROS is heard on the whole
        network there, and through that alone: shared memory would go past it. A message of the
        middleware is a packet of the line: by default it is 64 KiB, of which IP makes 45 packets, and
        where each twentieth packet is lost, hardly one message in ten arrives."""
        udp = "UDPv4?max_msg_size=1400B"
        ros = ["ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET", f"FASTDDS_BUILTIN_TRANSPORTS={udp}"]
        return [*self.inside(self.hosts[name]), "env", *ros]

    def inside(self, process):
        enter = ["nsenter", f"--target={process.pid}", *self.enter_user, "--net"]
        return [*enter, "setpriv", "--pdeathsig=KILL"]

    def call(self, process, *command):
        command = [*self.inside(process), *map(str, command)]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout

    def start(self, command, **options):
        self.started.append(subprocess.Popen(command, text=True, **options))
        return self.started[-1]

    def close(self):
        for process in reversed(self.started):
            process.kill()
            process.wait()
            for pipe in process.stdin, process.stdout, process.stderr:
                if pipe:
                    pipe.close()


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
