"""Chooses the variants to try, with an Optuna study that is saved, so that a stopped sweep can resume."""

from __future__ import annotations

import itertools
import json
import math
from hashlib import sha256
from typing import Any

from graphc.errors import SpecError
from graphc.sweeps.sweep_file import SweepFile
from graphc.sweeps.sweep_schema import RangeSpec
from graphc.sweeps.trial import Result

LARGEST_GRID = 100_000
STUDY = "study.db"
DROPPED = "dropped "


class Study:
    """Chooses what to try next, and records the results.

    Args:
        content: a hash of everything that the trials depend on besides their values.

    Errors:
        SpecError: Optuna is not installed, or its storage cannot be used.
    """

    def __init__(self, file: SweepFile, content: str):
        self.sweep = file.sweep
        optuna = optuna_for(file)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.states = optuna.trial.TrialState
        storage = self.sweep.storage or f"sqlite:///{(file.output_folder / STUDY).resolve()}"
        directions = ["minimize"] * len(self.sweep.minimise) + ["maximize"] * len(self.sweep.maximise)
        try:
            self.study = optuna.create_study(
                storage=storage,
                study_name=name_of(file, content),
                directions=directions,
                load_if_exists=True,
            )
            self.study.sampler = sampler_of(file, optuna, len(self.study.trials))
        except Exception as err:
            raise file.error(("storage",), f"Optuna cannot use it: {' '.join(str(err).split())[:200]}") from err
        self.total = self.sweep.search.trials or grid_size(file)
        self.take_up()

    def take_up(self) -> None:
        """Queues the grid on the first start, and the trials that were running when an earlier sweep was stopped."""
        first = not self.study.trials
        for trial in self.study.get_trials(states=[self.states.RUNNING]):
            self.study.enqueue_trial(trial.params)
            self.drop(trial.number)
        if first and self.sweep.search.sampler == "grid":
            for values in itertools.product(*(labels_of(v) for v in self.sweep.vary.values())):
                self.study.enqueue_trial(dict(zip(self.sweep.vary, values, strict=True)))

    @property
    def left(self) -> int:
        """The number of variants that have not been tried."""
        return max(self.total - self.tried, 0)

    @property
    def tried(self) -> int:
        return len(self.finished())

    def drop(self, number: int) -> None:
        """Ends a trial without a result, so that it does not count as tried."""
        self.study.tell(number, state=self.states.FAIL)
        self.study.set_user_attr(f"{DROPPED}{number}", True)

    def finished(self) -> list[dict[str, Any]]:
        """The values that were tried, by place, without duplicates."""
        return [self.values_of(trials[0]) for trials in self.by_values().values()]

    def again(self, changes: dict[str, Any]) -> None:
        """Queues the values of a lost result again."""
        trials = self.by_values()[json.dumps(changes, sort_keys=True)]
        for trial in trials:
            self.study.set_user_attr(f"{DROPPED}{trial.number}", True)
        self.study.enqueue_trial(trials[0].params)

    def by_values(self) -> dict[str, list[Any]]:
        """The finished trials that were not dropped, grouped by their values."""
        dropped = {int(n.removeprefix(DROPPED)) for n in self.study.user_attrs if n.startswith(DROPPED)}
        found: dict[str, list[Any]] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if trial.state.is_finished() and trial.number not in dropped:
                found.setdefault(json.dumps(self.values_of(trial), sort_keys=True), []).append(trial)
        return found

    def values_of(self, trial: Any) -> dict[str, Any]:
        return {
            place: json.loads(trial.params[place]) if isinstance(values, list) else trial.params[place]
            for place, values in self.sweep.vary.items()
        }

    def ask(self) -> tuple[int, dict[str, Any]]:
        """The number of the next trial, and its values by place."""
        trial = self.study.ask()
        return trial.number, {place: chosen(trial, place, values) for place, values in self.sweep.vary.items()}

    def tell(self, number: int, result: Result) -> None:
        names = [*self.sweep.minimise, *self.sweep.maximise]
        values = [result.metrics.get(name, math.nan) for name in names]
        if result.state != "done" or not all(map(math.isfinite, values)):
            self.study.tell(number, state=self.states.FAIL)
            return
        self.study.tell(number, values)


def optuna_for(file: SweepFile) -> Any:
    """Imports Optuna.

    Errors:
        SpecError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise SpecError(
            "a sweep needs Optuna, which is not installed",
            where=str(file.source.path),
            hint="pip install 'graphc[sweep]'",
        ) from None
    return optuna


def sampler_of(file: SweepFile, optuna: Any, tried: int) -> Any:
    """A sampler that does not repeat the draws of earlier trials."""
    search = file.sweep.search
    seed = search.seed + tried
    if search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    if search.sampler == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed)
    return optuna.samplers.RandomSampler(seed=seed)


def name_of(file: SweepFile, content: str) -> str:
    """A name that is unique for a space, search, goals and model, so that Optuna does not mix studies up."""
    told = file.sweep.model_dump_json(include={"vary", "minimise", "maximise", "search"}) + content
    return f"{file.source.path.stem}-{sha256(told.encode()).hexdigest()[:12]}"


def grid_size(file: SweepFile) -> int:
    """The number of points of the grid.

    Errors:
        SpecError: the grid has too many points.
    """
    size = math.prod(len(labels_of(values)) for values in file.sweep.vary.values())
    if size > LARGEST_GRID:
        raise file.error(
            ("vary",), f"the grid has {size} points", "search: {sampler: tpe, trials: 100} tries some of them"
        )
    return size


def labels_of(values: list[Any] | RangeSpec) -> list[str]:
    """A list's values as the texts that Optuna stores, without duplicates."""
    told = [json.dumps(value, sort_keys=True) for value in values] if isinstance(values, list) else []
    return list(dict.fromkeys(told))


def chosen(trial: Any, place: str, values: list[Any] | RangeSpec) -> Any:
    """The value that a trial gets at a place."""
    if isinstance(values, list):
        return json.loads(trial.suggest_categorical(place, labels_of(values)))
    if values.whole:
        return trial.suggest_int(place, int(values.low), int(values.high), step=int(values.step or 1))
    return trial.suggest_float(place, values.low, values.high, step=values.step, log=values.log)
