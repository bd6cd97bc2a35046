"""The results as Markdown."""


def head(machine, versions):
    return "\n".join(
        [
            "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".",
            "",
            "Versions: " + ", ".join(f"{name} {value}" for name, value in versions.items()) + ".",
            "",
        ]
    )


def table(title, results, bytes=None):
    """Rows in the order of the peers; how much longer than ours each takes."""
    ours = next((r.median for r in results if r.peer.ours and r.seconds), None)
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
