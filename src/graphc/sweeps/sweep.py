"""Runs a sweep: from its file to the record, the page and the best spec."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graphc.build.fingerprint import fingerprint_of
from graphc.engines.engine import Engine
from graphc.errors import ValidationError
from graphc.passes.plan import make_plan
from graphc.passes.registry import Registry, registry_of
from graphc.sweeps.pareto_front import best_of, front_of
from graphc.sweeps.study import Study
from graphc.sweeps.sweep_file import SweepFile
from graphc.sweeps.sweep_page import sweep_html
from graphc.sweeps.trial import MODEL, TRIALS, Result, Trial, known_result, run_trial, trial_key
from graphc.sweeps.variant import changed, variant_text
from graphc.system.files import digest, write_all
from graphc_runtime.errors import GraphcError

RECORD, PAGE, BEST = "sweep.json", "sweep.html", "best.yaml"
FORMAT = 1
MOST_REPEATS = 1000
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sweep:
    """The result of a sweep.

    Args:
        results: the results of all trials, in the order in which they ended.
        front: the results that no other result beats in every number.
        best: the result within the budget that is best in the first number; None if none is within the budget.
    """

    results: list[Result]
    front: list[Result]
    best: Result | None


def run_sweep(file: SweepFile, engine: Engine, allowed: Sequence[Path], progress: Progress) -> Sweep:
    """Tries all variants that earlier runs have not tried, and writes the results after each.

    Errors:
        SpecError: Optuna is missing, or the sweep does not fit its spec.
        ValidationError: no variant could be compiled.
    """
    folder = file.output_folder
    folder.mkdir(parents=True, exist_ok=True)
    maker = TrialMaker(file, allowed)
    study = Study(file, maker.content)
    results: dict[str, Result] = {}
    for changes in study.finished():
        known = maker.result(changes)
        if known is None:
            study.again(changes)
        else:
            results[known.key] = known
    running: dict[Any, tuple[int, str]] = {}
    repeats = 0
    while (study.left and repeats < MOST_REPEATS) or running:
        while len(running) < min(engine.slots, study.left) and repeats < MOST_REPEATS:
            number, changes = study.ask()
            try:
                trial = maker.trial(changes)
            except (ValueError, GraphcError) as err:
                result = refused(changes, err)
                results[result.key] = result
                study.tell(number, result)
                continue
            if trial.key in results:
                repeats += 1
                study.tell(number, results[trial.key])
            elif trial.key in (key for _, key in running.values()):
                repeats += 1
                study.drop(number)
            else:
                running[engine.submit(run_trial, trial, trial.key)] = (number, trial.key)
        progress(f"{len(running)} running", study.tried, study.total)
        for future, result in engine.first(list(running)) if running else []:
            study.tell(running.pop(future)[0], result)
            results[result.key] = result
            write_record(file, list(results.values()))
    found = summed_up(file, list(results.values()))
    write_record(file, found.results)
    if not any(r.state == "done" for r in found.results):
        first = next((f"no variant could be compiled; the first failed with: {r.reason}" for r in found.results), None)
        raise ValidationError(first or "no variant was tried", where=str(file.source.path))
    if found.best is not None:
        write_best(file, found.best, maker.registry)
    return found


class TrialMaker:
    """Turns values into trials. A trial's key depends on everything that its compilation depends on."""

    def __init__(self, file: SweepFile, allowed: Sequence[Path]):
        self.file, self.allowed = file, tuple(p.resolve() for p in allowed)
        self.registry: Registry = registry_of(file.base, allowed)
        content = fingerprint_of(file.base, self.registry, make_plan(file.base, self.registry))
        self.content = json.dumps({k: v for k, v in content.items() if k != "spec"}, sort_keys=True)

    def trial(self, changes: dict[str, Any]) -> Trial:
        """The trial for some values by place.

        Errors:
            ValueError: the spec does not accept the values together.
            SpecError: options of a pass do not fit.
        """
        trials = self.file.output_folder / TRIALS
        data = changed(self.file.base, changes)
        text = variant_text(self.file.base, data, trials / "any", MODEL, self.registry)
        key = trial_key(text, self.content)
        return Trial(changes, text, key, (trials / key).resolve(), self.allowed)

    def result(self, changes: dict[str, Any]) -> Result | None:
        """The earlier result of a variant, or a refusal if the variant cannot be made. None if it has not run."""
        try:
            return known_result(self.trial(changes))
        except (ValueError, GraphcError) as err:
            return refused(changes, err)


def refused(changes: dict[str, Any], err: Exception) -> Result:
    key = digest(json.dumps(changes, sort_keys=True).encode())[:16]
    return Result(key, changes, "refused", str(err))


def summed_up(file: SweepFile, results: list[Result]) -> Sweep:
    front = front_of(results, file.sweep)
    return Sweep(results, front, best_of(front, file.sweep))


def write_record(file: SweepFile, results: list[Result]) -> None:
    """Writes the record and the page."""
    sweep = summed_up(file, results)
    record = {
        "format": FORMAT,
        "sweep": file.source.path.name,
        "results": [asdict(r) for r in results],
        "front": [r.key for r in sweep.front],
        "best": sweep.best.key if sweep.best is not None else None,
    }
    page = sweep_html(file, results, sweep.front, sweep.best)
    folder = file.output_folder
    write_all({folder / RECORD: json.dumps(record, indent=1).encode(), folder / PAGE: page.encode()})


def write_best(file: SweepFile, best: Result, registry: Registry) -> None:
    """Writes the best variant as a spec, with its numbers in a comment at the top."""
    text = variant_text(file.base, changed(file.base, best.changes), file.output_folder, "best.onnx", registry)
    values = ", ".join(f"{place}: {json.dumps(value)}" for place, value in best.changes.items())
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in best.metrics.items())
    head = f"# The best variant of {file.source.path.name}: {values}\n# Measured: {numbers}\n"
    write_all({file.output_folder / BEST: (head + text).encode()})
