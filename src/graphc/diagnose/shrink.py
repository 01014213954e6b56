"""Cuts smaller models out of a failing one: fewer outputs, inputs closer to the outputs, nodes removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import onnx
from onnx import helper

from graphc.ir.import_export import FLOATS
from graphc.ir.ort_session import Session
from graphc.ir.subgraphs import graphs_of
from graphc.offline.feeds import Feeds
from graphc.offline.random_inputs import whole_feeds
from graphc.offline.reference import Offline
from graphc.spec.input_roles import CountsRole, StaticRole, StreamRole
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc_runtime.errors import GraphcError, RunError

LENGTHS = 3


@dataclass(frozen=True)
class Case:
    """A model and the stream section of its spec."""

    model: onnx.ModelProto
    stream: StreamSpec | None


@dataclass(frozen=True)
class Shapes:
    """Element types of tensors, and their shapes at some lengths of the stream."""

    lengths: tuple[int, ...]
    types: Mapping[str, int]
    shapes: Mapping[str, tuple[tuple[int, ...], ...]]

    def time_axis(self, name: str) -> tuple[int, Fraction] | None:
        """The only axis that grows with time, and its frames per input frame. None if there is no such axis."""
        shapes = self.shapes.get(name, ())
        if len(shapes) < 2 or len({len(s) for s in shapes}) != 1:
            return None
        free = [a for a in range(len(shapes[0])) if len({s[a] for s in shapes}) > 1]
        if len(free) != 1:
            return None
        grown = shapes[-1][free[0]] - shapes[0][free[0]]
        rate = Fraction(grown, self.lengths[-1] - self.lengths[0]).limit_denominator(4096)
        exact = all(s[free[0]] == n * rate for s, n in zip(shapes, self.lengths, strict=True))
        return (free[0], rate) if rate > 0 and exact else None


def shapes_of(offline: Offline) -> Shapes:
    """Types and shapes of all tensors at some lengths. Empty if the model does not run with all tensors as outputs."""
    lengths = tuple(sorted(offline.some_lengths())[:LENGTHS])
    return shapes_seen(offline.model, lengths, [offline.draw(n, np.random.default_rng(0)) for n in lengths])


def shapes_once(case: Case) -> Shapes:
    """Types and shapes of all tensors for one random input, for a model that does not stream."""
    try:
        return shapes_seen(case.model, (1,), whole_feeds(case.model, None, 1, 0))
    except GraphcError:
        return Shapes((), {}, {})


def shapes_seen(source: onnx.ModelProto, lengths: tuple[int, ...], sequences: Sequence[Feeds]) -> Shapes:
    model = onnx.ModelProto()
    model.CopyFrom(source)
    names = [o for n in model.graph.node for o in n.output if o]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    types: dict[str, int] = {}
    shapes: dict[str, list[tuple[int, ...]]] = {}
    try:
        session = Session(model, optimize=False)
        for feeds in sequences:
            for name, value in {**feeds, **session.run(feeds)}.items():
                if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
                    types[name] = int(helper.np_dtype_to_tensor_dtype(value.dtype))
                    shapes.setdefault(name, []).append(value.shape)
    except (RunError, ValueError):
        return Shapes(lengths, {}, {})
    return Shapes(lengths, types, {n: tuple(s) for n, s in shapes.items() if len(s) == len(lengths)})


def with_output(case: Case, name: str, shapes: Shapes) -> Case:
    """The model with one tensor as its only output, and only the nodes that compute it."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    kept = [o for o in model.graph.output if o.name == name]
    dims = shapes.shapes.get(name)
    free = shapes.time_axis(name)
    if not kept and dims is not None:
        shape = [f"{name}_frames" if free is not None and a == free[0] else d for a, d in enumerate(dims[0])]
        varied = len(set(dims)) > 1 and free is None
        kept = [helper.make_tensor_value_info(name, shapes.types[name], None if varied else shape)]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return Case(pruned(model), case.stream)


def pruned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drops nodes, weights and inputs that no output needs, and all value infos. Changes the model in place."""
    wanted = {o.name for o in model.graph.output}
    keep_ancestors(model, wanted)
    read = wanted | {name for n in model.graph.node for name in (*n.input, *inner_reads(n))}
    for field in ("initializer", "input", "sparse_initializer"):
        kept = [
            t for t in getattr(model.graph, field) if (t.values.name if field.startswith("sparse") else t.name) in read
        ]
        del getattr(model.graph, field)[:]
        getattr(model.graph, field).extend(kept)
    del model.graph.value_info[:]
    return model


def with_inputs(case: Case, names: Sequence[str], shapes: Shapes, offline: Offline) -> Case | None:
    """The model with the tensors ``names`` as stream inputs. None if they cannot be the inputs of one stream."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    cut = set(names)
    for node in model.graph.node:
        for place, name in enumerate(node.output):
            if name in cut:
                node.output[place] = f"{name}//made"
    rates: dict[str, Fraction] = {}
    for name in names:
        free = shapes.time_axis(name)
        if free is None or shapes.types[name] not in FLOATS:
            return None
        axis, rates[name] = free
        dims = ["T" if a == axis else d for a, d in enumerate(shapes.shapes[name][0])]
        model.graph.input.append(helper.make_tensor_value_info(name, shapes.types[name], dims))
    model = pruned(model)
    roles = {p.name: role_of(p.name, rates, shapes, offline) for p in model.graph.input}
    return fed_by(model, roles, case)


def role_of(name: str, rates: Mapping[str, Fraction], shapes: Shapes, offline: Offline) -> InputSpec | None:
    """The role of an input: one that was an inner tensor, or one of the original model. None if it is not supported."""
    if name in rates:
        free = shapes.time_axis(name)
        assert free is not None
        return InputSpec(axis=free[0], rate=rates[name])
    role = offline.roles.get(name)
    if isinstance(role, StreamRole):
        return InputSpec(axis=role.axis, rate=role.rate)
    if isinstance(role, CountsRole):
        return InputSpec(counts=role.of)
    return InputSpec(static=True) if isinstance(role, StaticRole) else None


def fed_by(model: onnx.ModelProto, roles: Mapping[str, InputSpec | None], case: Case) -> Case | None:
    """A case with rates relative to its first stream input, and a chunk of the same duration. None if impossible."""
    stream = case.stream
    first = next((s for s in roles.values() if s is not None and s.axis is not None), None)
    if stream is None or first is None or any(s is None for s in roles.values()):
        return None
    inputs = {
        name: spec.model_copy(update={"rate": spec.rate / first.rate})
        for name, spec in roles.items()
        if spec is not None
    }
    if any(s.counts is not None and s.counts not in inputs for s in inputs.values()):
        return None
    chunk: Any = stream.chunk
    if isinstance(chunk, int):
        frames = chunk * first.rate
        if frames.denominator != 1:
            return None
        chunk = int(frames)
    frame_ms = None if stream.frame_ms is None else float(stream.frame_ms / first.rate)
    return Case(model, stream.model_copy(update={"inputs": inputs, "chunk": chunk, "frame_ms": frame_ms}))


def without_node(case: Case, output: str, shapes: Shapes) -> Case | None:
    """The model in which a node's input replaces its output, if both have the same type and shape."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    node = next((n for n in model.graph.node if output in n.output), None)
    if node is None or len([o for o in node.output if o]) != 1 or output in {o.name for o in model.graph.output}:
        return None
    alike = [
        name
        for name in node.input
        if name
        and shapes.shapes.get(name) == shapes.shapes.get(output)
        and shapes.types.get(name) == shapes.types.get(output)
    ]
    if not alike or output not in shapes.shapes:
        return None
    for reader in model.graph.node:
        for place, name in enumerate(reader.input):
            if name == output:
                reader.input[place] = alike[0]
    return Case(pruned(model), case.stream)


def size_of_case(case: Case) -> int:
    """The number of nodes of a case's model."""
    return len(case.model.graph.node)


def keep_ancestors(model: onnx.ModelProto, wanted: set[str]) -> None:
    """Drops the nodes that no wanted tensor depends on."""
    needed = set(wanted)
    kept: list[onnx.NodeProto] = []
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input) | inner_reads(node)
    del model.graph.node[:]
    model.graph.node.extend(kept[::-1])


def inner_reads(node: onnx.NodeProto) -> set[str]:
    """The tensors that a node's subgraphs read."""
    return {name for graph in graphs_of(node) for child in graph.node for name in child.input}
