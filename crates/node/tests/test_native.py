"""The C interface: a controller in C++ beside the real gate, and a caller who gets everything wrong.

Both under the sanitisers, which watch the library's memory, too: it takes it from malloc.
"""

import os
import queue
import signal
import subprocess
import threading
import time
import zlib

import conftest
import numpy as np
import pytest
from conftest import PROGRAMS, REPO, REVISION, ROOT, Signed
from rclpy.qos import DurabilityPolicy, QoSProfile
from tensorgate_msgs.msg import PolicyManifest

SOURCES = ROOT / "crates/c"
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
SANITISERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
LIBRARIES = [
    "tensorgate_c",
    "rcl",
    "rcutils",
    "rosidl_runtime_c",
    "tensorgate_msgs__rosidl_generator_c",
    "tensorgate_msgs__rosidl_typesupport_c",
]


def run(*command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def prefixes():
    return os.environ["AMENT_PREFIX_PATH"].split(":")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Compiles a program of crates/c/tests against the header and the library."""
    folder = tmp_path_factory.mktemp("native")
    run(PROGRAMS / "examples/header", folder / "tensorgate_client.h")

    def compile_(source, *options):
        program = folder / source.partition(".")[0]
        compiler = "cc" if source.endswith(".c") else "c++"
        includes = [f"-I{folder}", f"-I{SOURCES / 'include'}"]
        run(compiler, *WARNINGS, *SANITISERS, *includes, SOURCES / "tests" / source, "-o", program,
            f"-L{PROGRAMS}", *options)  # fmt: skip
        return program

    return compile_


@pytest.fixture(scope="module")
def listen(build):
    # ROS headers are the system's: their warnings are not ours.
    roots = [f"{prefix}/include" for prefix in prefixes()]
    includes = [f"-isystem{root}/{name}" for root in roots for name in os.listdir(root)]
    libraries = [f"-L{prefix}/lib" for prefix in prefixes()] + [f"-l{name}" for name in LIBRARIES]
    # What the libraries of ROS need themselves is found when the program starts.
    return build("listen.cpp", "-std=c++17", *includes, *libraries, "-Wl,--allow-shlib-undefined")


class Listener:
    """A running listen.cpp; its lines."""

    def __init__(self, program, home, *args):
        self.errors = home / f"listen-{time.monotonic_ns()}.log"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [program, *map(str, args)],
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.lines, self.seen = queue.Queue(), []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip())

    def wait_for(self, wanted):
        self._wait_until(lambda: wanted in self.seen, wanted)

    def wait_for_refusal(self, code):
        wanted = f"refused {code}: "
        self._wait_until(lambda: any(line.startswith(wanted) for line in self.seen), wanted)

    def _wait_until(self, condition, wanted):
        end = time.monotonic() + 60
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"no {wanted!r} among {self.seen}, {self.errors.read_text()}"
            try:
                self.seen.append(self.lines.get(timeout=left))
            except queue.Empty:
                continue

    def stop(self):
        """Ends it; whatever a sanitiser found, leaks included, is a status other than 0."""
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0, self.errors.read_text()


def environment():
    libraries = f"{PROGRAMS}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    return {**os.environ, "LD_LIBRARY_PATH": libraries}


@pytest.fixture
def listener(listen, tmp_path):
    started = []

    def start(*args):
        started.append(Listener(listen, tmp_path, *args))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def line_of(name, dtype, array):
    shape = "".join(f" {size}" for size in array.shape)
    return f"tensor model.safetensors {name} {dtype}{shape} = {zlib.adler32(array.tobytes()):08x}"


def expect_policy(listener):
    listener.wait_for("state active")
    tensors = conftest.small_tensors()
    for name, array in tensors.items():
        listener.wait_for(line_of(name, {"f": "F32", "i": "I64"}[array.dtype.kind], array))
    assert len([line for line in listener.seen if line.startswith("tensor ")]) == len(tensors)


def test_a_controller_in_cpp_has_the_signed_policy_and_stops_without_its_gate(
    tmp_path, gate, listener
):
    signed = Signed(tmp_path, conftest.small_tensors())
    signed.sign("--robot", "go2", "--replace")
    node = gate(policy=signed.directory, trust=signed.trust)
    controller = listener(signed.trust, "/tensorgate")
    expect_policy(controller)
    assert any(
        line.startswith(f"policy {REPO}@{REVISION} 1 ") and line.endswith("""mlp for 'go2' {"type": "mlp"}""")
        for line in controller.seen
    ), controller.seen
    assert not [line for line in controller.seen if line.startswith("refused")]
    node.stop(signal.SIGKILL)
    controller.wait_for("state stale")
    controller.stop()


def test_a_controller_in_cpp_lets_no_refused_announcement_decide_anything(
    tmp_path, gate, listener, ros
):
    signed = Signed(tmp_path, conftest.small_tensors())
    controller = listener(signed.trust, "/tensorgate")
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    rogue = ros.create_publisher(PolicyManifest, "/tensorgate/manifest", latched)
    ros.wait_for(lambda: rogue.get_subscription_count() > 0, "the match")
    rogue.publish(PolicyManifest(fragment_count=2**32 - 1, fragment_size=2**32 - 1))
    controller.wait_for_refusal("manifest-malformed")
    gate(policy=signed.directory, trust=signed.trust)
    expect_policy(controller)
    (subscribed,) = [line for line in controller.seen if line.startswith("subscribes")]
    assert 0 < int(subscribed.split()[2]) < 100, subscribed
    controller.stop()


def test_a_controller_in_cpp_pulls_what_is_not_latched(tmp_path, gate, listener):
    signed = Signed(tmp_path, conftest.small_tensors())
    gate(policy=signed.directory, trust=signed.trust, fragment_size_kib=64, latch_limit_mib=0)
    controller = listener(signed.trust, "/tensorgate")
    expect_policy(controller)
    pulled = [int(line.split()[1]) for line in controller.seen if line.startswith("pulled")]
    assert sum(pulled) == 43 + 3, controller.seen
    controller.stop()


def test_a_controller_in_cpp_reads_the_gates_pages(tmp_path, gate, listener):
    signed = Signed(tmp_path, conftest.small_tensors())
    socket = tmp_path / "gate.sock"
    node = gate(policy=signed.directory, trust=signed.trust, handoff=socket)
    early = listener(signed.trust, "/tensorgate")
    expect_policy(early)
    # Only the heartbeat comes by a topic: it has the policy before it is on the graph.
    controller = listener(signed.trust, "/tensorgate", tmp_path / "state", socket)
    expect_policy(controller)
    assert "state verified" in controller.seen and "state receiving" not in controller.seen
    early.stop()
    controller.stop()
    assert node.stop() == 0


def test_the_example_of_the_documentation_reads_the_gates_pages(tmp_path, build, gate, listener):
    signed = Signed(tmp_path, conftest.small_tensors())
    socket = tmp_path / "gate.sock"
    gate(policy=signed.directory, trust=signed.trust, handoff=socket)
    expect_policy(listener(signed.trust, "/tensorgate"))
    program = build("example.c", "-std=c11", "-ltensorgate_c")
    lines = run(program, signed.trust, socket, env=environment()).splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(conftest.small_tensors())
    other = subprocess.run([program, signed.trust, tmp_path / "none"], env=environment(), check=False)
    assert other.returncode == 1


def test_a_controller_in_cpp_remembers_the_newest_release(tmp_path, gate, listener):
    signed = Signed(tmp_path, conftest.small_tensors())
    signed.sign("--replace", sequence=2)
    newer = gate(policy=signed.directory, trust=signed.trust)
    before = listener(signed.trust, "/tensorgate", tmp_path / "state")
    before.wait_for("state active")
    before.stop()
    assert newer.stop() == 0
    signed.sign("--replace", sequence=1)
    gate(policy=signed.directory, trust=signed.trust, store=tmp_path / "other")
    after = listener(signed.trust, "/tensorgate", tmp_path / "state")
    after.wait_for_refusal("manifest-rollback")
    assert "state active" not in after.seen
    after.stop()


def test_a_controller_in_cpp_takes_nothing_that_others_signed(tmp_path, gate, listener):
    signed = Signed(tmp_path, conftest.small_tensors())
    conftest.tensorgate("keygen", "--out", tmp_path / "other")
    other = tmp_path / "other.toml"
    other.write_text(signed.trust.read_text().replace("release.pub", "other.pub"))
    gate(policy=signed.directory, trust=signed.trust)
    controller = listener(other, "/tensorgate")
    controller.wait_for_refusal("signature-invalid")
    assert "state active" not in controller.seen
    controller.stop()


def test_what_a_caller_gets_wrong_is_an_error(build, tmp_path):
    program = build("misuse.c", "-std=c11", "-ltensorgate_c")
    signed = Signed(tmp_path, {"a": np.zeros(1, dtype=np.float32)})
    run(program, signed.trust, tmp_path / "none", env=environment())


def test_the_header_is_one_for_c_and_for_cpp(tmp_path):
    header = tmp_path / "tensorgate_client.h"
    run(PROGRAMS / "examples/header", header)
    for language in (["c", "-std=c99"], ["c++", "-std=c++11"]):
        options = [*WARNINGS, "-fsyntax-only", "-x", language[0], language[1]]
        source = tmp_path / f"use.{language[0]}"
        source.write_text('#include "tensorgate_client.h"\n')
        run("cc", *options, source)


def test_everything_that_is_exported_begins_with_our_name():
    table = run("nm", "--dynamic", "--defined-only", "--format=posix", PROGRAMS / "libtensorgate_c.so")
    names = {line.split()[0] for line in table.splitlines()}
    assert "tensorgate_receiver_open" in names
    assert {name for name in names if not name.startswith("tensorgate_")} == set()
