"""What the demo shows: a real walking policy, two controllers, attempts to cheat, a recall."""

import subprocess
import sys

import conftest


def test_the_demo_ends_well_and_refuses_each_attempt():
    demo = conftest.ROOT / "examples" / "demo.py"
    done = subprocess.run([sys.executable, demo], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1000 actions: max |Δ| = ") == 2
    codes = ("digest-mismatch", "file-unexpected", "size-mismatch", "format-pickle")
    for code in (*codes, "config-names-code", "manifest-revoked"):
        assert f"rejected: {code}: " in done.stdout, code
    assert "the damaged one reached none" in done.stdout
