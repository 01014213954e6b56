"""ExecuTorch with XNNPACK: https://docs.pytorch.org/executorch/stable/, from a torch program that graphc writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import onnx

from graphc.targets.runtimes.converter_process import convert_apart
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.native.ports import NativePort, Runner
from graphc_runtime.native.runtimes.executorch import open_runner

CONVERT = """
import sys
from graphc.targets.runtimes.converter_process import in_this_process
from graphc.targets.runtimes.executorch import lower
in_this_process(lower, sys.argv[1:])
"""


class ExecuTorch(Target):
    name: ClassVar[str] = "executorch"
    summary: ClassVar[str] = "PyTorch's runtime for phones and boards, by XNNPACK's kernels"
    package: ClassVar[str] = "executorch"
    module: ClassVar[str] = "executorch"
    extra: ClassVar[str] = "executorch"
    license: ClassVar[str] = "BSD-3-Clause"
    suffixes: ClassVar[tuple[str, ...]] = (".pte",)

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        with TemporaryDirectory() as folder:
            source, written = Path(folder) / "model.onnx", Path(folder) / "model.pte"
            onnx.save(model.proto, source)
            convert_apart("ExecuTorch", CONVERT, [str(source), str(written)])
            content = written.read_bytes()
        places = {p.name: i for side in (model.proto.graph.input, model.proto.graph.output) for i, p in enumerate(side)}
        ports = {name: replace(port, index=places[name]) for name, port in model.native().items()}
        return Converted({".pte": content}, ports)

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return open_runner(path, inputs, outputs, threads)


def lower(source: str, written: str) -> None:
    """Writes the program of an ONNX model. Nodes that XNNPACK does not support run in ExecuTorch's own kernels."""
    import logging

    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from graphc.emit.torch_program.program import example_of, program_of

    logging.disable(logging.WARNING)
    model = onnx.load(source)
    program = program_of(model)
    with torch.no_grad():
        exported = torch.export.export(program, example_of(model, program.inputs), strict=False)
    lowered = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()]).to_executorch()
    Path(written).write_bytes(lowered.buffer)


TARGET = ExecuTorch()
