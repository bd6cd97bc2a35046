"""A robot that walks under the gate's policy: what it does when that is attacked, replaced, and lost.

Bounds are in simulated time, which waits for the controller; none depends on how busy the machine is.
"""

import json
import shutil
import signal
import sys
import time
import xml.etree.ElementTree as xml

import numpy as np
import record
import stage
from conftest import run
from measure import GATE
from safetensors.numpy import save_file

# Wider than what was seen in many runs (README.md): a stumble is outside of them.
HEIGHT, TILT, SPEED = (0.23, 0.36), 12, (0.2, 1.0)


def upright(walk, begin, end):
    during = walk.during(begin, end)
    height, speed = walk.height[during], walk.speed[during]
    assert HEIGHT[0] < height.min() and height.max() < HEIGHT[1], (height.min(), height.max())
    assert walk.tilt[during].max() < TILT
    assert SPEED[0] < speed.min() and speed.max() < SPEED[1], (speed.min(), speed.max())


def down(walk):
    """It lies, on its feet, and still."""
    assert walk.height[-1] < 0.13
    assert walk.tilt[-1] < 15
    assert walk.feet[-1].all()
    assert np.abs(walk.qpos[-1] - walk.qpos[-10])[:7].max() < 0.02


def always(walk):
    """No motor beyond its strength; no period of walking and sitting without its own command."""
    assert walk.torque.max() <= 1.0
    assert (walk.silent[walk.during(walk.walking, walk.seated)] == 0).all()


def test_it_walks_on_through_a_tampered_update_and_a_swap_and_sits_down_when_revoked(story, tmp_path):
    story.walk()
    story.keep_walking(4)
    run(sys.executable, stage.WALK / "recalibrate.py", "go2-walk", "go2-walk-2")
    story.publish_tampered(2, "go2-walk-2")
    story.wait_for_refusal("digest-mismatch")
    story.keep_walking(2)
    assert story.operator.now("controller") == {
        "mode": "walking",
        "policy": "active",
        "epoch": "1",
        "release": "1",
    }
    story.publish(2, "go2-walk-2")
    story.wait_for_swap()
    story.keep_walking(4)
    story.call_back(2)
    assert story.operator.stand_up() == (False, "there is no policy to walk with: revoked")
    story.keep_lying(1)
    walk = story.over()

    steady, refused, swapped, revoked = walk.walking + 2, walk.refused, walk.swapped, walk.revoked
    assert steady < refused < swapped < revoked < walk.seated
    upright(walk, steady, revoked)
    assert walk.way[-1] > 0.5 * (revoked - steady) > 4
    # Nothing of the refused update was ever in force.
    gate = [(GATE[e["facts"]["state"]], e["facts"]["epoch"]) for e in walk.events if e["kind"] == "gate"]
    assert gate == [("ready", 1), ("ready", 2), ("revoked", 2)]
    # The release that was swapped in is another: it goes straight, and a little faster.
    assert walk.drift(steady, swapped) > 4 > 2.5 > abs(walk.drift(swapped + 1, revoked))
    assert walk.mean_speed(swapped + 1, revoked) > walk.mean_speed(steady, swapped) + 0.015
    # The first step after the revocation was heard is one of sitting down; none goes limp.
    sitting = walk.when("controller", mode="sitting")
    assert 0 <= sitting - revoked < 0.041
    assert 2.0 < walk.seated - sitting < 2.2
    fall = np.diff(walk.height[walk.during(sitting, walk.time[-1])]).min() / 0.02
    assert fall > -0.65, "it comes down faster than it sits down"
    assert walk.tilt[walk.during(sitting, walk.time[-1])].max() < 30
    down(walk)
    always(walk)
    drawn = tmp_path / "walk.svg"
    record.plot(walk, drawn)
    assert drawn.stat().st_size < 150_000
    text = "".join(xml.parse(drawn).getroot().itertext())
    assert all(word in text for word in ("speed [m/s]", "tampered update:", "revoked:", "walking"))


def test_a_rogue_gate_changes_nothing_and_cannot_stand_in_for_one_that_is_killed(story, tmp_path):
    story.walk()
    # Somebody else's gate, under the same name, with a policy that they signed themselves.
    rogue = tmp_path / "rogue"
    rogue.mkdir()
    run("tensorgate", "keygen", "--out", rogue / "release")
    (rogue / "trust.toml").write_text((tmp_path / "trust.toml").read_text())
    run(sys.executable, stage.WALK / "recalibrate.py", "go2-walk", rogue / "policy")
    what = ["--repo", stage.REPO, "--revision", "1" * 40, "--sequence", 9, "--expires", stage.UNTIL]
    run("tensorgate", "sign", rogue / "policy", "--key", rogue / "release.key.pem", *what)
    mine = stage.ros(policy=rogue / "policy", trust=rogue / "trust.toml", store=rogue / "store")
    gate = story.start("rogue", ["tensorgate_node", *mine])
    gate.wait_for("publishing ")
    refusal = story.controller.wait_for("refused: ")
    assert "signature-invalid" in refusal
    story.keep_walking(3)
    assert story.operator.now("controller") == {
        "mode": "walking",
        "policy": "active",
        "epoch": "1",
        "release": "1",
    }
    assert not any("release 9" in line for line in story.controller.lines)

    story.gate.end(signal.SIGKILL)
    killed = time.monotonic()
    story.operator.wait_for("controller", mode="sitting")
    story.operator.wait_for("controller", mode="lying")
    assert story.operator.stand_up() == (False, "there is no policy to walk with: stale")
    story.keep_lying(1)
    walk = story.over()
    sitting = next(e for e in walk.events if e["kind"] == "controller" and e["facts"]["mode"] == "sitting")
    print(f"\nsat down {sitting['wall'] - killed:.2f} s after the gate was killed; its lease was 2 s")
    # 5 s are the longest lease that a controller takes.
    assert sitting["wall"] - killed < 5 + 1
    upright(walk, walk.walking + 2, sitting["time"])
    down(walk)
    always(walk)


def decide(home, layers):
    """The publisher agrees to such a network: what was decided is for the values that were seen."""
    text = json.dumps(layers, separators=(",", ":"))
    (home / "decisions.toml").write_text(stage.DECISIONS.replace("[45,512,256,128,12]", text))


def test_what_is_signed_but_not_for_this_robot_or_no_number_makes_it_sit_down(story, tmp_path):
    story.walk()
    story.keep_walking(2)
    other, layers = tmp_path / "other", [10, 4]
    shutil.copytree(tmp_path / "go2-walk", other)
    (other / "config.json").write_text(json.dumps({"type": "mlp", "activation": "elu", "layers": layers}))
    tensors = {"actor.0.weight": np.ones((4, 10), np.float32), "actor.0.bias": np.ones(4, np.float32)}
    save_file(tensors, other / "model.safetensors")
    decide(tmp_path, layers)
    story.publish(2, "other")
    story.operator.wait_for("controller", mode="lying", policy="active", release="2")
    story.controller.wait_for("release 2 has 10 inputs and 4 outputs")
    assert story.operator.stand_up() == (False, "the policy in force is not for this robot")
    # Every weight is finite, and what they compute is not: it is infinity, for each joint, whatever is felt.
    endless = tmp_path / "endless"
    shutil.copytree(tmp_path / "go2-walk", endless)
    layers = [45, 1, 12]
    (endless / "config.json").write_text(json.dumps({"type": "mlp", "activation": "elu", "layers": layers}))
    tensors = {"actor.0.weight": np.zeros((1, 45), np.float32), "actor.0.bias": np.full(1, 10, np.float32)}
    tensors |= {"actor.2.weight": np.full((12, 1), 3e38, np.float32), "actor.2.bias": np.zeros(12, np.float32)}
    save_file(tensors, endless / "model.safetensors")
    decide(tmp_path, layers)
    story.publish(3, "endless")
    story.operator.wait_for("controller", policy="active", release="3")
    story.walk(until="sitting")
    story.controller.wait_for("the policy decided what is no number")
    story.operator.wait_for("controller", mode="lying")
    story.keep_lying(1)
    down(story.over())


def test_without_sensors_it_damps_and_stays_down(story):
    story.walk()
    story.keep_walking(2)
    story.simulator.process.send_signal(signal.SIGSTOP)
    try:
        story.controller.wait_for("no sensors: the motors damp")
    finally:
        story.simulator.process.send_signal(signal.SIGCONT)
    story.operator.wait_for("controller", mode="lying")
    story.keep_lying(2)
    assert story.operator.now("controller")["policy"] == "active"
    assert story.over().height[-1] < 0.13


def test_without_a_controller_the_motors_hold_for_a_moment_and_damp(story):
    story.walk()
    story.keep_walking(2)
    story.controller.end(signal.SIGKILL)
    begun = story.operator.clock
    story.operator.wait(lambda: story.operator.clock > begun + 2, "the end of it")
    walk = story.over()
    assert walk.silent[-1] > 50 and walk.height[-1] < 0.15
    assert walk.torque.max() <= 1.0
