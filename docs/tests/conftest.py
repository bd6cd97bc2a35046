"""The pages are followed as `run.py` follows them."""

from place import REAL_ROS2, own_domain  # which finds ros/

from hang_guard import hang_guard, pytest_configure  # noqa: F401 # pytest finds them here

own_domain.claim()


def pytest_terminal_summary(terminalreporter):
    if not REAL_ROS2:
        what = "NOT TRIED: the pages' `ros2 …` lines by ros2cli, which is not on the PATH"
        terminalreporter.write_line(f"{what}; docs/tests/ros2.py did them")
