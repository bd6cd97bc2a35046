"""What was aimed for, beside what came out. Never a test: another machine, another answer."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Target:
    """At least, or at most, so much of something."""

    what: str
    bound: float
    at_least: bool
    # The measured value, or None where it could not be measured.
    value: float | None
    unit: str = "×"

    @property
    def met(self):
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self):
        word = {None: "not measured", True: "met", False: "**missed**"}[self.met]
        sign = "≥" if self.at_least else "≤"
        value = "" if self.value is None else f"{self.value:.3g} {self.unit}"
        return f"| {self.what} | {sign} {self.bound:g} {self.unit} | {value} | {word} |"


def targets(measured):
    """`measured` is `{table: {peer: median}}`."""

    def ratio(table, slower, faster):
        """How many times as long `slower` takes."""
        times = measured.get(table, {})
        both = slower in times and faster in times
        return times[slower] / times[faster] if both else None

    ours, process = "tensorgate: open, all tensors", "tensorgate verify"
    parse, deserialize = "tensorgate Header::parse", "safetensors SafeTensors::deserialize"
    load = "Python safetensors load_file"
    bare = "BLAKE3 of the mapped file, all cores"
    found = [
        at_least("open 1 GB: faster than SHA-256, then mmap", 4)(
            ratio("open", "SHA-256, then mmap (Rust)", ours)
        ),
        at_least("open 1 GB: faster than Python load_file, which proves nothing", 1)(
            ratio("open", load, ours)
        ),
        at_most("open 1 GB: as long as bare BLAKE3 on all cores", 1.25)(ratio("open", ours, bare)),
        at_least("process: faster than model_signing verify", 6)(
            ratio("process", "model_signing verify", process)
        ),
    ]
    for tensors in ("1,000", "100,000"):
        found.append(
            at_least(f"header of {tensors} tensors: faster than the crate safetensors", 1)(
                ratio(f"header {tensors}", deserialize, parse)
            )
        )
    few, many = measured.get("header 1,000", {}), measured.get("header 100,000", {})
    linear = many[parse] / few[parse] / 100 if parse in few and parse in many else None
    found.append(at_most("header: 100 times the tensors, 100 times the time", 1.5)(linear))
    fetch = measured.get("fetch", {})
    for what in fetch:
        found.append(at_least(f"fetch {what}: faster than a bare stream", 0.9)(fetch[what]))
    return found


def at_least(what, bound):
    return lambda value: Target(what, bound, True, value)


def at_most(what, bound, unit="×"):
    return lambda value: Target(what, bound, False, value, unit)


def checklist(found):
    lines = ["### Targets", "", "| | wanted | measured | |", "|---|--:|--:|---|"]
    return "\n".join([*lines, *(target.line() for target in found)]) + "\n"
