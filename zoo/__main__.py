"""The zoo: ``python -m zoo [--page] [WORD …]``.

Exports every architecture of ``zoo/recipes``, compiles it by init's spec, streams it, and prints what came of it. With
words, it takes the recipes whose key holds one of them. ``--page`` writes docs/zoo.md from all results that are there.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from zoo.environment import python_of
from zoo.page import page
from zoo.recipe import Recipe, all_recipes
from zoo.trial import FOLDER, Result, results, try_out

WORKERS = 2
PAGE = Path(__file__).parent.parent / "docs" / "zoo.md"


def line(result: Result) -> str:
    name = f"{result.key} ({result.exporter})"
    if result.kind != "equal":
        return f"{name:45} {result.kind:12} {result.seconds:5.1f} s  {result.text[:200]}"
    delay = ", ".join(str(d) for d in sorted(set(result.delays.values())))
    difference = "by compile" if result.difference is None else f"{result.difference:.1e}"
    told = f"chunk {result.chunk}, delay {delay}, {result.state_bytes} bytes of state, {difference}"
    return f"{name:45} equal        {result.seconds:5.1f} s  {told}"


def main(words: list[str]) -> int:
    recipes = all_recipes()
    taken = [r for r in recipes if not words or any(word in r.key for word in words)]
    for name in sorted({r.environment for r in taken}):
        python_of(name, FOLDER / "env")
    jobs: list[tuple[Recipe, str]] = [(r, exporter) for r in taken for exporter in r.exporters]
    with ThreadPoolExecutor(WORKERS) as pool:
        done = []
        for result in pool.map(lambda job: try_out(*job), jobs):
            print(line(result), flush=True)
            done.append(result)
    for kind in ("equal", "windowed", "refused", "wrong", "failed", "not exported"):
        print(f"{sum(r.kind == kind for r in done):4} {kind}")
    return 0 if all(r.kind in ("equal", "windowed", "refused") for r in done) else 1


if __name__ == "__main__":
    arguments = sys.argv[1:]
    status = main([a for a in arguments if a != "--page"])
    if "--page" in arguments:
        PAGE.write_text(page(all_recipes(), results()))
    sys.exit(status)
