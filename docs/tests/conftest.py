"""The pages are followed as `run.py` follows them."""

import faulthandler
import os

import pytest
from place import REAL_ROS2, own_domain

own_domain.claim()


def pytest_configure(config):
    # Nothing is captured yet.
    config.terminal = os.dup(2)


@pytest.fixture(autouse=True)
def hang_guard(request):
    """A test that hangs says where, and ends the run."""
    faulthandler.dump_traceback_later(600, exit=True, file=request.config.terminal)
    yield
    faulthandler.cancel_dump_traceback_later()


def pytest_terminal_summary(terminalreporter):
    if not REAL_ROS2:
        what = "NOT TRIED: the pages' `ros2 …` lines by ros2cli, which is not on the PATH"
        terminalreporter.write_line(f"{what}; docs/tests/ros2.py did them")
