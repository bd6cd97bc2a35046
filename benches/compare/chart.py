"""Charts as SVG: text stays text, and the colours follow the reader's light or dark."""

import html
import math

WIDTH = 830

STYLE = """
text { font: 13px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 14px } .dim { fill: #59636e } .end { text-anchor: end }
.middle { text-anchor: middle } .bold { font-weight: 600 }
.ours { fill: #0a7d45 } .proven { fill: #7d8590 } .none { fill: #d1d7dd }
.axis { stroke: #d1d9e0 } polyline { fill: none; stroke-width: 2 }
.line0 { stroke: #0a7d45; fill: #0a7d45 } .line1 { stroke: #7d8590; fill: #7d8590 }
.line2 { stroke: #c9510c; fill: #c9510c } .line3 { stroke: #6639ba; fill: #6639ba }
polyline.line0, polyline.line1, polyline.line2, polyline.line3 { fill: none }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .dim { fill: #9198a1 } .axis { stroke: #3d444d }
  .ours { fill: #3fb950 } .proven { fill: #818b98 } .none { fill: #3d444d }
  .line0 { stroke: #3fb950; fill: #3fb950 } .line1 { stroke: #9198a1; fill: #9198a1 }
  .line2 { stroke: #f0883e; fill: #f0883e } .line3 { stroke: #ab7df8; fill: #ab7df8 }
}
"""


def bars(panels, note):
    """Panels of horizontal bars, `(title, results)` each, on a linear scale of its own."""
    shapes, y = [], 8
    for title, results in panels:
        results = [result for result in results if result.seconds]
        longest = max(result.median for result in results)
        y += 22
        shapes.append(text(10, y, title, "title"))
        y += 8
        for result in sorted(results, key=lambda result: result.median):
            shapes += bar(y, result, 360 * result.median / longest)
            y += 23
        y += 10
    shapes += legend(y + 14)
    shapes.append(text(10, y + 42, note, "dim"))
    return svg(y + 56, shapes)


def bar(y, result, length):
    peer = result.peer
    kind = "ours" if peer.ours else "none" if peer.proof.startswith("nothing") else "proven"
    bold = " bold" if peer.ours else ""
    return [
        text(340, y + 15, peer.name, f"end{bold}"),
        f'<rect x="350" y="{y + 2}" width="{max(length, 1):.1f}" height="17" rx="2" class="{kind}"/>',
        text(356 + length, y + 15, f"{result.median:.3g} s", f"dim{bold}"),
    ]


def legend(y):
    shapes, x = [], 350
    for kind, meaning in (
        ("ours", "tensorgate"),
        ("proven", "proves something"),
        ("none", "proves nothing"),
    ):
        shapes.append(f'<rect x="{x}" y="{y - 11}" width="13" height="13" rx="2" class="{kind}"/>')
        shapes.append(text(x + 19, y, meaning))
        x += 40 + 7 * len(meaning)
    return shapes


def lines(panels, note):
    """Panels side by side, both axes logarithmic: `(title, {name: [(x, seconds)]})` each."""
    each, shapes = WIDTH / len(panels), []
    seconds = [s for _, series in panels for points in series.values() for _, s in points]
    low, high = math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds)))
    for index, (title, series) in enumerate(panels):
        shapes += panel(index * each, each, title, series, (low, high))
    names = dict.fromkeys(name for _, series in panels for name in series)
    for number, name in enumerate(names):
        x, y = 60 + WIDTH // 2 * (number % 2), 326 + 22 * (number // 2)
        shapes.append(f'<circle cx="{x}" cy="{y - 4}" r="4" class="line{number}"/>')
        shapes.append(text(x + 10, y, name))
    shapes.append(text(10, 382, note, "dim"))
    return svg(394, shapes)


def panel(left, width, title, series, decades):
    low, high = decades
    xs = sorted({x for points in series.values() for x, _ in points})
    first, last = math.log10(xs[0]), math.log10(xs[-1]) if len(xs) > 1 else math.log10(xs[0]) + 1
    begin, end, top, bottom = left + 54, left + width - 22, 40, 270

    def at(x, s):
        across = (math.log10(x) - first) / (last - first)
        up = (math.log10(s) - low) / (high - low)
        return f"{begin + across * (end - begin):.1f},{bottom - up * (bottom - top):.1f}"

    shapes = [text(begin, 22, title, "title")]
    for decade in range(low, high + 1):
        y = bottom - (decade - low) / (high - low) * (bottom - top)
        shapes.append(f'<line x1="{begin}" x2="{end}" y1="{y:.1f}" y2="{y:.1f}" class="axis"/>')
        shapes.append(text(begin - 6, y + 4, tick(decade), "dim end"))
    for x in xs:
        shapes.append(text(float(at(x, 1).split(",")[0]), bottom + 20, short(x), "dim middle"))
    for number, points in enumerate(series.values()):
        path = " ".join(at(x, s) for x, s in points)
        shapes.append(f'<polyline points="{path}" class="line{number}"/>')
        for x, s in points:
            cx, cy = at(x, s).split(",")
            shapes.append(f'<circle cx="{cx}" cy="{cy}" r="3" class="line{number}"/>')
    return shapes


def tick(decade):
    """A power of ten of a second."""
    if decade >= 0:
        return f"{10**decade} s"
    if decade >= -3:
        return f"{10 ** (decade + 3)} ms"
    return f"{10 ** (decade + 6)} µs"


def short(number):
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def text(x, y, words, style=""):
    kind = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{kind}>{html.escape(words)}</text>'


def svg(height, shapes):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    return "\n".join([head, f"<style>{STYLE}</style>", *shapes, "</svg>", ""])
