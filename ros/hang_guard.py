"""For a conftest.py: a test that hangs says where, and ends the run."""

import faulthandler
import os

import pytest


def pytest_configure(config):
    # Nothing is captured yet.
    config.terminal = os.dup(2)


@pytest.fixture(autouse=True)
def hang_guard(request):
    """A test that hangs says where, and ends the run."""
    faulthandler.dump_traceback_later(600, exit=True, file=request.config.terminal)
    yield
    faulthandler.cancel_dump_traceback_later()
