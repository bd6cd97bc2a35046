"""The story of the demo, scene by scene; the tests play the same scenes."""

import time
from pathlib import Path

import stage

SPEED = 0.6


class Story:
    """All programs of the demo, in the directory `home`, which is the current one."""

    def __init__(self, home: Path, run, say=lambda who: lambda line: None):
        self.home, self.run, self.say, self.programs = home, run, say, []
        self.channel = stage.Channel(home)
        self.publisher = stage.Publisher(home, self.channel, run)
        self.operator, self.gate = None, None

    def publish(self, sequence: int, files: str, served: str | None = None) -> str:
        served = self.home / served if served else None
        return self.publisher.release(self.home / files, sequence, served)

    def start_gate(self) -> None:
        self.gate = self.start(stage.gate, "gate")
        self.gate.wait_for("publishing ")

    def start_robot(self) -> None:
        self.operator = stage.Operator()
        self.simulator = self.start(lambda say: stage.simulator(self.home / "record.npz", say), "simulator")
        self.controller = self.start(stage.controller, "controller")
        self.operator.wait_for("controller", policy="active")

    def start(self, program, who: str) -> stage.Program:
        self.programs.append(program(self.say(who)))
        return self.programs[-1]

    def walk(self) -> None:
        end = time.monotonic() + 30
        while not (answer := self.operator.stand_up())[0]:
            if time.monotonic() > end:
                raise RuntimeError(f"it does not stand up: {answer[1]}")
            time.sleep(0.1)
        self.operator.speed = SPEED
        self.operator.wait_for("controller", mode="walking")

    def keep_walking(self, seconds: float) -> None:
        """By the clock on the wall."""
        time.sleep(seconds)
        if self.operator.now("controller").get("mode") != "walking":
            raise RuntimeError(f"it does not walk: {self.operator.now('controller')}")

    def end(self) -> None:
        for program in reversed(self.programs):
            program.end()
        if self.operator:
            self.operator.end()
        self.channel.end()
