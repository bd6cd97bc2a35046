"""A terminal of the reader: a shell that runs one command after the other, and says how each ended."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import time

# How each question of the command ends.
QUESTION = b"[y/N] "
# The commands come through a descriptor of their own, so that no program reads them as its input.
LOOP = """
trap : INT
while IFS= read -r -d '' -u {commands} line; do
    eval "$line" {commands}<&- {statuses}>&-
    printf '%d\\n' "$?" >&{statuses}
done
"""


class Terminal:
    """Bash with the page's environment; standard output and error go the same way, as on a screen."""

    def __init__(self, environment: dict[str, str], folder: str):
        commands, self.commands = os.pipe()
        self.statuses, statuses = os.pipe()
        self.screen, screen = os.pipe()
        loop = LOOP.format(commands=commands, statuses=statuses)
        self.shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-c", loop],
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            env=environment,
            cwd=folder,
            pass_fds=(commands, statuses),
            start_new_session=True,
            # Whoever runs the tests in the background ignores Ctrl-C, and bash would for ever.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        for end in commands, statuses, screen:
            os.close(end)
        self.bytes = b""
        # How the command ended; None while it runs.
        self.status: int | None = 0
        # Whom Ctrl-C has reached; None where it was not pressed.
        self.reached: set[tuple[int, str]] | None = None
        # For commands that ask: what is typed at each question, and the other end of their terminal.
        self.answers: list[str] = []
        self.master, self.slave = pty.openpty()

    @property
    def printed(self) -> str:
        return self.bytes.decode(errors="replace")

    def type(self, command: str, answers: list[str]) -> None:
        """One command. Where there are answers it has a terminal: it would ask nothing else."""
        assert self.status is not None, "a command is running"
        self.bytes, self.status, self.answers = b"", None, answers
        self.reached = None
        if answers:
            tty = os.ttyname(self.slave)
            command = f"{{ {command}\n}} <{tty} >{tty} 2>&1"
        os.write(self.commands, command.encode() + b"\0")

    def interrupt(self) -> None:
        """Ctrl-C: to all that runs in the foreground, and to what bash starts only then.

        Bash itself ignores it, and goes on with the line, unlike one at which a person types. So
        does a fork of it which is about to become a program, and that would never hear of it.
        """
        self.reached = started(self.shell.pid)
        os.killpg(self.shell.pid, signal.SIGINT)

    def pass_on(self) -> None:
        """To what was started since Ctrl-C was pressed."""
        if self.reached is None:
            return
        for process in started(self.shell.pid) - self.reached:
            self.reached.add(process)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process[0], signal.SIGINT)

    def wait(self, seconds: float, is_enough=lambda printed: False) -> bool:
        """Waits for the command's end, or for enough; returns whether that came in time."""
        end = time.monotonic() + seconds
        while self.status is None and not is_enough(self.printed):
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.read(left if self.reached is None else min(left, 0.1))
            self.pass_on()
        return True

    def read(self, seconds: float) -> None:
        """Reads what there is, or comes within this time."""
        screens = [self.screen, self.master]
        ready, _, _ = select.select([*screens, self.statuses], [], [], seconds)
        if any(screen in ready for screen in screens):
            self.look()
        elif self.statuses in ready:
            # All that the command printed was written before.
            self.look()
            answer = os.read(self.statuses, 16)
            assert answer, "the shell ended"
            self.status, self.reached = int(answer), None

    def look(self) -> None:
        """Takes what is on the screens, and answers the question at its end."""
        screens = [self.screen, self.master]
        while ready := select.select(screens, [], [], 0)[0]:
            self.bytes += os.read(ready[0], 1 << 16).replace(b"\r\n", b"\n")
        if self.answers and self.bytes.endswith(QUESTION):
            os.write(self.master, self.answers.pop(0).encode() + b"\n")

    def close(self) -> None:
        """Ends what runs, and the shell."""
        if self.status is None:
            self.interrupt()
            if not self.wait(30):
                os.killpg(self.shell.pid, signal.SIGKILL)
        os.close(self.commands)
        self.shell.wait(timeout=30)
        for end in self.screen, self.statuses, self.master, self.slave:
            os.close(end)


def started(shell: int) -> set[tuple[int, str]]:
    """What the shell has started, or a subshell: its number, and its program, which exec(2) changes."""
    found = set()
    for entry in os.scandir("/proc"):
        # One that has ended meanwhile is none.
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                parent, group = relatives(entry.name)
                if group == shell and program(parent) == program(shell):
                    found.add((int(entry.name), program(entry.name)))
    return found


def relatives(process: str) -> tuple[int, int]:
    """Parent and group, by proc_pid_stat(5); the name, in brackets, may have any character."""
    with open(f"/proc/{process}/stat") as stat:
        _, parent, group = stat.read().rsplit(")", 1)[1].split()[:3]
    return int(parent), int(group)


def program(process: int | str) -> str:
    return os.readlink(f"/proc/{process}/exe")
