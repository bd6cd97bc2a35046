"""An operator who calls a service, as a program: NAME, TYPE of tensorgate_msgs, and fields in JSON.
Prints the answer in JSON, and when it came. It asks again every few seconds, as `ask` in conftest.py does."""

import json
import sys
import time

import rclpy
from tensorgate_msgs import srv


def main():
    name, kind, fields = sys.argv[1:]
    kind = getattr(srv, kind)
    rclpy.init()
    node = rclpy.create_node("operator")
    client = node.create_client(kind, name)
    asked = []
    while not (answered := [future for _, future in asked if future.done()]):
        rclpy.spin_once(node, timeout_sec=0.05)
        if client.service_is_ready() and (not asked or time.monotonic() > asked[-1][0] + 3):
            asked.append((time.monotonic(), client.call_async(kind.Request(**json.loads(fields)))))
    at, answer = time.monotonic(), answered[0].result()
    fields = {name: getattr(answer, name) for name in answer.get_fields_and_field_types()}
    fields["at"] = at
    print(json.dumps({name: value for name, value in fields.items() if not isinstance(value, list)}))


if __name__ == "__main__":
    main()
