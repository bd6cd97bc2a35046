"""The demo's own scenes, with real programs on real ROS 2, headless and without pictures.

source ros/env.sh && bash ros/setup.sh ensure_sim && pytest examples/walk/tests
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import stage  # noqa: E402

stage.prepare()

from hang_guard import hang_guard, pytest_configure  # noqa: E402, F401 # pytest finds them here
from measure import Walk  # noqa: E402
from story import Story  # noqa: E402


def run(*command, expected=0):
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stderr + done.stdout


@pytest.fixture
def story(tmp_path, monkeypatch):
    """A story that has begun: the robot lies, and release 1 is in force. `over` ends it and measures."""
    monkeypatch.chdir(tmp_path)
    told = Story(tmp_path, run)

    def over():
        told.end()
        (tmp_path / "events.json").write_text(json.dumps(told.operator.events))
        return Walk(tmp_path)

    told.over = over
    try:
        run(sys.executable, stage.ROOT / "examples" / "convert_go2.py", "go2-walk")
        told.publish(1, "go2-walk")
        told.start_gate()
        told.start_robot()
        yield told
    finally:
        told.end()
