"""Runs nodes on constants, to find the frames that ops give outside a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from graphc.ir.graph import Graph, Node, Tensor, label
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.node_facts import Facts
from graphc_runtime.errors import RunError, StreamError

Core = Callable[[Builder, Tensor], Sequence[Tensor | None]]


def run_constants(nodes: list[Node], outputs: Sequence[Tensor], facts: Facts) -> dict[str, Array]:
    """The values of the outputs of nodes that read only constants, by name.

    Errors:
        StreamError: onnxruntime does not run the nodes.
    """
    graph = Graph(nodes=list(nodes), outputs=list(outputs), opset=facts.opset, import_domains=list(facts.domains))
    model = export_model(graph, onnx.ModelProto(ir_version=facts.ir_version))
    try:
        run = Session(model, optimize=False).run({})
    except RunError as err:
        reason = f"onnxruntime cannot run it on the frames before or after the stream: {err}"
        raise StreamError(reason, node=label(facts.node)) from err
    return {name: np.asarray(value) for name, value in run.items()}


def run_core(core: Core, chunk: Array, facts: Facts) -> Array:
    """The first output of an op for a chunk that is a constant."""
    builder = Builder(facts.chunk, set())
    result = core(builder, builder.constant(chunk))[0]
    assert result is not None
    return run_constants(builder.nodes, [result], facts)[result.name]
