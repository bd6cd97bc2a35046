"""What was aimed for, beside what came out. Never a test: another machine, another answer."""

import dataclasses

OURS = "tensorgate: open, all tensors"
PARSE = "tensorgate Header::parse"


@dataclasses.dataclass(frozen=True)
class Target:
    """At least (`≥`) or at most (`≤`) so much of something."""

    what: str
    sign: str
    bound: float
    unit: str
    # None where it was not measured.
    value: float | None

    @property
    def met(self):
        if self.value is None:
            return None
        return self.value >= self.bound if self.sign == "≥" else self.value <= self.bound

    def line(self):
        word = {None: "not measured here", True: "met", False: "**missed**"}[self.met]
        value = "" if self.value is None else f"{self.value:.3g} {self.unit}"
        return f"| {self.what} | {self.sign} {self.bound:g} {self.unit} | {value} | {word} |"


def targets(measured, fetched):
    """From `{table: {peer: seconds}}`, and what fetching has to say."""

    def took(table, peer):
        return measured.get(table, {}).get(peer)

    def opened(slower):
        return ratio(took("open", slower), took("open", OURS))

    def parsed(tensors):
        peer = "safetensors SafeTensors::deserialize"
        return ratio(took(f"header {tensors}", peer), took(f"header {tensors}", PARSE))

    verify = ratio(took("process", "model_signing verify"), took("process", "tensorgate verify"))
    again = took("steps", "tensorgate: open again what is held")
    handed = took("steps", "tensorgate: take a hand-off")
    one = ratio(took("first", "tensorgate: one tensor more"), took("open", OURS))
    bare = ratio(took("open", OURS), took("open", "BLAKE3 of the mapped file, all cores"))
    growth = ratio(took("header 100,000", PARSE), took("header 1,000", PARSE))
    return [
        Target(
            "open: faster than SHA-256, then mmap", "≥", 4, "×", opened("SHA-256, then mmap (Rust)")
        ),
        Target(
            "open: faster than Python load_file, which proves nothing",
            "≥",
            1,
            "×",
            opened("Python safetensors load_file"),
        ),
        Target("open: as long as bare BLAKE3 on all cores", "≤", 1.25, "×", bare),
        Target("open again what is held", "≤", 1, "ms", again and 1000 * again),
        Target("take a hand-off", "≤", 10, "ms", handed and 1000 * handed),
        Target("one of 100 tensors, alone: of the time of all", "≤", 2, "%", one and 100 * one),
        Target("process: faster than model_signing verify", "≥", 6, "×", verify),
        Target("header of 1,000 tensors: faster than the crate", "≥", 1, "×", parsed("1,000")),
        Target("header of 100,000 tensors: faster than the crate", "≥", 1, "×", parsed("100,000")),
        Target("header: 100 times the tensors take", "≤", 150, "times as long", growth),
        *fetched,
    ]


def ratio(slower, faster):
    return slower / faster if slower and faster else None


def checklist(found):
    lines = ["### Targets", "", "| | wanted | measured | |", "|---|--:|--:|---|"]
    return "\n".join([*lines, *(target.line() for target in found)]) + "\n"
