"""`make bench`: the same work by tensorgate and its peers, in turns, in one run.

Prints Markdown, and writes it beside the numbers as JSON to target/bench/, and the charts to docs/.
With TENSORGATE_BENCH_FULL=1 the policy has 1 GB, and the charts are written; without, it has
100 MB and all takes a minute, to see that it runs.
"""

import dataclasses
import json
import os
import pathlib
import tempfile

import chart
import fetched
import report
from machine import machine, versions
from measure import forget, in_turns
from peers import (
    FIRST,
    HEADER,
    OPEN,
    ROOT,
    STEPS,
    Hub,
    cores,
    in_process,
    policy,
    sign_for_peers,
    whole_processes,
)
from targets import checklist, targets

FULL = os.environ.get("TENSORGATE_BENCH_FULL") == "1"
OUT = ROOT / "target/bench"
# Runs that count; the median does.
ROUNDS = 7 if FULL else 2
COLD_ROUNDS = 3 if FULL else 1
MB = 1_000_000
# Of the policy that most is measured with.
SIZE = 1000 * MB if FULL else 100 * MB
# Those whose cost is watched as it grows.
GROWING = ["tensorgate: open, all tensors", "SHA-256, then mmap (Rust)"]
GROWING += ["Python safetensors load_file", "safetensors + memmap2, each page touched"]


class Run:
    """All that was measured, printed as it comes."""

    def __init__(self):
        self.text = []
        self.tables = {}
        self.growth = {}

    def say(self, text):
        print(text, flush=True)
        self.text.append(text)

    def table(self, name, title, results, bytes=None):
        self.tables[name] = results
        self.say(report.table(title, results, bytes))

    def grow(self, name, title, unit, points):
        self.growth[name] = points
        self.say(report.growth(title, unit, points))

    def medians(self):
        return {
            name: {r.peer.name: r.median for r in results if r.seconds}
            for name, results in self.tables.items()
        }


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    run, machine_, versions_ = Run(), machine(), versions()
    run.say(report.head(machine_, versions_))
    # A directory of this user alone: whoever else might write a trust policy makes it refused.
    with tempfile.TemporaryDirectory(dir=OUT) as work:
        work = pathlib.Path(work)
        changed_byte(run, work)
        one_policy(run, work)
        many_tensors(run, work)
        headers(run, work)
        grow(run, work)
    found = targets(run.medians(), fetched.run(run.say))
    run.say(checklist(found))
    write(run, machine_, versions_, found)


COLD = "its pages dropped before each run (POSIX_FADV_DONTNEED)"
TENSORS = 100
WHAT = f"{SIZE // MB:,} MB in {TENSORS} tensors"


def changed_byte(run, work):
    """Whether who is said to prove something does."""
    with policy(work, 10, MB) as folder:
        sign_for_peers(folder)
        with Hub(folder) as hub:
            peers = {**whole_processes(folder, hub), **in_process(OPEN, folder)}
            before = in_turns(peers, 0)
            flip_last_byte(folder / "policy/model.safetensors")
            after = in_turns(peers, 0)
    works = {result.peer for result in before if not result.absent}
    here = [result for result in after if result.peer in works]
    noticed = names(result for result in here if result.absent)
    missed = names(missed_by(here))
    absent = names(result for result in before if result.absent)
    run.say(f"One byte of the weights is changed. Who notices: {noticed}.\n")
    run.say(f"Who does not: {missed}.\n")
    run.say(f"Who is not here: {absent or 'nobody'}.\n")
    if any(r.peer.ours and r.absent for r in before) or any(r.peer.ours for r in missed_by(here)):
        raise SystemExit("tensorgate must accept what was signed, and nothing else")


def missed_by(results):
    return [result for result in results if not result.absent]


def names(results):
    return "; ".join(result.peer.name for result in results)


def flip_last_byte(path):
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))


def one_policy(run, work):
    with policy(work, TENSORS, SIZE // TENSORS) as folder:
        sign_for_peers(folder)
        processes(run, folder)
        opened(run, folder)
        title = f"How cost grows: threads (RAYON_NUM_THREADS, which ours obeys), {WHAT}"
        run.grow("threads", title, "threads", by_threads(folder))


def processes(run, folder):
    with Hub(folder) as hub:
        peers = whole_processes(folder, hub)
        warm = in_turns(peers, ROUNDS)
        run.table("process", f"Whole processes: {WHAT}, page cache warm", warm, SIZE)
        cold = in_turns(peers, COLD_ROUNDS, before=dropping(folder))
        run.table("process cold", f"Whole processes: {WHAT}, {COLD}", cold, SIZE)


def opened(run, folder):
    warm = in_turns(in_process(OPEN, folder), ROUNDS)
    run.table("open", f"In one process: {WHAT}, page cache warm", warm, SIZE)
    first = in_turns(in_process(FIRST, folder), ROUNDS)
    run.table("first", f"In one process: one tensor of {WHAT}", first)
    steps = in_turns(in_process(STEPS, folder), ROUNDS)
    run.table("steps", f"In one process: in steps, {WHAT}", steps)
    cold = in_turns(in_process(OPEN, folder), COLD_ROUNDS, before=dropping(folder))
    run.table("open cold", f"In one process: {WHAT}, {COLD}", cold, SIZE)


def dropping(folder):
    return lambda: forget(folder / "policy/model.safetensors")


def by_threads(folder):
    peers = some_of(OPEN, GROWING)
    return [
        (
            count,
            in_turns(in_process(peers, folder, RAYON_NUM_THREADS=str(count)), max(ROUNDS // 2, 1)),
        )
        for count in cores()
    ]


def many_tensors(run, work):
    tensors, each = 10_000, 10_000
    with policy(work, tensors, each) as folder:
        sign_for_peers(folder)
        what = f"{tensors * each // MB} MB in {tensors:,} tensors"
        with Hub(folder) as hub:
            warm = in_turns(whole_processes(folder, hub), ROUNDS)
        run.table("process small", f"Whole processes: {what}", warm, tensors * each)
        warm = in_turns(in_process(OPEN, folder), ROUNDS)
        run.table("open small", f"In one process: {what}", warm, tensors * each)


def headers(run, work):
    for tensors in (1000, 10_000, 100_000):
        with policy(work, tensors, 4) as folder:
            results = in_turns(in_process(HEADER, folder), 3 * ROUNDS)
        run.table(f"header {tensors:,}", f"Header of {tensors:,} tensors", results)


def grow(run, work):
    sizes = [1, 10, 100, 1000, 4000] if FULL else [1, 10, 100]
    points = [(size * MB, growing(work, 100, size * MB // 100)) for size in sizes]
    run.grow("bytes", "How cost grows: bytes, 100 tensors", "bytes", points)
    size = 400 * MB if FULL else 40 * MB
    counts = [1, 10, 100, 1000, 10_000, 100_000]
    points = [(count, growing(work, count, size // count)) for count in counts]
    run.grow("tensors", f"How cost grows: tensors, {size // MB} MB", "tensors", points)


def growing(work, tensors, bytes):
    with policy(work, tensors, bytes) as folder:
        return in_turns(in_process(some_of(OPEN, GROWING), folder), max(ROUNDS // 2, 1))


def some_of(peers, names):
    return {peer: how for peer, how in peers.items() if peer.name in names}


def write(run, machine_, versions_, found):
    numbers = {
        "machine": machine_,
        "versions": versions_,
        "tables": {name: list(map(plain, results)) for name, results in run.tables.items()},
        "growth": {
            name: [{"x": x, "results": list(map(plain, results))} for x, results in points]
            for name, points in run.growth.items()
        },
        "targets": [{**dataclasses.asdict(target), "met": target.met} for target in found],
    }
    (OUT / "bench.json").write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n")
    (OUT / "bench.md").write_text("\n".join(run.text))
    charts = ROOT / "docs" if FULL else OUT
    charts.mkdir(exist_ok=True)
    note = f"{machine_['cpu']}, {machine_['cores']} cores, page cache warm, medians, in turns"
    size = f"{SIZE // MB:,} MB"
    panels = [
        (f"Whole process: verify a policy of {size}", run.tables["process"]),
        (f"In one process: open its weights, {size}", run.tables["open"]),
    ]
    (charts / "bench.svg").write_text(chart.bars(panels, note))
    panels = [(name, series(points)) for name, points in sorted(run.growth.items())]
    (charts / "growth.svg").write_text(chart.lines(panels, note))


def plain(result):
    row = {"peer": result.peer.name, "proof": result.peer.proof, "seconds": result.seconds}
    return {**row, "absent": result.absent} if result.absent else row


def series(points):
    """`{name: [(x, seconds)]}` of those that were measured."""
    found = {}
    for x, results in points:
        for result in results:
            if result.seconds:
                found.setdefault(result.peer.name, []).append((x, result.median))
    return found


main()
