"""Runs peers in turns and takes the medians."""

import dataclasses
import os
import statistics
import subprocess
import tempfile
import time

# Against hanging; what is measured takes seconds.
TIMEOUT = 120


@dataclasses.dataclass(frozen=True)
class Peer:
    """One line of a table: who does it, and what is proven when it is done."""

    name: str
    proof: str
    ours: bool = False


@dataclasses.dataclass
class Result:
    """What the runs of a peer took, or why there are none."""

    peer: Peer
    seconds: list = dataclasses.field(default_factory=list)
    absent: str = ""

    @property
    def median(self):
        return statistics.median(self.seconds)


class Process:
    """A command: the whole of a process, from its start to its end."""

    def __init__(self, *command, **variables):
        self.command = [str(word) for word in command]
        self.variables = variables

    def run(self):
        environment = {**os.environ, **self.variables}
        start = time.perf_counter()
        done = subprocess.run(
            self.command, env=environment, capture_output=True, text=True, timeout=TIMEOUT
        )
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            raise Absent(last_line(done.stderr) or last_line(done.stdout))
        return seconds

    def close(self):
        pass


class Worker:
    """A process that stays, and measures inside itself what it is told to do."""

    def __init__(self, *command, **variables):
        self.command = [str(word) for word in command]
        self.variables = variables
        self.process = None
        # A pipe that nobody reads would hold it up.
        self.words = tempfile.TemporaryFile("w+")

    def way(self, name):
        return Way(self, name)

    def ask(self, name):
        if self.process is None:
            self.process = subprocess.Popen(
                self.command,
                env={**os.environ, **self.variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.words,
                text=True,
            )
        try:
            print(name, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            self.words.seek(0)
            raise Absent(last_line(self.words.read()) or "it ended without a word")
        return float(answer)

    def close(self):
        if self.process is not None:
            self.process.communicate()
            self.process = None


@dataclasses.dataclass(frozen=True)
class Way:
    """One thing that a worker can do."""

    worker: Worker
    name: str

    def run(self):
        return self.worker.ask(self.name)

    def close(self):
        self.worker.close()


class Absent(Exception):
    """The peer is not there, or does not do it; says why."""


def last_line(text):
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def in_turns(runners, rounds, before=lambda: None):
    """Runs each of `{peer: runner}` once in each round, so that noise meets all of them alike.

    A round that does not count comes first. `before` is called before each run.
    """
    results = {peer: Result(peer) for peer in runners}
    for count in range(rounds + 1):
        for peer, runner in runners.items():
            result = results[peer]
            if result.absent:
                continue
            before()
            try:
                seconds = runner.run()
            except FileNotFoundError:
                result.absent = "not installed"
                continue
            except (Absent, OSError, subprocess.SubprocessError) as error:
                result.absent = str(error)
                continue
            if count > 0:
                result.seconds.append(seconds)
    for runner in runners.values():
        runner.close()
    return list(results.values())


def forget(path):
    """Drops the pages of a file, which must be on the disk, from the page cache."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
