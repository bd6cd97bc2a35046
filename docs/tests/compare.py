"""What a page shows, beside what was printed.

Everything is literal, with these exceptions:

- a line `…` stands for any lines, or none;
- `3f31…`, four hexadecimal digits or more before the ellipsis, stands for a digest, a key's id or
  a commit; where it stands again on the page, it must be the same one, and no other name is it;
- `…` elsewhere in a line stands for what has no blank in it: a time, a port, a part of a path;
- the home directory is shown as /home/robot;
- empty lines at the end do not count.
"""

import re

HOME = "/home/robot"
ELLIPSIS = "…"
TOKEN = re.compile(r"(?<![0-9a-zA-Z])([0-9a-f]{4,})…|…")
DIGEST = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-f]{40}(?:[0-9a-f]{24})?(?![0-9a-zA-Z])|[0-9a-f]{8}…)")
INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
# What else differs from run to run, for whoever writes a page anew.
VARIES = [
    (re.compile(r"\[\d{10}\.\d{9}\]"), "[…]"),
    (re.compile(r"(?<=127\.0\.0\.1:)\d+"), "…"),
    (re.compile(r"\b\d+\.\d+(?= s\b)"), "…"),
    (re.compile(r"(?<=pid \[)\d+"), "…"),
    (re.compile(r"(?<=\[pid )\d+"), "…"),
    (re.compile(r"(?<=with ID: )[0-9a-f]{32}"), "…"),
    (re.compile(r"(?<=^MCow)\S+$|(?<=SHA256:)\S{43}"), "…"),
]


class Bound:
    """Which digest each `3f31…` of a page is."""

    def __init__(self):
        self.values: dict[str, str] = {}

    def agrees(self, name: str, value: str) -> bool:
        """Whether `value` can be what `name` is, and nothing else is it."""
        if any(is_same(value, known) != (name == other) for other, known in self.values.items()):
            return False
        self.values[name] = max(self.values.get(name, value), value, key=len)
        return True

    def name(self, value: str) -> str:
        """The name of a digest, a new one if it has none."""
        value = value.removesuffix(ELLIPSIS)
        for name, known in self.values.items():
            if is_same(value, known):
                return name + ELLIPSIS
        self.values[value[:8]] = value
        return value[:8] + ELLIPSIS


def is_same(a: str, b: str) -> bool:
    """Programs shorten digests themselves."""
    return a.startswith(b) or b.startswith(a)


def matches(shown: list[str], printed: str, bound: Bound) -> bool:
    """Whether the lines that are shown are what was printed."""
    names: list[str] = []
    pattern = "".join(line_pattern(line, names) for line in shown)
    match = re.fullmatch(pattern.rstrip("\n") + "\n*", printed)
    if not match:
        return False
    before = dict(bound.values)
    pairs = zip(names, match.groups())
    if all(bound.agrees(name, value) for name, value in pairs):
        return True
    bound.values = before
    return False


def line_pattern(line: str, names: list[str]) -> str:
    if line.strip() == ELLIPSIS:
        return r"(?:[^\n]*\n)*?"
    pattern, end = "", 0
    for token in TOKEN.finditer(line):
        pattern += re.escape(line[end : token.start()])
        if token[1]:
            names.append(token[1])
            pattern += "([0-9a-f]{8,64})…?"
        else:
            pattern += r"\S*"
        end = token.end()
    return pattern + re.escape(line[end:]) + "\n"


def elided(printed: str, bound: Bound, page: str) -> list[str]:
    """What was printed, as a page shows it; digests and instants that the page has stay as they are."""

    def digest(match: re.Match) -> str:
        return match[0] if match[0] in page else bound.name(match[0])

    def instant(match: re.Match) -> str:
        return match[0] if match[0] in page else ELLIPSIS

    lines = []
    # Files come in any order, and are held as their file system allows.
    files = r"(?:^  \S+, [\d,]+ bytes(?:, there already)?\n)+"
    printed = re.sub(rf"(?m){files}|^  held  .*\n", f"  {ELLIPSIS}\n", printed)
    for line in printed.splitlines():
        for varies, instead in VARIES:
            line = varies.sub(instead, line)
        lines.append(DIGEST.sub(digest, INSTANT.sub(instant, line)))
    while lines and not lines[-1]:
        lines.pop()
    return lines
