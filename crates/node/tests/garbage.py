"""Somebody on the network who sends garbage, as a program: thousands of messages a second on a gate's
topics, and requests to its services. Says each second how many those were.

    garbage.py GATE [--services]
"""

import array
import random
import sys
import time

import rclpy
import rclpy.qos as qos
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import Parameter, ParameterValue
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.serialization import serialize_message
from subscriber import LATCHED
from tensorgate_msgs.msg import PolicyFile, PolicyManifest, PolicyStatus, TensorFragment, TensorSpec
from tensorgate_msgs.srv import GetFragments, LoadPolicy, RevokePolicy

RANDOM = random.Random(11)
TEXTS = ["", "\x00", "a\x00b", "\x1b[2J", "‮gpj.exe", "../../etc/passwd", "/", "{", "💣", "x" * (1 << 20)]
NUMBERS = [0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1]
REALS = [float("nan"), float("inf"), -float("inf"), -0.0, 1e308]


def number(bits):
    return RANDOM.choice([RANDOM.getrandbits(bits), *NUMBERS]) & (2**bits - 1)


def blob(most=4096):
    return array.array("B", RANDOM.randbytes(RANDOM.randrange(most)))


def text():
    return RANDOM.choice(TEXTS[:-1])


def announced():
    return {"session_id": array.array("B", RANDOM.randbytes(16)), "epoch": number(64)}


def status():
    digest = array.array("B", RANDOM.randbytes(32))
    numbers = {"sequence": number(64), "state": number(8), "reason": number(8)}
    message = PolicyStatus(**announced(), **numbers, manifest_digest=digest)
    message.lease.sec, message.lease.nanosec = number(31), number(32)
    return message


def manifest():
    files = [PolicyFile(path=text(), data=blob()) for _ in range(RANDOM.randrange(4))]
    tensors = [TensorSpec(name=text(), file=text()) for _ in range(RANDOM.randrange(4))]
    sizes = {"fragment_size": number(32), "fragment_count": number(32), "weights_size": number(64)}
    table = {"fragment_digests": blob(), "envelope": blob(), "delivery": number(8)}
    texts = {"repo_id": text(), "revision": text(), "policy_type": text()}
    return PolicyManifest(**announced(), files=files, tensors=tensors, **sizes, **table, **texts)


def fragment():
    numbers = {"fragment_index": number(32), "fragment_count": number(32), "tensor_index": number(32)}
    shape = array.array("q", [number(63) for _ in range(RANDOM.randrange(5))])
    return TensorFragment(**announced(), **numbers, shape=shape, data=blob(1 << 16))


def spoilt(message):
    """Its bytes as they go over the line, cut off or with other bytes among them."""
    data = bytearray(serialize_message(message))
    for _ in range(RANDOM.randrange(1, 8)):
        data[RANDOM.randrange(4, len(data))] = RANDOM.randrange(256)
    return bytes(data[: RANDOM.choice([len(data), RANDOM.randrange(4, len(data))])])


def parameters():
    values = [
        ParameterValue(type=3, double_value=RANDOM.choice(REALS)),
        ParameterValue(type=4, string_value=RANDOM.choice(TEXTS)),
        ParameterValue(type=9, string_array_value=[text()] * 100),
        ParameterValue(type=number(8)),
    ]
    names = ["lease_ms", "policy", "update_interval_s", "trust", text(), "x" * 10_000]
    return [Parameter(name=RANDOM.choice(names), value=value) for value in values]


def requests():
    """None of them, well understood, changes what is in force."""
    yield "get_parameters", GetParameters, GetParameters.Request(names=[text()] * 1000)
    yield "describe_parameters", DescribeParameters, DescribeParameters.Request(names=TEXTS)
    yield "set_parameters", SetParameters, SetParameters.Request(parameters=parameters())
    names = {"policy": RANDOM.choice(TEXTS), "repo_id": text(), "revision": text()}
    yield "load_policy", LoadPolicy, LoadPolicy.Request(**names)
    yield "revoke", RevokePolicy, RevokePolicy.Request(epoch=2**63 + number(62), reason=RANDOM.choice(TEXTS))
    wanted = {"first": number(32), "count": number(32)}
    yield "get_fragments", GetFragments, GetFragments.Request(**announced(), **wanted)


def main():
    gate, *services = sys.argv[1:]
    rclpy.init()
    node = rclpy.create_node("garbage")
    latched = qos.QoSProfile(depth=10, **LATCHED)
    topics = [
        (status, node.create_publisher(PolicyStatus, f"{gate}/status", 10)),
        (manifest, node.create_publisher(PolicyManifest, f"{gate}/manifest", latched)),
        (fragment, node.create_publisher(TensorFragment, f"{gate}/fragments", latched)),
    ]
    diagnostics = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
    clients = {name: node.create_client(kind, f"{gate}/{name}") for name, kind, _ in requests()}
    sent = told = 0
    since = time.monotonic()
    while True:
        for make, publisher in topics:
            for _ in range(20 if make is status else 2):
                message = make()
                publisher.publish(spoilt(message) if RANDOM.random() < 0.5 else message)
                sent += 1
        diagnostics.publish(spoilt(DiagnosticArray()))
        for name, _, request in requests() if services else ():
            clients[name].call_async(request)
            sent += 1
        rclpy.spin_once(node, timeout_sec=0)
        if time.monotonic() > since + 1:
            print((sent - told) / (time.monotonic() - since), flush=True)
            since, told = time.monotonic(), sent


if __name__ == "__main__":
    main()
