"""What happened in a run: the simulator's record, and what was heard on the topics, in one time.

Events carry the machine's steady clock, as each row of the record does; that puts them into the
simulated time. Angles in degrees here, which people read.
"""

import json
from pathlib import Path

import numpy as np

GATE = {1: "no policy", 2: "loading", 3: "ready", 4: "rejected", 5: "failed", 6: "withdrawn", 7: "revoked"}


class Walk:
    """A run that is over."""

    def __init__(self, home: Path):
        record = dict(np.load(home / "record.npz"))
        self.events = json.loads((home / "events.json").read_text())
        self.time, self.wall, self.qpos = record["time"], record["wall"], record["qpos"]
        self.torque, self.silent, self.feet = record["torque"], record["silent"], record["feet"]
        w, x, y, z = self.qpos[:, 3:7].T
        self.height = self.qpos[:, 2]
        self.tilt = np.degrees(np.arccos(np.clip(1 - 2 * (x * x + y * y), -1, 1)))
        heading = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        self.heading = np.degrees(np.unwrap(heading))
        velocity = record["qvel"]
        self.speed = np.cos(heading) * velocity[:, 0] + np.sin(heading) * velocity[:, 1]
        self.way = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(self.qpos[:, :2], axis=0).T))])
        for event in self.events:
            heard = float(np.interp(event["wall"], self.wall, self.time))
            event["time"] = heard if event["simulated"] is None else event["simulated"]

    def when(self, kind: str, **facts) -> float:
        """The first instant at which all of this was so."""
        return next(e["time"] for e in self.events if e["kind"] == kind and facts.items() <= e["facts"].items())

    def at(self, time: float, kind: str) -> dict:
        """What had been heard by then."""
        heard = [e["facts"] for e in self.events if e["kind"] == kind and e["time"] <= time + 1e-9]
        return heard[-1] if heard else {}

    def spans(self, kind: str, fact: str) -> list[tuple[float, float, str]]:
        """(from, to, value) of something that was told, joined where it did not change."""
        spans = []
        for event in (e for e in self.events if e["kind"] == kind):
            value = event["facts"][fact]
            if not spans or spans[-1][2] != value:
                spans.append((event["time"], None, value))
        ends = [span[0] for span in spans[1:]] + [float(self.time[-1])]
        return [(begin, end, value) for (begin, _, value), end in zip(spans, ends)]

    def during(self, begin: float, end: float) -> np.ndarray:
        return (self.time > begin) & (self.time <= end)

    def mean_speed(self, begin: float, end: float) -> float:
        return float(self.speed[self.during(begin, end)].mean())

    def drift(self, begin: float, end: float) -> float:
        """Degrees a second to the left."""
        return float(np.interp(end, self.time, self.heading) - np.interp(begin, self.time, self.heading)) / (
            end - begin
        )

    @property
    def walking(self) -> float:
        return self.when("controller", mode="walking")

    @property
    def refused(self) -> float:
        return self.when("scene", what="refused")

    @property
    def swapped(self) -> float:
        return self.when("controller", release="2")

    @property
    def revoked(self) -> float:
        return self.when("controller", policy="revoked")

    @property
    def seated(self) -> float:
        """Lying again, after it walked."""
        return next(
            b for b, _, mode in self.spans("controller", "mode") if mode == "lying" and b > self.walking
        )


def summary(walk: Walk) -> list[str]:
    """The figures of the demo, for people."""
    steady, swap, sat = walk.walking + 2, walk.swapped, walk.revoked
    around = walk.during(swap - 0.5, swap + 1.5)
    moving = walk.during(steady, sat)
    gap = np.diff(walk.wall[walk.during(walk.walking, walk.seated)]).max()
    told = [e["wall"] for e in walk.events if e["kind"] == "gate" and GATE[e["facts"]["state"]] == "revoked"]
    heard = [e["wall"] for e in walk.events if e["kind"] == "controller" and e["facts"]["mode"] == "sitting"]
    return [
        f"walked {walk.way[-1]:.1f} m; release 1 at {walk.mean_speed(steady, swap):.2f} m/s, release 2 at"
        f" {walk.mean_speed(swap + 1, sat):.2f} m/s; 0.60 m/s were commanded",
        f"release 1 drifts {walk.drift(steady, swap):+.1f}° a second, release 2 {walk.drift(swap + 1, sat):+.1f}°",
        f"the swap, from 0.5 s before to 1.5 s after: body {100 * walk.height[around].min():.1f} to"
        f" {100 * walk.height[around].max():.1f} cm high, tilt at most {walk.tilt[around].max():.1f}°,"
        f" speed {walk.speed[around].min():.2f} to {walk.speed[around].max():.2f} m/s",
        f"all the way before and after: {100 * walk.height[moving].min():.1f} to"
        f" {100 * walk.height[moving].max():.1f} cm, {walk.tilt[moving].max():.1f}°,"
        f" {walk.speed[moving].min():.2f} to {walk.speed[moving].max():.2f} m/s",
        f"periods without a command of the controller: {int(np.sum(walk.silent[walk.during(walk.walking, walk.seated)] > 0))};"
        f" the longest took {1000 * gap:.0f} ms of the clock on the wall",
        f"from the gate's word that the release is revoked to the first step of sitting down: {1000 * (heard[0] - told[0]):+.0f} ms"
        f" as heard here; seated {walk.seated - walk.revoked:.2f} s later, on {int(walk.feet[-1].sum())} feet,"
        f" tilt at most {walk.tilt[walk.during(sat, walk.time[-1])].max():.0f}° on the way",
        f"largest torque: {100 * walk.torque.max():.0f} % of what the motor can",
    ]
