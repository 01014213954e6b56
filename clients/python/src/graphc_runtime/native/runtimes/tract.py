"""tract: https://github.com/sonos/tract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import Array, NativePort, Runner

HALF = (
    "tract computes some ops in float32 only: leave `compute: true` out of convert_float, or export the model "
    "in float32"
)


def open_runner(
    path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
) -> Runner:
    """Opens a converted model.

    Errors:
        TargetError: tract cannot load the model.
    """
    import tract

    try:
        read = tract.onnx().load(str(path))
        names = [read.input_name(i) for i in range(read.input_count())]
        places = {port.index: name for name, port in outputs.items()}
        return TractRunner(read.into_model().into_runnable(), names, places)
    except tract.TractError as err:
        said = first_lines(err)
        raise TargetError(f"tract does not take the model: {said}", hint=HALF if "F16" in said else None) from err


class TractRunner(Runner):
    """Addresses outputs by index: tract keeps their order but renames them."""

    def __init__(self, runnable: Any, inputs: Sequence[str], outputs: Mapping[int | None, str]):
        self.runnable, self.inputs, self.outputs = runnable, inputs, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        results = self.runnable.run([feeds[name] for name in self.inputs])
        return {name: np.array(results[index].to_numpy()) for index, name in self.outputs.items() if index is not None}


def first_lines(err: Exception) -> str:
    return " ".join(line.strip() for line in str(err).splitlines()[:4])[:400]
