"""Runs a model as a torch program, as a check if the runtime itself does not run on this system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from graphc_runtime.native.ports import Array, NativePort, Runner


class TorchRunner(Runner):
    """Runs the torch program of an ONNX model.

    Errors:
        TargetError: names the node that torch does not support.
    """

    def __init__(self, model: onnx.ModelProto, ports: Mapping[str, NativePort]):
        import torch

        from graphc.emit.torch_program.program import program_of

        self.torch, self.program, self.ports = torch, program_of(model), ports
        self.dtypes = {
            p.name: onnx.helper.tensor_dtype_to_np_dtype(p.type.tensor_type.elem_type) for p in model.graph.input
        }

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        with self.torch.no_grad():
            taken = [self.torch.from_numpy(feeds[n].astype(self.dtypes[n])) for n in self.program.inputs]
            given = self.program(*taken)
        results = zip(self.program.outputs, given, strict=True)
        return {name: np.array(value.numpy()).astype(self.ports[name].dtype) for name, value in results}
