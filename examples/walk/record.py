#!/usr/bin/env python3
"""Draws a run of the demo.

    record.py plot HOME OUT.svg       speed, height, heading, and what gate and controller said
    record.py film HOME OUT.webp      the robot itself, at twice its speed; needs OpenGL (MUJOCO_GL)

HOME holds `record.npz` and `events.json` of the run.
"""

import argparse
from pathlib import Path

import mujoco_path  # noqa: F401 - MuJoCo, matplotlib and Pillow are there
import numpy as np

from measure import GATE, Walk

COMMANDED = 0.6

# Ink and paper become variables in the SVG, which follow the reader's light or dark mode.
INK, PAPER, FAINT = "#010203", "#fdfcfb", "#808488"
THEME = (
    "<style>svg{--ink:#1f2328;--paper:#ffffff}"
    "@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--paper:#0d1117}}</style>"
)
BLUE, ORANGE, GREEN, RED, PURPLE = "#2f81f7", "#d9822b", "#2da44e", "#e5534b", "#986ee2"
COLOURS = {
    **{"lying": FAINT, "rising": ORANGE, "walking": GREEN, "sitting": ORANGE},
    **{"loading": FAINT, "no policy": FAINT, "ready": GREEN, "revoked": RED, "withdrawn": RED},
    **{"0": FAINT, "1": BLUE, "2": PURPLE},
}

STRIDE, FRAME_MS = 5, 50  # periods of 20 ms to a picture, and how long that is shown: twice as fast
WIDTH, HEIGHT, CAPTION = 400, 225, 34


def plot(walk: Walk, out: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    style = {"svg.fonttype": "none", "svg.hashsalt": "walk", "font.size": 9, "path.simplify_threshold": 0.5}
    style |= {
        name: INK for name in ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    }
    style |= {"figure.facecolor": PAPER, "axes.facecolor": PAPER, "savefig.facecolor": PAPER}
    style |= {"axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure, axes = pyplot.subplots(4, 1, figsize=(8, 6.4), sharex=True, height_ratios=[3, 2, 2, 1.9])
        draw(walk, axes)
        figure.tight_layout()
        figure.subplots_adjust(hspace=0.14)
        figure.savefig(out, metadata={"Date": None})
        pyplot.close(figure)
    text = out.read_text().replace(INK, "var(--ink,#1f2328)").replace(PAPER, "var(--paper,#ffffff)")
    head, rest = text.split("<defs>", 1)
    out.write_text(f"{head}{THEME}\n <defs>{rest}")


def draw(walk: Walk, axes) -> None:
    speed, height, heading, bands = axes
    time = walk.time[::2]
    commanded = np.where((time > walk.walking) & (time < walk.revoked), COMMANDED, 0.0)
    speed.step(time, commanded, color=FAINT, linestyle="--", linewidth=1, label="commanded", where="post")
    speed.plot(time, walk.speed[::2], color=BLUE, linewidth=0.5, alpha=0.45)
    speed.plot(
        time, smooth(walk.speed)[::2], color=BLUE, linewidth=1.6, label="measured, and its mean over 0.8 s"
    )
    speed.set_ylabel("speed [m/s]")
    speed.legend(loc="lower center", frameon=False, ncols=2)
    height.plot(time, 100 * walk.height[::2], color=ORANGE, linewidth=1)
    height.set_ylabel("body height [cm]")
    height.set_ylim(0, 40)
    turned = walk.heading - np.interp(walk.walking, walk.time, walk.heading)
    heading.plot(time, turned[::2], color=PURPLE, linewidth=1.2)
    heading.set_ylabel("heading [°]")
    rows = (
        ("controller", "controller", "mode"),
        ("policy epoch", "controller", "epoch"),
        ("gate", "gate", "state"),
    )
    for row, (_, kind, fact) in enumerate(rows):
        for begin, end, value in walk.spans(kind, fact):
            band(bands, row, begin, end, GATE[value] if kind == "gate" else value)
    bands.set_yticks(range(len(rows)), [name for name, *_ in rows])
    bands.set_ylim(len(rows) - 0.5, -0.5)
    bands.set_xlabel("simulated time [s]")
    bands.set_xlim(0, walk.time[-1])
    for name in ("top", "right", "left"):
        bands.spines[name].set_visible(False)
    marks = ((walk.refused, RED, "tampered update:\nrefused"), (walk.swapped, PURPLE, "release 2:\nepoch 2"))
    for at, colour, text in (*marks, (walk.revoked, RED, "revoked:\nit sits down")):
        for axis in axes:
            axis.axvline(at, color=colour, linewidth=1)
        where = {"xycoords": ("data", "axes fraction"), "xytext": (-4, 0), "textcoords": "offset points"}
        speed.annotate(text, (at, 1.0), ha="right", va="top", color=colour, **where)
    speed.set_ylim(-0.3, 1.0)


def band(axis, row: int, begin: float, end: float, value: str) -> None:
    axis.barh(
        row, end - begin, left=begin, height=0.72, color=COLOURS.get(value, FAINT), alpha=0.85, linewidth=0
    )
    if end - begin > 1.2:
        axis.text((begin + end) / 2, row, value, ha="center", va="center", color="#ffffff")


def smooth(values: np.ndarray, periods: int = 41) -> np.ndarray:
    padded = np.pad(values, periods // 2, mode="edge")
    return np.convolve(padded, np.full(periods, 1 / periods), mode="valid")


def film(walk: Walk, out: Path) -> None:
    import mujoco

    import simulator

    model = simulator.model()
    data, camera = mujoco.MjData(model), mujoco.MjvCamera()
    camera.distance, camera.azimuth, camera.elevation = 1.2, 128, -14
    pictures, place = [], walk.qpos[0, :2]
    with mujoco.Renderer(model, HEIGHT, WIDTH) as renderer:
        for row in range(0, len(walk.time), STRIDE):
            data.qpos[:] = walk.qpos[row]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_camlight(model, data)
            # A tripod on a dolly: it follows the way, not each bounce of the body.
            place = place + 0.25 * (walk.qpos[row, :2] - place)
            camera.lookat[:] = [*place, 0.2]
            renderer.update_scene(data, camera)
            pictures.append(captioned(renderer.render(), walk, row))
    pictures[0].save(
        out,
        save_all=True,
        append_images=pictures[1:],
        duration=FRAME_MS,
        loop=0,
        quality=50,
        method=4,
        minimize_size=True,
    )


def captioned(pixels: np.ndarray, walk: Walk, row: int):
    """The picture, below it what holds at that instant, and above for a while what just happened."""
    from PIL import Image, ImageDraw, ImageFont

    time = walk.time[row]
    picture = Image.new("RGB", (WIDTH, HEIGHT + CAPTION), "#0d1117")
    picture.paste(Image.fromarray(pixels))
    pen, large, small = ImageDraw.Draw(picture), ImageFont.load_default(14), ImageFont.load_default(11)
    said, gate = walk.at(time, "controller"), walk.at(time, "gate")
    policy = said.get("policy", "no-policy")
    colour = GREEN if policy == "active" else RED
    pen.rectangle((0, HEIGHT, 5, HEIGHT + CAPTION), fill=colour)
    told = f"release {said.get('release', '-')}   epoch {said.get('epoch', '-')}   policy {policy}"
    pen.text((13, HEIGHT + 2), told, font=large, fill="#e6edf3")
    moves = f"controller: {said.get('mode', '-')}    gate: {GATE[gate.get('state', 1)]}    {smooth_at(walk, row):.2f} m/s"
    pen.text((13, HEIGHT + 19), moves, font=small, fill="#9198a1")
    pen.text((WIDTH - 48, HEIGHT + 19), f"{time:5.1f} s", font=small, fill="#9198a1")
    for at, ink, text in happened(walk):
        if at <= time < at + 3:
            width = pen.textlength(text, font=large)
            pen.rectangle((0, 0, width + 20, 22), fill=ink)
            pen.text((10, 3), text, font=large, fill="#ffffff")
    return picture


def happened(walk: Walk):
    yield walk.refused, RED, "tampered update: refused, digest-mismatch"
    yield walk.swapped, PURPLE, "genuine update: verified, swapped"
    yield walk.revoked, RED, "release revoked: it sits down"


def smooth_at(walk: Walk, row: int) -> float:
    return abs(float(walk.speed[max(0, row - 20) : row + 21].mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["plot", "film"])
    parser.add_argument("home", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    draw_it = {"plot": plot, "film": film}[args.what]
    draw_it(Walk(args.home), args.out)
    print(f"{args.out}: {args.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
