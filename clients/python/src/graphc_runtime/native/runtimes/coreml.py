"""Core ML: https://apple.github.io/coremltools/."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import Array, NativePort, Runner
from graphc_runtime.native.quiet_libraries import silent


def open_runner(
    path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
) -> Runner:
    """Opens a converted model.

    Errors:
        TargetError: this is not one of Apple's systems.
    """
    if platform.system() != "Darwin":
        raise TargetError("Core ML runs only on Apple's systems", hint="open it there, or open another target here")
    return CoreMlRunner(path, outputs)


class CoreMlRunner(Runner):
    """Addresses ports by name."""

    def __init__(self, path: Path, outputs: Mapping[str, NativePort]):
        with silent():
            import coremltools

            self.model, self.outputs = coremltools.models.MLModel(str(path)), outputs

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        given = self.model.predict(dict(feeds))
        return {name: np.asarray(given[port.name]) for name, port in self.outputs.items()}
