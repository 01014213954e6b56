"""Runs nodes that only move entries, on the indices of the entries instead of their values."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import onnx

from graphc.ir.graph import Graph, Node, Tensor, Variable, label
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.node_facts import Facts
from graphc_runtime.errors import RunError, StreamError

PLAIN_MOVERS = (
    "Identity",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Flatten",
    "Concat",
    "Slice",
    "Split",
    "Gather",
)
MOVERS = (*PLAIN_MOVERS, "GatherElements", "GatherND", "Pad", "Expand", "Tile")
MOVER = "mover"
Content = tuple[tuple[int, ...], str, int]


def content_of(value: Array, memo: dict[Any, Any]) -> Content:
    """A key for the content of an array. The key is computed only once, so the array must not change afterwards."""
    key = ("content", id(value))
    held, content = memo.get(key, (None, None))
    if held is None or held() is not value:
        content = value.shape, value.dtype.str, hash(value.tobytes())
        memo[key] = weakref.ref(value), content
    return cast(Content, content)


def run_once(node: Node, facts: Facts, inputs: Sequence[Array | None]) -> list[Array]:
    """The outputs of a node for the given inputs.

    Equal nodes with equal inputs, as in the layers of a model, are run only once.
    """
    told = [None if v is None else content_of(v, facts.memo) for v in inputs]
    key = ("move", node.op, repr(sorted(node.attrs.items())), *told)
    if key not in facts.memo:
        session, names = mover(node, facts, inputs)
        run = session.run({f"input_{k}": v for k, v in enumerate(inputs) if v is not None})
        facts.memo[key] = [np.asarray(run[name]) for name in names]
    found: list[Array] = facts.memo[key]
    return found


def mover(node: Node, facts: Facts, inputs: Sequence[Array | None]) -> tuple[Session, list[str]]:
    """A session that runs one node on inputs of these types, and the names of its outputs.

    Errors:
        StreamError: onnxruntime does not load the node.
    """
    types = tuple(None if v is None else (v.dtype.str, v.ndim) for v in inputs)
    key = (MOVER, node.op, repr(sorted(node.attrs.items())), len(node.outputs), types)
    if key not in facts.memo:
        ports: list[Tensor | None] = [
            None if v is None else Variable(f"input_{k}", v.dtype, [None] * v.ndim) for k, v in enumerate(inputs)
        ]
        builder = Builder(facts.chunk, set())
        results = [r for r in builder.copy(node, ports) if r is not None and r.name]
        given = [p for p in ports if p is not None]
        graph = Graph(builder.nodes, given, results, opset=facts.opset, import_domains=list(facts.domains))
        try:
            session = Session(export_model(graph, onnx.ModelProto(ir_version=facts.ir_version)), optimize=False)
        except RunError as err:
            raise StreamError(f"onnxruntime cannot run it: {err}", node=label(node)) from err
        facts.memo[key] = session, [r.name for r in results]
    found: tuple[Session, list[str]] = facts.memo[key]
    return found
