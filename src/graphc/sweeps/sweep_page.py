"""Shows a sweep as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from markupsafe import Markup, escape

from graphc.build.report import page
from graphc.measure.figures import FIGURES
from graphc.sweeps.sweep_file import SweepFile
from graphc.sweeps.trial import TRIALS, Result

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 320, 58, 30, 30, 44
TICKS = 4


def sweep_html(file: SweepFile, results: Sequence[Result], front: Sequence[Result], best: Result | None) -> str:
    """The page: a plot of each pair of numbers, and all trials as a table."""
    sweep = file.sweep
    wanted = [*sweep.minimise, *sweep.maximise]
    done = [r for r in results if r.state == "done"]
    chosen = {r.key for r in front}
    rows = [*front, *(r for r in done if r.key not in chosen), *(r for r in results if r.state != "done")]
    plots = [scatter(done, chosen, best.key if best is not None else "", x, y) for x, y in combinations(wanted, 2)]
    return page("sweep.html.jinja", "graphc.sweeps").render(
        title=file.source.path.name,
        base=sweep.spec,
        places=list(sweep.vary),
        metrics=[name for name in FIGURES if any(name in r.metrics for r in done)],
        meanings=FIGURES,
        wanted=wanted,
        rows=rows,
        front=chosen,
        best=best,
        plots=plots,
        trials=TRIALS,
    )


def scatter(results: Sequence[Result], front: set[str], best: str, across: str, up: str) -> Markup:
    """A plot of two numbers of every trial. Points on the front have their own style, and the best trial too."""
    points = [(r.metrics[across], r.metrics[up], r) for r in results if across in r.metrics and up in r.metrics]
    xs, ys = axis([x for x, _, _ in points]), axis([y for _, y, _ in points])

    def place(x: float, y: float) -> tuple[float, float]:
        right, high = (x - xs[0]) / (xs[-1] - xs[0]), (y - ys[0]) / (ys[-1] - ys[0])
        return LEFT + right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - high * (HEIGHT - BOTTOM - TOP)

    parts = [f'<text class="title" x="10" y="18">{escape(up)} over {escape(across)}</text>']
    for tick in xs:
        x, y = place(tick, ys[0])
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{y:.1f}"/>')
        parts.append(f'<text class="name" x="{x:.1f}" y="{y + 18:.1f}">{tick:.4g}</text>')
    for tick in ys:
        x, y = place(xs[0], tick)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="name up" x="{x - 6:.1f}" y="{y + 4:.1f}">{tick:.4g}</text>')
    for x_value, y_value, result in points:
        x, y = place(x_value, y_value)
        kind = "best" if result.key == best else "front" if result.key in front else "other"
        told = escape(", ".join(f"{place}: {value}" for place, value in result.changes.items()))
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{told}</title></circle>')
    label = f"{escape(up)} over {escape(across)}, a point for each trial"
    body = "".join(parts)
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{body}</svg>')


def axis(values: Sequence[float]) -> list[float]:
    """Evenly spaced round numbers that cover the values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-9 * max(abs(low), abs(high), 1e-3):
        around = abs(low) * 0.1 or 0.1
        low, high = low - around, high + around
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [index * step for index in range(first, last + 1)]
