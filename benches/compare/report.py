"""The results as Markdown."""

NOTES = """\
Each peer runs once in each round, in turns. A *whole process* is measured from its start to its
end, with whatever it imports. *In one process*, a worker that stays is asked again and again, and
letting go of what it opened is not counted. *proven* is what is known when it is done: ours and
model_signing also check a signature. The command `model_signing verify` has no options for other
hashes than its default, so these go through its API. `hf cache verify` compares with the digests
that a Hub on loopback lists. What proves nothing reads the weights once: as copies (Python, candle)
or one byte of each page (memmap2).
"""


def head(machine, versions):
    return "\n".join(
        [
            "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".",
            "",
            "Versions: " + ", ".join(f"{name} {value}" for name, value in versions.items()) + ".",
            "",
            NOTES,
        ]
    )


def table(title, results, bytes=None):
    """Rows in the order of the peers; how much longer than ours each takes."""
    has_peers = any(not result.peer.ours for result in results)
    ours = next((r.median for r in results if has_peers and r.peer.ours and r.seconds), None)
    lines = [f"### {title}", "", "| | proven | median | slowest | GB/s | × ours |"]
    lines.append("|---|---|--:|--:|--:|--:|")
    for result in results:
        name = f"**{result.peer.name}**" if result.peer.ours else result.peer.name
        if result.absent:
            lines.append(f"| {name} | {result.peer.proof} | not measured: {result.absent} ||||")
            continue
        rate = f"{bytes / 1e9 / result.median:.2f}" if bytes else ""
        ratio = f"{result.median / ours:.2f}" if ours else ""
        lines.append(
            f"| {name} | {result.peer.proof} | {span(result.median)} |"
            f" {span(max(result.seconds))} | {rate} | {ratio} |"
        )
    return "\n".join(lines) + "\n"


def growth(title, unit, points):
    """One row for each size, one column for each peer."""
    names = [result.peer.name for result in points[0][1]]
    lines = [f"### {title}", "", f"| {unit} | " + " | ".join(names) + " |"]
    lines.append("|--:|" + "--:|" * len(names))
    for x, results in points:
        cells = [span(r.median) if r.seconds else "not measured" for r in results]
        lines.append(f"| {x:,} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def span(seconds):
    """Three digits, in the unit that suits."""
    for unit, size in (("s", 1), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
