"""One trial: a variant of the spec, compiled in a separate process, and its result."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from graphc.engines.child import run_child
from graphc.system.files import write_all

TRIALS, RESULT, SPEC, MODEL = "trials", "result.json", "spec.yaml", "model.onnx"
FORMAT = 1
State = Literal["done", "refused", "failed"]


@dataclass(frozen=True)
class Trial:
    """One trial, before it runs.

    Args:
        changes: values by their place in the spec.
        text: the text of the spec in the trial's folder.
        key: the name of the folder. Another model, spec or version of graphc gives another key.
        allowed: folders whose passes may run.
    """

    changes: dict[str, Any]
    text: str
    key: str
    folder: Path
    allowed: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Result:
    """The result of a trial.

    Args:
        state: "refused" if graphc cannot compile the variant; "failed" if the numbers do not hold or the process ended.
        metrics: the figures by name, if the trial is done.
        missed: a line for each limit of the budget that the trial misses.
        seconds: the time that the trial took, with its checks.
    """

    key: str
    changes: dict[str, Any]
    state: State
    reason: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the trial is done and within the budget."""
        return self.state == "done" and not self.missed


def trial_key(text: str, content: str) -> str:
    """The key of a trial.

    Args:
        content: a hash of everything that the trial depends on besides its spec.
    """
    return sha256("\n".join([str(FORMAT), content, text]).encode()).hexdigest()[:16]


def known_result(trial: Trial) -> Result | None:
    """The result of a trial that ran before. None if there is none or it is damaged."""
    try:
        held = json.loads((trial.folder / RESULT).read_text())
        if held.pop("format") != FORMAT or held["key"] != trial.key:
            return None
        result = Result(**held)
        sound = all(math.isfinite(v) for v in result.metrics.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return result if sound else None


def run_trial(trial: Trial) -> Result:
    """The result of a trial: from its file if it ran before, else from a child process that ends with this one."""
    known = known_result(trial)
    if known is not None:
        return known
    write_all({trial.folder / SPEC: trial.text.encode()})
    told = {"folder": str(trial.folder), "changes": trial.changes, "key": trial.key}
    ended = run_child("graphc.sweeps.trial_process", {**told, "allowed": [str(p) for p in trial.allowed]})
    return known_result(trial) or Result(trial.key, trial.changes, "failed", ended.why)


def save(result: Result, folder: Path) -> None:
    write_all({folder / RESULT: json.dumps({"format": FORMAT, **asdict(result)}, indent=1).encode()})
