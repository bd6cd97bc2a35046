#!/usr/bin/env python3
"""Follows the pages of the documentation literally, and compares what they show with what is printed.

    python docs/tests/run.py [--update] [PAGE …]

`make test` does the same through pytest. With --update the output that does not agree is written
into the pages: look at the difference before you commit it. Needs the ROS environment and the
programs in target/debug.
"""

import argparse
import difflib
import os
import re
import sys
import tempfile
from pathlib import Path

from compare import HOME, Bound, elided, matches
from page import Command, Excerpt, NotRun, Serve, Write, parse
from place import ROOT, Place, own_domain
from terminal import Terminal

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("*/*.md"))]
# Against hanging; nothing is measured.
PATIENCE = 120


class Differs(Exception):
    """The page does not show what happens."""


class Follower:
    """Does what a page says, one step after the other."""

    def __init__(self, page: Path, folder: Path, update: bool = False):
        self.page, self.update = page, update
        self.place = Place(folder)
        self.terminals: dict[str, Terminal] = {}
        self.bound = Bound()
        self.corrections: list[tuple[int, int, list[str]]] = []

    def follow(self) -> None:
        try:
            for step in parse(self.page.read_text()):
                self.do(step)
        finally:
            for terminal in self.terminals.values():
                terminal.close()
            self.place.close()
        self.correct()

    def do(self, step) -> None:
        match step:
            case Serve(_, commits):
                self.place.serve(commits)
            case Write(_, path, text):
                goal = self.place.home / path
                goal.parent.mkdir(parents=True, exist_ok=True)
                goal.write_text(text)
            case Command():
                self.run(step)
            case Excerpt(line, path, text):
                if text not in (ROOT / path).read_text():
                    raise Differs(f"{self.page.relative_to(ROOT)}:{line}: {path} has other lines")
            case NotRun():
                pass

    def run(self, step: Command) -> None:
        terminal = self.terminal(step.terminal)
        if step.text == "^C":
            terminal.interrupt()
        elif step.text:
            self.await_end(step, terminal)
            terminal.type(step.text, answers(step))
        if step.stays:
            patience = 10 if self.update else PATIENCE
            terminal.wait(patience, lambda _: self.agrees(step, terminal))
        else:
            self.await_end(step, terminal)
        self.judge(step, terminal)

    def terminal(self, name: str) -> Terminal:
        if name not in self.terminals:
            self.terminals[name] = Terminal(self.place.environment, str(self.place.home))
        return self.terminals[name]

    def await_end(self, step: Command, terminal: Terminal) -> None:
        if not terminal.wait(PATIENCE):
            raise Differs(self.told(step, terminal, "it does not end"))

    def agrees(self, step: Command, terminal: Terminal) -> bool:
        return matches(step.shown, self.printed(terminal), self.bound)

    def printed(self, terminal: Terminal) -> str:
        """Whole lines, but for the last one of a command that ended."""
        text = terminal.printed.replace(str(self.place.home), HOME)
        if terminal.status is None or not text or text.endswith("\n"):
            return text[: text.rfind("\n") + 1]
        return text + "\n"

    def judge(self, step: Command, terminal: Terminal) -> None:
        if self.agrees(step, terminal):
            if terminal.status is not None and terminal.status not in expected(step):
                raise Differs(self.told(step, terminal, f"it ended with {terminal.status}"))
        elif self.update:
            shown = elided(self.printed(terminal), self.bound, self.page.read_text())
            self.corrections.append((step.begin, step.end, shown))
        else:
            raise Differs(self.told(step, terminal, "it prints something else"))
        # What was shown is not shown again by the next block of this terminal.
        terminal.bytes = b""

    def told(self, step: Command, terminal: Terminal, what: str) -> str:
        printed = self.printed(terminal).splitlines()
        difference = difflib.unified_diff(step.shown, printed, "shown", "printed", lineterm="")
        place = f"{self.page.relative_to(ROOT)}:{step.line}"
        return "\n".join([f"{place}: {what}", f"$ {step.text}", *difference])

    def correct(self) -> None:
        """Writes the page anew, from its end, so that line numbers stay right."""
        lines = self.page.read_text().splitlines()
        for begin, end, shown in reversed(self.corrections):
            lines[begin:end] = shown
        if self.corrections:
            self.page.write_text("\n".join(lines) + "\n")


def answers(step: Command) -> list[str]:
    """What the page shows behind each question."""
    questions = (re.search(r"\[y/N\] (\S+)$", line) for line in step.shown)
    return [match[1] for match in questions if match]


def expected(step: Command) -> set[int]:
    """The exit statuses that go with what is shown: a command that fails says so."""
    if step.text == "^C":
        return {0, 130}
    for line in step.shown:
        if line.startswith("rejected: "):
            return {1}
        if line.startswith("error: "):
            return {2}
    return {0}


def follow(page: Path, update: bool = False) -> None:
    # A trust policy that a group may write is refused, with reason.
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="docs-", dir=ROOT / "target") as folder:
        Follower(page, Path(folder), update).follow()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--update", action="store_true", help="write what differs into the pages")
    parser.add_argument("pages", nargs="*", type=Path, default=PAGES, metavar="PAGE")
    args = parser.parse_args()
    own_domain.claim()
    for page in args.pages:
        try:
            follow(page.resolve(), args.update)
        except Differs as error:
            print(error)
            return 1
        print(f"{page}: as shown")
    return 0


if __name__ == "__main__":
    sys.exit(main())
