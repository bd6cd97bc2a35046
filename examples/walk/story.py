"""The story of the demo, scene by scene; the tests play the same scenes.

Waiting is for what was heard on the topics, or said in a log, and `keep_walking` counts the robot's own
time: no scene depends on how busy the machine is.
"""

import time
from pathlib import Path

import stage

SPEED = 0.6


class Story:
    """All programs of the demo, in the directory `home`, which is the current one. `run` runs a
    command to its end; `listen(who, command)` gives what a program's lines are said to."""

    def __init__(self, home: Path, run, listen=lambda who, command: lambda line: None):
        self.home, self.listen, self.programs = home, listen, []
        self.channel = stage.Channel(home)
        self.publisher = stage.Publisher(home, self.channel, run)
        self.gate = self.simulator = self.controller = self.operator = None

    def publish(self, sequence: int, files: str, served: str | None = None) -> None:
        self.publisher.release(self.home / files, sequence, self.home / served if served else None)

    def start_gate(self) -> None:
        self.gate = self.start("gate", stage.GATE)
        self.gate.wait_for("publishing ")

    def start_robot(self) -> None:
        self.operator = stage.Operator()
        self.simulator = self.start("simulator", stage.simulator(self.home / "record.npz"))
        self.controller = self.start("controller", stage.CONTROLLER)
        self.operator.wait_for("controller", policy="active", epoch="1")

    def start(self, who: str, command) -> stage.Program:
        self.programs.append(stage.Program(*command, say=self.listen(who, command)))
        return self.programs[-1]

    def walk(self) -> None:
        """Asked again for as long as there is a reason not to: it may feel nothing yet."""
        end = time.monotonic() + 60
        while not (answer := self.operator.stand_up())[0]:
            if time.monotonic() > end:
                raise RuntimeError(f"it does not stand up: {answer[1]}")
            time.sleep(0.1)
        self.operator.speed = SPEED
        self.operator.wait_for("controller", mode="walking")

    def keep_walking(self, seconds: float) -> None:
        begun = self.operator.clock
        self.operator.wait(lambda: self.operator.clock > begun + seconds, f"{seconds} s of walking")
        if self.operator.now("controller").get("mode") != "walking":
            raise RuntimeError(f"it does not walk: {self.operator.now('controller')}")

    def keep_lying(self, seconds: float) -> None:
        begun = self.operator.clock
        self.operator.wait(lambda: self.operator.clock > begun + seconds, f"{seconds} s of lying")
        if self.operator.now("controller").get("mode") != "lying":
            raise RuntimeError(f"it does not lie: {self.operator.now('controller')}")

    def spoil(self, files: str, to: str) -> None:
        stage.tampered(self.home / files, self.home / to)

    def wait_for_refusal(self, code: str) -> None:
        self.gate.wait_for(f"the channel: refused: rejected: {code}")
        self.operator.record("scene", None, what="refused", code=code)

    def wait_for_swap(self) -> None:
        self.operator.wait_for("controller", release="2", epoch="2")

    def call_back(self, sequence: int) -> None:
        self.publisher.call_back(sequence, "falls on stairs")
        self.operator.wait_for("controller", policy="revoked")
        self.operator.wait_for("controller", mode="lying")

    def end(self) -> None:
        for program in reversed(self.programs):
            program.end()
        if self.operator:
            self.operator.end()
        self.channel.end()
