"""Selects the best of many results."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.sweeps.sweep_schema import SweepSpec
from graphc.sweeps.trial import Result


def costs_of(result: Result, sweep: SweepSpec) -> tuple[float, ...]:
    """The numbers to compare, signed so that less is better. A number that the result lacks is infinite."""
    less = [result.metrics.get(name, float("inf")) for name in sweep.minimise]
    more = [-result.metrics.get(name, float("-inf")) for name in sweep.maximise]
    return (*less, *more)


def front_of(results: Sequence[Result], sweep: SweepSpec) -> list[Result]:
    """The Pareto front: the good results that no other result beats in every number, sorted by the first number."""
    good = [(costs_of(r, sweep), r) for r in results if r.good]

    def is_beaten(costs: tuple[float, ...]) -> bool:
        return any(other != costs and all(a <= b for a, b in zip(other, costs, strict=True)) for other, _ in good)

    front = [(costs, r) for costs, r in good if not is_beaten(costs)]
    return [r for _, r in sorted(front, key=lambda entry: entry[0])]


def best_of(front: Sequence[Result], sweep: SweepSpec) -> Result | None:
    """The result of a front that is best in the first number that the sweep names."""
    return min(front, key=lambda r: costs_of(r, sweep), default=None)
