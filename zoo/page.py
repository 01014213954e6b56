"""docs/zoo.md: the table in which a reader looks up a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from zoo.environment import plain, versions_of
from zoo.recipe import TORCH, Recipe
from zoo.trial import Result, is_limited

HEAD = """\
# The zoo

These architectures come from other packages. Each is exported as its users export it, compiled with the spec that
`graphc init` writes, streamed with nothing but its manifest, and compared with the exported model at several lengths
and two chunks. Look for the one nearest to yours.

{summary}

`make zoo` repeats all of it and writes this page. The networks are small and their weights random. `zoo/recipes` has
one file for each package, which builds its networks.

- **equal**: the stream gives what the offline model gives, at every length. Its manifest says *proved* or *tried*.
- **limited**: the offline attention sees all frames, which no stream can. The spec limits it, and the stream equals
  the limited model. Train with the limit that you deploy: [Limit an attention](how-to/limit-attention.md).
- **window**: an exact lift is refused, for the reason given. The spec streams over the last N frames, and each call
  gives what the offline model gives for these.

*chunk*: the frames that one call takes, as init wrote it. *delay*: the delay in output frames. *state*: what a client
carries from call to call.
"""
COLUMNS = ("architecture", "package", "exported by", "parameters", "result", "chunk", "delay", "state")


def page(recipes: Sequence[Recipe], results: Iterable[Result]) -> str:
    """The page, of the recipes that have results."""
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.key, []).append(result)
    known = [r for r in recipes if r.key in found]
    text = HEAD.format(summary=summary(known, found))
    for task, group in groupby(sorted(known, key=lambda r: r.task), key=lambda r: r.task):
        rows = [row(recipe, alike) for recipe in group for alike in by_outcome(found[recipe.key])]
        text += f"\n## {task.capitalize()}\n\n| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"
        text += "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"
    changed = [r for r in known if r.changed]
    text += "\n## What was changed before the export\n\n"
    return text + "\n".join(f"- {r.package} ({r.what}): {r.changed}." for r in changed) + "\n"


def summary(recipes: Sequence[Recipe], found: dict[str, list[Result]]) -> str:
    kinds = [outcome(recipe, found[recipe.key][0]) for recipe in recipes]
    packages = len({r.package for r in recipes})
    models = sum(map(len, found.values()))
    return (
        f"**{len(recipes)} architectures of {packages} packages, {models} exports: "
        f"{kinds.count('equal')} equal as they are, "
        f"{kinds.count('limited')} equal with a limit on attention, {kinds.count('window')} over a window, "
        f"{kinds.count('refused')} refused.**"
    )


def by_outcome(results: list[Result]) -> list[list[Result]]:
    """The exports of one architecture, those together that came to the same."""

    def key(result: Result) -> tuple[object, ...]:
        return result.kind, result.chunk, sorted(result.delays.values()), result.state_bytes, result.max_frames

    ordered = sorted(results, key=lambda r: r.exporter)
    groups: list[list[Result]] = []
    for result in ordered:
        same = next((g for g in groups if key(g[0]) == key(result)), None)
        if same is None:
            groups.append([result])
        else:
            same.append(result)
    return groups


def row(recipe: Recipe, results: list[Result]) -> list[str]:
    first = results[0]
    package = f"{recipe.package} {versions_of(recipe.environment).get(plain(recipe.package), '')}".strip()
    exporters = ", ".join(r.exporter if r.exporter in TORCH else "the package" for r in results)
    cells = [recipe.what, package, exporters, count(first.parameters) if first.parameters else ""]
    return [*cells, *told(recipe, first)]


def told(recipe: Recipe, result: Result) -> list[str]:
    """What came of an export: result, chunk, delay and state."""
    kind = outcome(recipe, result)
    if kind != "equal" and kind != "limited":
        way_out = f"; instead: {recipe.instead}" if recipe.instead else ""
        return [f"{kind}: {cell(result.text)}{way_out}", "", "", ""]
    how = "proved" if result.proved else "tried"
    said = f"{kind}, {how}"
    if recipe.passes:
        limit = recipe.passes["lift_state"]["attention"]
        said += f": `attention: {{{', '.join(f'{k}: {v}' for k, v in limit.items())}}}`"
    if recipe.told:
        said += f"; init needed `{' '.join(recipe.told)}`"
    if result.max_frames is not None and "max_frames" not in said:
        end = "the offline model ends at" if result.proved else "tried up to"
        said += f"; {end} {result.max_frames:,} frames" + ", the stream continues" * result.continues
    delays = ", ".join(f"{d:,}" for d in sorted(set(result.delays.values())))
    return [said, f"{result.chunk:,}", delays, size(result.state_bytes)]


def outcome(recipe: Recipe, result: Result) -> str:
    if result.kind == "windowed":
        return "window"
    return "limited" if result.kind == "equal" and is_limited(recipe) else result.kind


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def count(number: int) -> str:
    return f"{number / 1e6:.2f} M" if number >= 10_000 else f"{number:,}"


def size(number: int) -> str:
    return f"{number / 1000:.1f} kB" if number >= 1000 else f"{number} B"
