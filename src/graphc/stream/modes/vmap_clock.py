"""Rewrites nodes that depend only on the clock for one clock per stream, with a leading axis of streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphc.ir.graph import Constant, Node, Tensor, Variable, constant_of, normalised, op_of, unused_name
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.frame_by_frame import is_elementwise

RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


class EachStream:
    """Writes nodes over tensors that have one value for each stream.

    Args:
        streams: the number of streams in the batch.
        values: the values of the clock-dependent tensors before the rewrite, without the axis of streams; only their
            shapes are used.
    """

    def __init__(self, streams: int, values: Mapping[str, Array], taken: set[str]):
        self.streams, self.values, self.taken = streams, values, taken
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []

    def shape(self, name: str) -> list[int]:
        return list(self.values[name].shape)

    def name(self, wanted: str) -> str:
        return unused_name(wanted, self.taken)

    def one(self, op: str, inputs: Sequence[Tensor], base: str, **attrs: object) -> Tensor:
        name = self.name(f"{base}/each_{op.lower()}")
        result = Variable(name)
        self.nodes.append(Node(op, name, dict(attrs), list(inputs), [result]))
        return result

    def constant(self, value: Array | Sequence[int], base: str) -> Constant:
        return Constant(self.name(f"{base}/each_value"), np.asarray(value))

    def reshaped(self, x: Tensor, shape: Sequence[int], base: str) -> Tensor:
        return self.one("Reshape", [x, self.constant(np.array(shape, np.int64), base)], base)

    def sliced(self, x: Tensor, axis: int, start: int, end: int, base: str) -> Tensor:
        parts = [self.constant(np.array([v], np.int64), base) for v in (start, end, axis)]
        return self.one("Slice", [x, *parts], base)

    def widened(self, name: str, rank: int) -> Tensor:
        """The tensor ``name`` with axes of size 1 added after the axis of streams, as broadcasting adds them.

        Args:
            rank: the rank without the axis of streams.
        """
        shape = self.shape(name)
        if len(shape) >= rank:
            return self.tensors[name]
        filled = [self.streams, *[1] * (rank - len(shape)), *shape]
        return self.reshaped(self.tensors[name], filled, name)

    def copy(self, node: Node, inputs: Sequence[Tensor], attrs: Mapping[str, object] | None = None) -> list[Tensor]:
        outputs: list[Tensor] = [Variable(self.name(f"{t.name}/each")) if t.name else t for t in node.outputs]
        name = self.name(f"{node.name or node.outputs[0].name}/each_node")
        self.nodes.append(
            Node(node.op, name, dict(node.attrs if attrs is None else attrs), list(inputs), outputs, node.domain)
        )
        return outputs

    def take(self, node: Node) -> None:
        """Writes a node whose inputs are constants or depend on the clock."""
        form = form_of(node)
        results = form(self, node) if form is not None else None
        if results is None:
            results = unrolled(self, node)
        for old, new in zip(node.outputs, results, strict=True):
            if old.name:
                self.tensors[old.name] = new


Form = Callable[[EachStream, Node], "list[Tensor] | None"]


def form_of(node: Node) -> Form | None:
    if is_elementwise(node):
        return elementwise
    if node.op in RESHAPES:
        return reshape
    return FORMS.get(op_of(node))


def elementwise(w: EachStream, node: Node) -> list[Tensor]:
    rank = max(len(w.shape(t.name)) for t in node.outputs if t.name)
    return w.copy(node, [w.widened(t.name, rank) if t.name in w.tensors else t for t in node.inputs])


def reshape(w: EachStream, node: Node) -> list[Tensor] | None:
    if node.inputs[0].name not in w.tensors:
        return None
    output = node.outputs[0].name
    return [w.reshaped(w.tensors[node.inputs[0].name], [w.streams, *w.shape(output)], output)]


def expand(w: EachStream, node: Node) -> list[Tensor] | None:
    source, output = node.inputs[0].name, node.outputs[0].name
    if source not in w.tensors or node.inputs[1].name in w.tensors:
        return None
    sizes = w.shape(output)
    return [w.one("Expand", [w.widened(source, len(sizes)), w.constant([w.streams, *sizes], output)], output)]


def transpose(w: EachStream, node: Node) -> list[Tensor]:
    rank = len(w.shape(node.outputs[0].name))
    perm = [int(a) + 1 for a in node.attrs.get("perm", range(rank - 1, -1, -1))]
    return w.copy(node, [w.tensors[node.inputs[0].name]], {"perm": [0, *perm]})


def concat(w: EachStream, node: Node) -> list[Tensor] | None:
    axis = normalised(int(node.attrs["axis"]), len(w.shape(node.outputs[0].name)))
    inputs: list[Tensor] = []
    for tensor in node.inputs:
        if tensor.name in w.tensors:
            inputs.append(w.tensors[tensor.name])
            continue
        value = constant_of(tensor)
        if value is None:
            return None
        inputs.append(w.constant(np.repeat(value[None], w.streams, axis=0), tensor.name))
    return w.copy(node, inputs, {"axis": axis + 1})


def gather(w: EachStream, node: Node) -> list[Tensor] | None:
    table, index = node.inputs
    if table.name in w.tensors and index.name not in w.tensors:
        axis = normalised(int(node.attrs.get("axis", 0)), len(w.shape(table.name)))
        return w.copy(node, [w.tensors[table.name], index], {"axis": axis + 1})
    if not isinstance(table, Constant):
        return None
    axis = normalised(int(node.attrs.get("axis", 0)), len(table.shape))
    (found,) = w.copy(node, [table, w.tensors[index.name]], {"axis": axis})
    rank = 1 + len(w.shape(node.outputs[0].name))
    if axis == 0:
        return [found]
    perm = [axis, *(a for a in range(rank) if a != axis)]
    return [w.one("Transpose", [found], node.outputs[0].name, perm=perm)]


def matmul(w: EachStream, node: Node) -> list[Tensor] | None:
    ranks = [len(w.shape(t.name)) if t.name in w.tensors else len(t.shape or ()) for t in node.inputs]
    if min(ranks) < 2:
        return None
    return w.copy(node, [w.widened(t.name, max(ranks)) if t.name in w.tensors else t for t in node.inputs])


FORMS: dict[str, Form] = {
    "Expand": expand,
    "Transpose": transpose,
    "Concat": concat,
    "Gather": gather,
    "MatMul": matmul,
}


def unrolled(w: EachStream, node: Node) -> list[Tensor]:
    """Writes a copy of the node for every stream, and joins the outputs on the axis of streams."""
    rows: list[list[Tensor]] = []
    for stream in range(w.streams):
        inputs: list[Tensor] = []
        for tensor in node.inputs:
            if tensor.name in w.tensors:
                row = w.sliced(w.tensors[tensor.name], 0, stream, stream + 1, tensor.name)
                inputs.append(w.reshaped(row, w.shape(tensor.name), tensor.name))
            else:
                inputs.append(tensor)
        results = w.copy(node, inputs)
        rows.append(
            [
                w.reshaped(t, [1, *w.shape(o.name)], o.name) if o.name else t
                for t, o in zip(results, node.outputs, strict=True)
            ]
        )
    return [
        w.one("Concat", [row[i] for row in rows], tensor.name, axis=0) if tensor.name else tensor
        for i, tensor in enumerate(node.outputs)
    ]
