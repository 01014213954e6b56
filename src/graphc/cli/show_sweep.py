"""Shows a sweep on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.table import Table

from graphc.build.report import number
from graphc.sweeps.sweep_schema import SweepSpec
from graphc.sweeps.trial import Result
from graphc.system.escape import one_line


def front_table(sweep: SweepSpec, front: Sequence[Result], best: Result | None) -> Table:
    """The Pareto front of a sweep, as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place in sweep.vary:
        table.add_column(place, overflow="fold")
    names = [*sweep.minimise, *sweep.maximise]
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("")
    for result in front:
        values = [json.dumps(result.changes[place]) for place in sweep.vary]
        numbers = [number(result.metrics.get(name)) for name in names]
        table.add_row(*map(one_line, values), *numbers, "best" if result == best else "")
    return table
