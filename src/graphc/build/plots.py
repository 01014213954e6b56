"""Small plots as SVG without a plotting library, because a report is one self-contained file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 520, 220, 10, 44, 26
FLOOR = 1e-12

Points = Sequence[tuple[str, float]]


def bar_plot(points: Points, title: str, form: Callable[[float], str], log: bool = False) -> Markup:
    """A bar for each point with its value on top. The scale is linear, or logarithmic from 1e-12 if ``log``."""

    def height(value: float) -> float:
        top = max((v for _, v in points if math.isfinite(v)), default=1.0) or 1.0
        if not log:
            return value / top
        span = math.log10(max(top, FLOOR * 10) / FLOOR)
        return math.log10(max(min(value, top), FLOOR) / FLOOR) / span

    parts: list[str] = []
    for index, (name, value) in enumerate(points):
        x, width = place(index, len(points))
        tall = max(2.0, height(value) * (HEIGHT - BOTTOM - TOP - 16))
        y = HEIGHT - BOTTOM - tall
        parts.append(f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{tall:.1f}" rx="2"/>')
        parts += labels(x + width / 2, y - 5, name, form(value))
    return framed(parts, title)


def line_plot(points: Points, title: str, form: Callable[[float], str]) -> Markup:
    """A line through the points on a scale from zero. The value of each point is written above it."""
    top = max((v for _, v in points), default=1.0) or 1.0
    places: list[tuple[float, float]] = []
    parts: list[str] = []
    for index, (name, value) in enumerate(points):
        x, width = place(index, len(points))
        y = HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP - 16)
        places.append((x + width / 2, y))
        parts += labels(x + width / 2, y - 9, name, form(value))
        parts.append(f'<circle class="dot" cx="{x + width / 2:.1f}" cy="{y:.1f}" r="3.5"/>')
    path = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(places))
    return framed([f'<path class="line" d="{path}"/>', *parts], title)


def level_plot(levels: Mapping[str, Sequence[float]], title: str, ends: tuple[str, str]) -> Markup:
    """Levels in decibels over time, a named line for each key. ``ends`` are the labels at the ends of the time axis."""
    finite = [v for line in levels.values() for v in line if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    span = max(high - low, 1e-9)
    tall = HEIGHT - BOTTOM - TOP - 16

    def at(index: int, value: float, count: int) -> tuple[float, float]:
        x = LEFT + (WIDTH - 2 * LEFT) * index / max(count - 1, 1)
        return x, HEIGHT - BOTTOM - ((value if math.isfinite(value) else high) - low) / span * tall

    parts: list[str] = []
    for name, line in levels.items():
        places = [at(i, v, len(line)) for i, v in enumerate(line)]
        path = " ".join(f"{'M' if i == 0 else 'L'}{x:.1f},{y:.1f}" for i, (x, y) in enumerate(places))
        x, y = places[-1]
        parts.append(f'<path class="line" d="{path}"/>')
        parts.append(f'<text class="value" style="text-anchor:end" x="{x:.1f}" y="{y - 7:.1f}">{escape(name)}</text>')
    below = HEIGHT - BOTTOM + 18
    for x, anchor, y, text in (
        (LEFT, "start", below, ends[0]),
        (WIDTH - LEFT, "end", below, ends[1]),
        (WIDTH - LEFT, "end", 14, f"{low:.1f} to {high:.1f} dB"),
    ):
        parts.append(f'<text class="name" style="text-anchor:{anchor}" x="{x}" y="{y}">{escape(text)}</text>')
    return framed(parts, title)


def place(index: int, count: int) -> tuple[float, float]:
    """The left edge and the width of a point's column."""
    column = (WIDTH - 2 * LEFT) / max(count, 1)
    width = min(column * 0.6, 70)
    return LEFT + column * index + (column - width) / 2, width


def labels(x: float, y: float, name: str, value: str) -> list[str]:
    return [
        f'<text class="value" x="{x:.1f}" y="{y:.1f}">{escape(value)}</text>',
        f'<text class="name" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}">{escape(name)}</text>',
    ]


def framed(parts: Sequence[str], title: str) -> Markup:
    axis = f'<line class="axis" x1="{LEFT}" x2="{WIDTH - LEFT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
    head = f'<text class="title" x="{LEFT}" y="14">{escape(title)}</text>'
    body = "".join([head, axis, *parts])
    return Markup(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{body}</svg>')
