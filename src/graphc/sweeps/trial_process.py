"""The process of one trial: reads the trial from standard input, compiles the spec, and writes a result beside it."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

from graphc.build.compiler import Options, compile_spec
from graphc.engines.child import told_by_parent
from graphc.errors import ValidationError
from graphc.measure.budget import limits_of
from graphc.measure.figures import figures_of
from graphc.spec.schema import BudgetSpec
from graphc.spec.spec_file import SpecFile, load_spec
from graphc.sweeps.trial import SPEC, Result, State, save
from graphc_runtime.errors import GraphcError


def main() -> None:
    told = told_by_parent()
    warnings.simplefilter("ignore")
    folder = Path(told["folder"])
    start = time.monotonic()
    key, changes = told["key"], told["changes"]
    try:
        spec = load_spec(folder / SPEC)
        metrics, missed = measured(spec, Options(allow_pass_paths=[Path(p) for p in told["allowed"]]))
        result = Result(key, changes, "done", "", metrics, missed, time.monotonic() - start)
    except GraphcError as err:
        state: State = "failed" if isinstance(err, ValidationError) else "refused"
        result = Result(key, changes, state, str(err), {}, [], time.monotonic() - start)
    save(result, folder)


def measured(spec_file: SpecFile, options: Options) -> tuple[dict[str, float], list[str]]:
    """The figures of a variant, and a line for each limit of the budget that it misses (which is not an error here).

    Errors:
        GraphcError: the variant cannot be compiled, or its numbers do not hold.
    """
    budget = spec_file.spec.budget
    free = SpecFile(spec_file.spec.model_copy(update={"budget": BudgetSpec()}), spec_file.source)
    data = compile_spec(free, options).data
    limits = limits_of(budget, data, data["size"]) if data["latency"] is not None else []
    return figures_of(data), [limit.line() for limit in limits if limit.missed]


if __name__ == "__main__":
    main()
