"""Finds which faults the validation detects: injects each into a compiled model, and runs the random streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from graphc.ir.ort_session import Session
from graphc.spec.schema import ToleranceSpec
from graphc.validate.compare import Array, Difference, widened
from graphc.validate.mutants import Mutant, mutants_of
from graphc.validate.run_streams import ValidationStream, allowance, compare_all, of_stream, stream_all
from graphc.validate.surgery import Parts
from graphc_runtime.errors import GraphcError, RunError
from graphc_runtime.open_compiled import Compiled
from graphc_runtime.session import StreamSession

Verdict = Literal["caught", "hidden", "harmless", "missed"]

THOROUGH = 6
ROUNDING = 20.0


@dataclass(frozen=True)
class Judged:
    """The verdict of the validation on one fault.

    ``caught``: an output differs. ``hidden``: an output moves by far more than rounding, but within the tolerance.
    ``harmless``: no output moves, on these streams or on more. ``missed``: an output differs only on more streams.
    """

    mutant: Mutant
    verdict: Verdict
    reason: str

    def as_dict(self) -> dict[str, str]:
        return {
            "fault": self.mutant.fault,
            "place": self.mutant.place,
            "verdict": self.verdict,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Proof:
    """The validation of a compiled model.

    Args:
        trials: the streams of the validation.
        thorough: more streams, for faults that ``trials`` do not detect.
    """

    parts: Parts
    trials: Sequence[ValidationStream]
    thorough: Sequence[ValidationStream]
    tolerance: ToleranceSpec

    def judge_all(self, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Judged]:
        """The verdict on every fault."""
        mutants = mutants_of(self.parts)
        found: list[Judged] = []
        for done, mutant in enumerate(mutants):
            progress(done, len(mutants))
            found.append(self.judge(mutant))
        return found

    def judge(self, mutant: Mutant) -> Judged:
        try:
            session = self.session(mutant.parts())
            caught = self.first_caught(session, self.trials)
            if caught is not None:
                return Judged(mutant, "caught", described(caught))
            moved = self.error(session, self.trials)
            missed = self.first_caught(session, self.thorough)
            further = self.error(session, self.thorough)
        except (GraphcError, RunError, ValueError, IndexError) as err:
            return Judged(mutant, "caught", f"it does not run: {' '.join(str(err).split())[:160]}")
        shows = [ratio > max(ROUNDING * self.own_error, 1e-9) for ratio in (moved, further)]
        if missed is not None and not shows[0]:
            return Judged(mutant, "missed", described(missed))
        if any(shows):
            seen, own = (moved if shows[0] else further), self.own_error
            reason = f"changes an output by {seen:.2g} of the tolerance; rounding alone takes {own:.2g}"
            return Judged(mutant, "hidden", reason)
        longest = max((t.frames for t in [*self.trials, *self.thorough]), default=0)
        tried = f"{len(self.trials) + len(self.thorough)} streams of up to {longest} frames"
        return Judged(mutant, "harmless", f"changes no output on {tried}")

    def session(self, parts: Parts) -> StreamSession:
        return StreamSession(Compiled(parts.manifest, Session(parts.proto, exact=True), parts.first))

    @cached_property
    def own_error(self) -> float:
        """The difference of the intact model from its reference, divided by the tolerance."""
        return self.error(self.session(self.parts), [*self.trials, *self.thorough])

    def error(self, session: StreamSession, trials: Sequence[ValidationStream]) -> float:
        """The difference of the outputs from the reference on some streams, divided by the tolerance."""
        ratio = 0.0
        for trial, outputs in zip(trials, stream_all(session, [t.feeds for t in trials]), strict=True):
            for name, want in trial.want.items():
                if name in outputs:
                    ratio = max(ratio, distance(of_stream(outputs[name], want), want) / allowance(want, self.tolerance))
        return ratio

    def first_caught(self, session: StreamSession, trials: Sequence[ValidationStream]) -> Difference | None:
        """The first difference outside the tolerance, or None. Streams run one by one until one has a difference."""
        together = session.manifest.streams is not None
        for batch in [list(trials)] if together else [[t] for t in trials]:
            got = stream_all(session, [t.feeds for t in batch])
            for difference in compare_all(session, batch, got, [t.want for t in batch], self.tolerance):
                if not difference.holds:
                    return difference
        return None


def distance(value: Array, want: Array) -> float:
    if not want.size or value.shape != want.shape:
        return 0.0
    with np.errstate(invalid="ignore"):
        return float(np.nan_to_num(np.abs(widened(value) - widened(want)), nan=0.0).max())


def described(difference: Difference) -> str:
    place = f", frame {difference.frame}" if difference.frame is not None else ""
    return f"{difference.output} of {difference.frames} frames{place}: {difference.reason}"


def counts_of(judged: Sequence[Judged]) -> dict[str, int]:
    """The number of faults with each verdict."""
    counts = Counter(j.verdict for j in judged)
    return {verdict: counts[verdict] for verdict in ("caught", "hidden", "harmless", "missed")}


def mutation_lines(judged: Sequence[Judged]) -> list[str]:
    """The counts, and a line for each fault that was not caught, with the reason."""
    counts = counts_of(judged)
    lines = [f"{len(judged)} faults: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items())]
    if counts["hidden"]:
        lines.append("hidden faults show with a smaller validate.tolerance, or on a trained model")
    lines += [f"{j.verdict}: {j.mutant.name}: {j.reason}" for j in judged if j.verdict not in ("caught", "harmless")]
    alike: dict[str, list[str]] = {}
    for j in judged:
        if j.verdict == "harmless":
            alike.setdefault(f"{j.mutant.fault} ({j.reason})", []).append(j.mutant.place)
    return [*lines, *(f"harmless: {what}: {', '.join(places)}" for what, places in alike.items())]
