"""MNN: https://github.com/alibaba/MNN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import Array, NativePort, Runner
from graphc_runtime.native.quiet_libraries import silent


def open_runner(
    path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
) -> Runner:
    """Opens a converted model.

    Errors:
        TargetError: MNN cannot load the model.
    """
    return MnnRunner(path, inputs, outputs, threads)


class MnnRunner(Runner):
    """Addresses ports by name when it loads the model, and by their order in calls."""

    def __init__(self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int):
        with silent():
            import MNN.expr as expr
            import MNN.nn as nn

        self.expr, self.inputs, self.outputs = expr, list(inputs), list(outputs)
        self.kinds = {"int32": expr.int, "float32": expr.float}
        settings = {"backend": "CPU", "numThread": threads, "precision": "high"}
        names = [[port.name for port in ports.values()] for ports in (inputs, outputs)]
        with silent():
            manager = nn.create_runtime_manager((settings,))
            self.network = nn.load_module_from_file(str(path), *names, runtime_manager=manager)
        if self.network is None:
            raise TargetError("MNN does not take the converted model", where=str(path))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        expr = self.expr
        taken = [
            expr.const(feeds[name], list(feeds[name].shape), expr.NCHW, self.kinds[str(feeds[name].dtype)])
            for name in self.inputs
        ]
        given = self.network.forward(taken)
        results = {}
        for name, value in zip(self.outputs, given if isinstance(given, list | tuple) else [given], strict=True):
            plain = expr.convert(value, expr.NCHW) if value.data_format == expr.NC4HW4 else value
            results[name] = np.array(plain.read(), copy=True).reshape(plain.shape)
        return results
