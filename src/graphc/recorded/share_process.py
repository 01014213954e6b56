"""The process for one share: streams each recording through the compiled model, and prints the comparisons."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graphc.build.validate_and_bench import Recheck, recheck_of
from graphc.engines.child import told_by_parent
from graphc.recorded.share import Recorded
from graphc.spec.spec_file import load_spec
from graphc.system.memory_limit import stay_in_free_memory
from graphc.validate.recorded_streams import recorded_trials
from graphc.validate.run_streams import compare_session
from graphc_runtime.errors import GraphcError
from graphc_runtime.ort_model import load_op_library

STDOUT, STDERR = 1, 2


def main() -> None:
    told = told_by_parent()
    answer = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    warnings.simplefilter("ignore")
    stay_in_free_memory(told["processes"])
    with os.fdopen(answer, "w") as file:
        json.dump(found(told), file)


def found(told: dict[str, Any]) -> dict[str, Any]:
    try:
        for path in told["op_libraries"]:
            load_op_library(Path(path))
        checked = recheck_of(load_spec(Path(told["spec"])))
    except GraphcError as err:
        return {"error": str(err)}
    return {"results": [asdict(compared(checked, file)) for file in told["files"]]}


def compared(checked: Recheck, file: str) -> Recorded:
    manifest = checked.session.manifest
    try:
        trials = recorded_trials(checked.reference, [Path(file)], manifest.frame_ms, checked.session.chunk, manifest)
        differences = compare_session(checked.session, trials, checked.tolerance)
    except GraphcError as err:
        return Recorded(file, refused=str(err))
    (trial,) = trials
    return Recorded(file, trial.frames, trial.whole or trial.frames, tuple(differences))


if __name__ == "__main__":
    main()
