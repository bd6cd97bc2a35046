#!/usr/bin/env python3
"""A robot that walks under the gate's policy, in front of your eyes: `make demo-walk`.

A walking policy goes onto a Hub on loopback, is fetched, judged and signed. The gate follows the Hub and
publishes what it has proven; a controller proves it again and walks a Unitree Go2, in MuJoCo. While it
walks, a tampered update is refused, a genuine one takes over, and a release is called back.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import stage

stage.prepare()

from measure import Walk, summary  # noqa: E402
from story import SPEED, Story  # noqa: E402

OUT = stage.ROOT / "target" / "demo-walk"


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="demo-walk-", dir=stage.ROOT / "target") as directory:
        home = Path(directory)
        os.chdir(home)
        with scene("A key that signs, and a trust policy that says whose signatures count"):
            story = Story(home, run, listener)
        try:
            play(story)
        finally:
            story.end()
        (home / "events.json").write_text(json.dumps(story.operator.events))
        report(home)
        os.chdir(stage.ROOT)
    return 0


def play(story: Story) -> None:
    with scene("A walking policy for the Unitree Go2 goes onto a Hub; it is fetched, judged and signed"):
        run(sys.executable, stage.ROOT / "examples" / "convert_go2.py", "go2-walk")
        story.publish(1, "go2-walk")
    with scene("The gate follows the Hub, proves the release, and publishes it"):
        story.start_gate()
    with scene("Robot and controller: two ROS nodes. The controller verifies again"):
        story.start_robot()
    with scene(f"It stands up, and walks: {SPEED} m/s are commanded"):
        story.walk()
        story.keep_walking(5)
    with scene("A tampered update appears on the Hub: it is refused, and the robot walks on"):
        run(sys.executable, stage.WALK / "recalibrate.py", "go2-walk", "go2-walk-2")
        story.spoil("go2-walk-2", "tampered")
        print("    (what is signed is release 2; what the Hub serves for it differs in one bit of one weight)")
        story.publish(2, "go2-walk-2", served="tampered")
        story.wait_for_refusal("digest-mismatch")
        story.keep_walking(2)
    with scene("The genuine update: looked at, signed, and swapped in while it walks"):
        run("tensorgate", "diff", "go2-walk", "go2-walk-2", expected=None)
        story.publish(2, "go2-walk-2")
        story.wait_for_swap()
        story.keep_walking(5)
    with scene("The release is called back: the robot sits down"):
        story.call_back(2)
    with scene("And it stays down: whoever asks it to stand up is told why not"):
        done, why = story.operator.stand_up()
        story.keep_lying(1)
        print(f"    stand_up: success {done}, {why!r}")


def report(home: Path) -> None:
    with scene("What was measured"):
        for line in summary(Walk(home)):
            print(f"    {line}")
    with scene("Pictures"):
        shutil.copy(home / "record.npz", OUT)
        shutil.copy(home / "events.json", OUT)
        run(sys.executable, stage.WALK / "record.py", "plot", OUT, OUT / "walk.svg")
        film()


def film() -> None:
    """With the first OpenGL that there is; MUJOCO_GL, if set, is the only one tried."""
    print("    drawing the animation, half a minute where a processor draws it ...", flush=True)
    ways = [os.environ["MUJOCO_GL"]] if "MUJOCO_GL" in os.environ else ["egl", "glfw", "osmesa"]
    for way in ways:
        command = [sys.executable, stage.WALK / "record.py", "film", OUT, OUT / "walk.webp"]
        environment = {**os.environ, "MUJOCO_GL": way}
        done = subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            print(f"  $ MUJOCO_GL={way} {stage.words(command, OUT)}\n{indent(done.stdout)}", flush=True)
            return
    (OUT / "walk.webp").unlink(missing_ok=True)
    print(f"    no OpenGL here (tried {', '.join(ways)}), so there is no animation; the plot shows all of it")


def run(*command, expected: int | None = 0) -> str:
    """Shows and runs a command; returns all that it said."""
    print(f"  $ {stage.words(command, Path.cwd())}", flush=True)
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True, check=False)
    print(indent(done.stderr + done.stdout), flush=True)
    if expected is not None and done.returncode != expected:
        sys.exit(f"exit status {done.returncode}, expected {expected}")
    return done.stderr + done.stdout


def indent(text: str) -> str:
    shown = text.replace(f"{os.getcwd()}/", "").replace(f"{stage.ROOT}/", "")
    return "\n".join(f"    {line}" for line in shown.rstrip().splitlines())


def listener(who: str, command):
    """Shows how a program is started, and what it says. The middleware's own stamps are left out, and
    what the controller says twice."""
    print(f"  $ {stage.words(command, Path.cwd())}", flush=True)

    def say(line: str) -> None:
        plain = re.sub(r"^\[(\w+)\] \[[\d.]+\] \[[\w.]+\]: ", "", line)
        if who != "controller" or plain == line:
            print(f"    {who}: {plain}", flush=True)

    return say


@contextmanager
def scene(title: str):
    print(f"\n== {title}", flush=True)
    yield


if __name__ == "__main__":
    sys.exit(main())
