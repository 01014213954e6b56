"""One trial: a variant of the spec, compiled in a process of its own, and what came of it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from graphc.system.files import write_all
from graphc.system.scratch_files import remove_scratch_of

TRIALS, RESULT, SPEC, MODEL = "trials", "result.json", "spec.yaml", "model.onnx"
FORMAT = 1
State = Literal["done", "refused", "failed"]


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Args:
        changes: values by their place in the spec.
        text: the spec, as it stands in the trial's folder.
        key: names the folder; another model, spec or version of graphc gives another key.
        allowed: folders whose passes may run.
    """

    changes: dict[str, Any]
    text: str
    key: str
    folder: Path
    allowed: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Args:
        state: refused: graphc says why the variant cannot be; failed: the numbers do not hold, or the process ended.
        metrics: by name, of a trial that is done.
        missed: the lines of the budget that it misses.
        seconds: that it took, with its checks.
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
        """Whether it is done and within the budget."""
        return self.state == "done" and not self.missed


def trial_key(text: str, content: str) -> str:
    """
    Args:
        content: of all that the trial depends on beside its spec.
    """
    return sha256("\n".join([str(FORMAT), content, text]).encode()).hexdigest()[:16]


def known_result(trial: Trial) -> Result | None:
    """The result of a trial that ran before; one that is damaged counts for none."""
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
    """The result of a trial, out of a process that dies with this one; out of its file where it ran before."""
    known = known_result(trial)
    if known is not None:
        return known
    write_all({trial.folder / SPEC: trial.text.encode()})
    told: dict[str, Any] = {"folder": str(trial.folder), "changes": trial.changes, "key": trial.key}
    told |= {"allowed": [str(p) for p in trial.allowed], "parent": os.getpid()}
    process = subprocess.Popen(
        [sys.executable, "-m", "graphc.sweeps.trial_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(json.dumps(told))
    finally:
        process.kill()
        process.wait()
        remove_scratch_of(process.pid)
    known = known_result(trial)
    if known is not None:
        return known
    lines = said.strip().splitlines()[-1:] if said else []
    why = f"its process ended with status {process.returncode}{': ' + lines[0] if lines else ''}"
    return Result(trial.key, trial.changes, "failed", why)


def save(result: Result, folder: Path) -> None:
    write_all({folder / RESULT: json.dumps({"format": FORMAT, **asdict(result)}, indent=1).encode()})
