"""A terminal of the reader: a shell that runs one command after the other, and says how each ended."""

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
        if answers:
            tty = os.ttyname(self.slave)
            command = f"{{ {command}\n}} <{tty} >{tty} 2>&1"
        os.write(self.commands, command.encode() + b"\0")

    def interrupt(self) -> None:
        """Ctrl-C: to all that runs in the foreground."""
        os.killpg(self.shell.pid, signal.SIGINT)

    def wait(self, seconds: float, is_enough=lambda printed: False) -> bool:
        """Waits for the command's end, or for enough; returns whether that came in time."""
        end = time.monotonic() + seconds
        while self.status is None and not is_enough(self.printed):
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.read(left)
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
            self.status = int(answer)

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
