"""A page of the documentation as what a reader does with it, in order.

```console              commands (`$ …`, continued by `> …`) in the terminal "main", and what
                        they print
```console terminal=X   in another terminal; its last command may go on running
```toml file=trust.toml a file that the reader writes
```rust from=PATH       lines of a file in the checkout, which must stand there
<!-- Hub: a/b=DIR … -->  the directory becomes the next commit of a repository on the Hub
<!-- not run: WHY -->    the block that follows is not run

In the block of another terminal, a first line that is no command shows what the program there
prints meanwhile, and `^C` ends it.
"""

import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^( *)(```+)([^`]*)$")
COMMENT = re.compile(r"^<!-- (Hub|not run): (.*?) *-->$")
# Whoever shows commands in one of these escapes the runner.
SHELLS = {"sh", "bash", "shell", "zsh", "shell-session", "terminal"}


@dataclass
class Write:
    """A file that the reader writes."""

    line: int
    path: str
    text: str


@dataclass
class Serve:
    """Directories that become commits of repositories on the Hub."""

    line: int
    commits: list[tuple[str, str]]


@dataclass
class Excerpt:
    """Lines that stand in a file of the checkout."""

    line: int
    path: str
    text: str


@dataclass
class Command:
    """What is typed into a terminal, and the lines that are shown below it."""

    line: int
    terminal: str
    text: str
    shown: list[str] = field(default_factory=list)
    # Where the shown lines begin and end in the page, counted from 0.
    begin: int = 0
    end: int = 0
    # Whether it may go on running: the last one of a block for another terminal.
    stays: bool = False


@dataclass
class NotRun:
    """A block that is not run, its first command, and why."""

    line: int
    command: str
    reason: str


class Malformed(Exception):
    """The page's source breaks a rule of the runner."""


def parse(text: str) -> list:
    """The steps of a page."""
    lines = text.splitlines()
    steps, reason, number = [], None, 0
    while number < len(lines):
        if match := COMMENT.match(lines[number]):
            reason = comment(number, match[1], match[2], steps) or reason
        elif match := FENCE.match(lines[number]):
            end = closing(lines, number, match[2])
            steps += block(lines, number, end, match[3].split(), reason)
            number, reason = end, None
        elif is_indented_command(lines, number):
            raise Malformed(f"line {number + 1}: a command outside a console block")
        elif lines[number].strip() and reason:
            raise Malformed(f"line {number + 1}: `not run` stands right above its block")
        number += 1
    return steps


def comment(number: int, word: str, rest: str, steps: list) -> str | None:
    """Adds what a comment asks for; returns the reason of a `not run`."""
    if word == "not run":
        return rest
    steps.append(Serve(number + 1, [tuple(commit.split("=", 1)) for commit in rest.split()]))
    return None


def closing(lines: list[str], begin: int, fence: str) -> int:
    for number in range(begin + 1, len(lines)):
        if lines[number].strip() == fence:
            return number
    raise Malformed(f"line {begin + 1}: the block does not end")


def is_indented_command(lines: list[str], number: int) -> bool:
    return bool(re.match(r"^ {4,}\$ ", lines[number]))


def block(lines: list[str], begin: int, end: int, info: list[str], reason: str | None) -> list:
    language, options = (info or [""])[0], dict(word.split("=", 1) for word in info[1:])
    if language in SHELLS:
        raise Malformed(f"line {begin + 1}: commands stand in console blocks, not in {language}")
    if reason is not None:
        commands = [line[2:] for line in lines[begin + 1 : end] if line.startswith("$ ")]
        return [NotRun(begin + 1, (commands or [""])[0], reason)]
    if language == "console":
        return console(lines, begin + 1, end, options.get("terminal", "main"))
    body = "".join(f"{line}\n" for line in lines[begin + 1 : end])
    if "from" in options:
        return [Excerpt(begin + 1, options["from"], body)]
    return [Write(begin + 1, options["file"], body)] if "file" in options else []


def console(lines: list[str], begin: int, end: int, terminal: str) -> list[Command]:
    commands, number = [], begin
    while number < end:
        command = Command(number + 1, terminal, "")
        if lines[number].startswith("$ "):
            command.text, number = typed(lines, number, end)
        elif lines[number] == "^C" and terminal != "main":
            command.text, number = "^C", number + 1
        elif commands or terminal == "main":
            raise Malformed(f"line {number + 1}: a console block begins with a command")
        command.begin = number
        while number < end and not lines[number].startswith("$ "):
            number += 1
        command.end, command.shown = number, lines[command.begin : number]
        commands.append(command)
    if commands and terminal != "main":
        commands[-1].stays = commands[-1].text != "^C"
    return commands


def typed(lines: list[str], number: int, end: int) -> tuple[str, int]:
    """A command and the lines that continue it; the number of the line behind."""
    text = [lines[number][2:]]
    while number + 1 < end and (text[-1].endswith("\\") or lines[number + 1].startswith("> ")):
        number += 1
        text.append(lines[number].removeprefix("> "))
    return "\n".join(text), number + 1
