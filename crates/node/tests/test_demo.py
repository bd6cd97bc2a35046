"""What the demo shows: a real walking policy, two controllers, four attempts to cheat."""

import subprocess
import sys

import conftest


def test_the_demo_ends_well_and_refuses_each_attempt():
    demo = conftest.ROOT / "examples" / "demo.py"
    done = subprocess.run([sys.executable, demo], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1000 actions: max |Δ| = ") == 2
    for code in ("digest-mismatch", "file-unexpected", "size-mismatch", "format-pickle"):
        assert f"rejected: {code}: " in done.stdout, code
    assert "the damaged one reached none" in done.stdout
