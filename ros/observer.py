"""A node of rclpy for tests, which looks at a gate from outside and is spun while they wait."""

import contextlib
import time

import rclpy


@contextlib.contextmanager
def observer():
    """The node, with `wait_for`, `spin_for` and `ask`; ROS ends with it."""
    rclpy.init()
    node = rclpy.create_node("observer")

    def wait_for(condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited {seconds} s for {what}"
            rclpy.spin_once(node, timeout_sec=0.05)

    def spin_for(seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.05)

    def ask(kind, service, request, what="an answer"):
        """The answer of a service, asked again every few seconds: a server that has not yet found
        the reader of its answers gives up on it within 100 ms (rmw_fastrtps, `rmw_send_response`),
        and `service_is_ready` knows the client's side alone."""
        client = node.create_client(kind, service)
        wait_for(client.service_is_ready, f"the service {service}")
        asked = []

        def answered():
            if not asked or time.monotonic() > asked[-1][0] + 3:
                asked.append((time.monotonic(), client.call_async(request)))
            return [future for _, future in asked if future.done()]

        wait_for(answered, f"{what} of {service}")
        return answered()[0].result()

    node.wait_for, node.spin_for, node.ask = wait_for, spin_for, ask
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
