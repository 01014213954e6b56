"""The process of one trial: told on its standard input, it compiles the spec and leaves a result beside it."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from graphc.build.compiler import Options, compile_spec
from graphc.build.output_files import output_paths
from graphc.errors import ValidationError
from graphc.measure.budget import least_snr, limits_of
from graphc.spec.schema import BudgetSpec
from graphc.spec.spec_file import SpecFile, load_spec
from graphc.sweeps.trial import SPEC, Result, State, save
from graphc.system.parent import die_with_parent
from graphc_runtime.errors import GraphcError

HIGHEST_SNR = 200.0


def main() -> None:
    told = json.load(sys.stdin)
    die_with_parent(told["parent"])
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
    """What a variant is like, and the lines of the budget that it misses, which is no error here.

    Errors:
        GraphcError: it cannot be compiled, or its numbers do not hold.
    """
    budget = spec_file.spec.budget
    free = SpecFile(spec_file.spec.model_copy(update={"budget": BudgetSpec()}), spec_file.source)
    data = compile_spec(free, options).data
    paths = output_paths(free)
    size = sum(paths[kind].stat().st_size for kind in ("model", "data") if paths[kind].exists())
    limits = limits_of(budget, data, size) if data["latency"] is not None else []
    return metrics_of(data, size), [limit.line() for limit in limits if limit.missed]


def metrics_of(data: dict[str, Any], size: int) -> dict[str, float]:
    """The numbers by the names that ``sweep_schema.METRICS`` explains; those that the model does not have are left."""
    stream, latency = data["stream"] or {}, data["latency"] or {}
    found = {
        "latency_ms": latency.get("p50_ms"),
        "p99_ms": latency.get("p99_ms"),
        "rtf": latency.get("rtf"),
        "size_mb": size / 1e6,
        "snr_db": min(least_snr(data), HIGHEST_SNR),
        "delay_ms": stream.get("delay_ms"),
        "state_kb": stream["state_bytes"] / 1e3 if stream else None,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


if __name__ == "__main__":
    main()
