"""What the demo and its tests are played with: a Hub, a publisher, programs, and an operator."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
WALK = ROOT / "examples" / "walk"
REPO = "unitree/go2-walk"
UNTIL = "2036-01-01T00:00:00Z"
POLL_S = 5  # how often the gate asks the Hub: the shortest that it takes


def prepare() -> None:
    """The environment in which all programs run."""
    sys.path.append(str(ROOT / "ros"))
    import own_domain

    own_domain.claim()
    # A trust policy that a group may write is refused, with reason.
    os.umask(0o022)
    os.environ["PYTHONPATH"] = f"{ROOT / 'target' / 'python'}:{os.environ.get('PYTHONPATH', '')}"
    os.environ["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"
    os.environ["PYTHONUNBUFFERED"] = "1"
    # Products of 45 with 512 numbers: threads only get in each other's way.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TENSORGATE_STORE"):
        os.environ.pop(name, None)


class Program:
    """A program that runs beside, and what it says, line by line."""

    def __init__(self, *command, say=lambda line: None):
        self.lines, self.said = [], threading.Condition()
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(list(map(str, command)), text=True, **pipes)
        self.listener = threading.Thread(target=self.listen, args=(say,), daemon=True)
        self.listener.start()

    def listen(self, say) -> None:
        for line in self.process.stdout:
            with self.said:
                self.lines.append(line.rstrip())
                self.said.notify_all()
            say(line.rstrip())

    def wait_for(self, text: str, seconds: float = 120) -> str:
        """The first line with this text."""
        found = lambda: [line for line in self.lines if text in line]
        with self.said:
            if self.said.wait_for(found, seconds):
                return found()[0]
        raise TimeoutError(f"nobody said {text!r} within {seconds} s:\n" + "\n".join(self.lines[-20:]))

    def end(self, how=signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Channel:
    """A Hub on loopback with one branch of one repository, which each commit moves: the program is
    started anew with one more."""

    def __init__(self, home: Path):
        self.home, self.directories, self.hub = home, [], None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        os.environ["HF_ENDPOINT"] = self.endpoint
        os.environ["HF_HOME"] = str(home / "nothing")

    def commit(self, directory: Path) -> str:
        """Moves the branch to what the directory holds; the name of the commit."""
        self.end()
        kept = self.home / "commits" / str(len(self.directories))
        shutil.copytree(directory, kept)
        self.directories.append(kept)
        repositories = [word for kept in self.directories for word in ("--repo", f"{REPO}={kept}")]
        command = ["tensorgate-testhub", "--port", str(self.port), *repositories]
        self.hub = subprocess.Popen(command, text=True, stdout=subprocess.PIPE)
        return json.loads(self.hub.stdout.readline())["commits"][REPO][-1]

    def end(self) -> None:
        if self.hub:
            self.hub.terminate()
            self.hub.wait(timeout=20)
            self.hub.stdout.close()
            self.hub = None


# What a person would be asked before the release is admitted, answered in advance.
DECISIONS = """[accept]
licenses = ["apache-2.0"]
policy_types = ["mlp"]
dtypes = ["F32"]
max_bytes = 1000000
fields = ['"config.json#/activation": "elu"', '"config.json#/layers": [45,512,256,128,12]']
"""


class Publisher:
    """Who admits releases of the repository, and commits the signed manifest beside the files."""

    def __init__(self, home: Path, channel: Channel, run):
        self.home, self.channel, self.run, self.manifests = home, channel, run, {}
        run("tensorgate", "keygen", "--out", "release")
        key = '[[keys]]\nname = "release"\npublic_key_file = "release.pub.pem"\n'
        (home / "trust.toml").write_text(f"threshold = 1\n{key}")
        (home / "decisions.toml").write_text(DECISIONS)

    def release(self, files: Path, sequence: int) -> None:
        revision = self.channel.commit(files)
        what = ["--sequence", sequence, "--expires", UNTIL, "--yes", "--decisions", "decisions.toml"]
        who = ["--key", "release.key.pem", "--trust", "trust.toml", "--store", "publisher"]
        told = self.run("tensorgate", "admit", f"{REPO}@{revision}", *who, *what)
        admitted = Path(told.strip().splitlines()[-1])
        self.manifests[sequence] = admitted.name
        self.announce(files, admitted / "policy.dsse.json")

    def release_spoiled(self, files: Path, sequence: int, served: Path) -> None:
        """`served` is what somebody else makes the Hub serve in place of the files that are signed."""
        revision = self.channel.commit(served)
        what = ["--repo", REPO, "--revision", revision, "--sequence", sequence, "--expires", UNTIL]
        manifest = self.home / "spoiled.dsse.json"
        self.run("tensorgate", "sign", files, "--key", "release.key.pem", *what, "--out", manifest)
        self.announce(served, manifest)

    def announce(self, files: Path, manifest: Path) -> None:
        signed = self.home / f"signed-{len(self.channel.directories)}"
        shutil.copytree(files, signed)
        shutil.copy(manifest, signed / "policy.dsse.json")
        self.channel.commit(signed)

    def call_back(self, sequence: int, reason: str) -> None:
        """A signed list of revocations, beside what was released last."""
        listed = self.home / "listed"
        shutil.copytree(self.channel.directories[-1], listed)
        what = ["--manifest", self.manifests[sequence], "--reason", reason]
        term = ["--key", "release.key.pem", "--expires", UNTIL]
        self.run("tensorgate", "trust", "revoke", listed / "revocations.dsse.json", *term, *what)
        self.channel.commit(listed)


def tampered(files: Path, to: Path) -> Path:
    """The same files, but for one bit of one weight."""
    shutil.copytree(files, to)
    weights = bytearray((to / "model.safetensors").read_bytes())
    weights[500_000] ^= 1
    (to / "model.safetensors").write_bytes(weights)
    return to


def ros(**parameters) -> list:
    return ["--ros-args", *(word for name, value in parameters.items() for word in ("-p", f"{name}:={value}"))]


# The node, as `ros2 launch` starts it: it follows the channel. On a machine that does ten other things a
# heartbeat may be late, and a world in lock-step slow: so the lease, and what the controller bears,
# are longer here than on a robot (0.5, 0.1 and 0.5 s). A revocation waits for none of them.
GATE = [
    "tensorgate_node",
    *ros(channel=f"{REPO}@main", update_interval_s=POLL_S, lease_ms=2000, trust="trust.toml", store="store"),
]
CONTROLLER = [
    *(sys.executable, WALK / "controller.py", "--trust", "trust.toml", "--repo", REPO, "--state", "remembered"),
    *ros(sensor_timeout_s=2.0, steering_timeout_s=2.0),
]


def simulator(record: Path) -> list:
    return [sys.executable, WALK / "simulator.py", record]


def words(command, home: Path) -> str:
    """A command as a reader would type it."""
    text = shlex.join(map(str, command))
    return text.replace(sys.executable, "python").replace(f"{home}/", "").replace(f"{ROOT}/", "")


class Operator:
    """A person with a joystick and an eye on the topics, in a thread of this process."""

    def __init__(self):
        import rclpy
        from diagnostic_msgs.msg import DiagnosticStatus
        from geometry_msgs.msg import Twist
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rosgraph_msgs.msg import Clock
        from std_srvs.srv import Trigger
        from tensorgate_msgs.msg import PolicyStatus

        rclpy.init()
        self.node = rclpy.create_node("operator")
        self.events, self.clock, self.speed = [], 0.0, 0.0
        self.twist, self.trigger = Twist, Trigger
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(DiagnosticStatus, "/controller/state", self.on_controller, latched)
        self.node.create_subscription(PolicyStatus, "/tensorgate/status", self.on_gate, 10)
        self.node.create_subscription(Clock, "/clock", self.on_clock, 1)
        self.steering = self.node.create_publisher(Twist, "cmd_vel", 10)
        self.client = self.node.create_client(Trigger, "/controller/stand_up")
        self.node.create_timer(0.1, self.steer)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def steer(self) -> None:
        twist = self.twist()
        twist.linear.x = self.speed
        self.steering.publish(twist)

    def on_clock(self, msg) -> None:
        self.clock = msg.clock.sec + msg.clock.nanosec / 1e9

    def on_controller(self, msg) -> None:
        facts = {value.key: value.value for value in msg.values}
        time_of = float(facts.pop("time"))
        self.record("controller", time_of, mode=msg.message, **facts)

    def on_gate(self, msg) -> None:
        self.record("gate", None, state=msg.state, reason=msg.reason, epoch=msg.epoch)

    def record(self, kind: str, simulated: float | None, **facts) -> None:
        """Only what is new; with the time of the steady clock, which is one for all processes."""
        if self.now(kind) != facts:
            event = {"kind": kind, "wall": time.monotonic(), "simulated": simulated, "facts": facts}
            self.events.append(event)

    def now(self, kind: str) -> dict:
        """What was heard last."""
        return next((event["facts"] for event in reversed(self.events) if event["kind"] == kind), {})

    def wait_for(self, kind: str, **facts) -> None:
        self.wait(lambda: facts.items() <= self.now(kind).items(), f"{facts} of the {kind}")

    def wait(self, condition, what: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds} s for {what}; heard last: {self.now('controller')}")
            time.sleep(0.02)

    def stand_up(self) -> tuple[bool, str]:
        if not self.client.wait_for_service(timeout_sec=60):
            raise TimeoutError("no controller to call")
        answered, answers = threading.Event(), []
        future = self.client.call_async(self.trigger.Request())
        future.add_done_callback(lambda future: (answers.append(future.result()), answered.set()))
        if not answered.wait(60):
            raise TimeoutError("the controller did not answer")
        return answers[0].success, answers[0].message

    def end(self) -> None:
        import rclpy

        if rclpy.ok():
            self.executor.shutdown()
            self.thread.join(timeout=10)
            self.node.destroy_node()
            rclpy.shutdown()
