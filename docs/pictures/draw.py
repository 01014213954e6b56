"""Draws the pictures of the docs: ``python docs/pictures/draw.py``. Plain SVG that reads on light and dark pages."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
INK, SOFT, NEW, OLD, GONE = "#37474f", "#90a4ae", "#26a69a", "#b2dfdb", "#eceff1"
CELL = 34


def page(width: int, height: int, *parts: str) -> str:
    style = "text{font:13px sans-serif;fill:#37474f}.s{fill:#607d8b;font-size:12px}"
    marker = (
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>'
    )
    back = f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>'
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{marker}{back}{"".join(parts)}</svg>\n'
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def frame(x: float, y: float, label: str, fill: str, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    box = f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" rx="4" fill="{fill}" stroke="{INK}"{dash}/>'
    return box + text(x + CELL / 2, y + CELL / 2 + 5, label, "", "middle")


def arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{INK}" stroke-width="1.3" marker-end="url(#a)"/>'


def causal_conv() -> str:
    """Two calls of a convolution of kernel 3 over chunks of 3 frames."""
    parts = []
    for call in range(2):
        left = 20 + call * 330
        first = 3 * call
        parts.append(text(left, 28, f"call {call + 1}"))
        cached = ["0", "0"] if call == 0 else ["x1", "x2"]
        for i, name in enumerate(cached):
            parts.append(frame(left + i * (CELL + 4), 44, name, OLD, dashed=call == 0))
        for i in range(3):
            x = left + (i + 2) * (CELL + 4)
            parts.append(frame(x, 44, f"x{first + i}", NEW))
            parts.append(frame(x, 150, f"y{first + i}", NEW))
            for back in range(3):
                parts.append(arrow(x + CELL / 2 - back * (CELL + 4), 80, x + CELL / 2 - 3 + 3 * (1 - back), 148))
        parts.append(text(left, 100, "cache", "s"))
        parts.append(text(left + 5 * (CELL + 4) + 4, 66, "chunk", "s"))
        parts.append(text(left + 5 * (CELL + 4) + 4, 172, "output", "s"))
    parts.append(f'<path d="M 172 196 C 172 236, 370 236, 370 84" fill="none" stroke="{INK}" marker-end="url(#a)"/>')
    parts.append(text(270, 246, "the last two frames are carried to the next call", "s", "middle"))
    return page(660, 262, *parts)


def band() -> str:
    """A mask of blocks of 4 with one block back, and the band that graphc reads from it."""
    size, cell, left, top = 12, 18, 70, 46
    parts = [text(left, 24, "keys"), text(16, top + 110, "queries")]
    for query in range(size):
        for key in range(size):
            seen = 0 <= query // 4 - key // 4 <= 1
            fill = NEW if seen and query == 6 else OLD if seen else GONE
            x, y, side = left + key * cell, top + query * cell, cell - 2
            parts.append(f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{fill}"/>')
    x = left + size * cell + 30
    lines = (
        "A mask of blocks of 4 frames, one block back.",
        "Query 6 sees keys 0 to 7: 6 back, 1 ahead.",
        "Over the four queries of a block:",
        "at most 7 back, at most 3 ahead.",
        "The cache keeps 7 keys. A chunk is a block,",
        "so the 3 frames ahead arrive in the same call.",
    )
    parts += [text(x, top + 24 + 24 * i, line, "" if i in (0, 3) else "s") for i, line in enumerate(lines)]
    return page(660, 290, *parts)


def delay() -> str:
    """An output with a delay of 2 frames: eight frames in three calls, and a flush of one call."""
    parts = [text(20, 62, "in"), text(20, 142, "out")]
    names = [["x0", "x1", "x2"], ["x3", "x4", "x5"], ["x6", "x7", "0"], ["0", "0", "0"]]
    place = -2
    for call, chunk in enumerate(names):
        left = 70 + call * 146
        parts.append(text(left, 26, f"call {call + 1}" if call < 3 else "flush", "s"))
        for i, name in enumerate(chunk):
            x = left + i * (CELL + 6)
            parts.append(frame(x, 40, name, NEW if name != "0" else GONE, dashed=name == "0"))
            kept = 0 <= place < 8
            parts.append(frame(x, 120, f"y{place}" if kept else "–", NEW if kept else GONE, dashed=not kept))
            parts.append(arrow(x + CELL / 2, 78, x + CELL / 2, 117))
            place += 1
    parts.append(text(70, 182, "the first 2 frames are dropped (delay 2)", "s"))
    parts.append(text(620, 182, "frames behind the length are dropped", "s", "end"))
    return page(660, 200, *parts)


def main() -> None:
    for name, picture in {
        "chunk-through-conv": causal_conv(),
        "mask-and-band": band(),
        "delay-and-flush": delay(),
    }.items():
        (FOLDER / f"{name}.svg").write_text(picture)


if __name__ == "__main__":
    main()
