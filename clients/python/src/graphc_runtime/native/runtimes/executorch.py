"""ExecuTorch: https://docs.pytorch.org/executorch/."""

from __future__ import annotations

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
        TargetError: ExecuTorch cannot load the model.
    """
    return ExecuTorchRunner(path, inputs, outputs)


class ExecuTorchRunner(Runner):
    """Addresses ports by index."""

    def __init__(self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        with silent():
            import torch
            from executorch.runtime import Runtime

            try:
                self.method = Runtime.get().load_program(str(path)).load_method("forward")
            except RuntimeError as err:
                raise TargetError(f"ExecuTorch does not take the file: {str(err)[:300]}", where=str(path)) from err
        self.from_numpy = torch.from_numpy
        self.inputs = sorted(inputs, key=lambda name: inputs[name].index or 0)
        self.outputs = sorted(outputs, key=lambda name: outputs[name].index or 0)

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        given = self.method.execute([self.from_numpy(feeds[name]) for name in self.inputs])
        return {name: np.array(value.numpy()) for name, value in zip(self.outputs, given, strict=True)}
