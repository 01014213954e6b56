"""Streams of a batch that begin at different times: everything that depends on the clock gets one value per stream.

The lift counts frames by one clock. Tensors that depend only on the clock (masks, places, positions) are rewritten
with a leading axis of streams (``vmap_clock``). Where these tensors meet data, that axis moves to the axis on which the
data has its streams (``infer_batch_axes``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.contract.signature import StatePort
from graphc.ir.graph import (
    Node,
    Tensor,
    Variable,
    captured,
    drop_dead,
    label,
    names_in,
    normalised,
    op_of,
    sorted_nodes,
)
from graphc.ir.model import Model
from graphc.offline.reference import Offline
from graphc.stream.evaluation.time_only import SHAPE_OPS
from graphc.stream.lowering.frame_by_frame import is_elementwise
from graphc.stream.modes.infer_batch_axes import BatchLayout, BatchObservation, look, needed
from graphc.stream.modes.vmap_clock import EachStream
from graphc_runtime.errors import StreamError

SHARED_CLOCK_HINT = "leave out stream.clocks; all streams then begin together"


def per_stream_clocks(model: Model, offline: Offline) -> None:
    """Gives every stream of a batch a clock of its own. Changes the model in place.

    Errors:
        StreamError: no input has a batch axis, streams are mixed, or a node cannot be rewritten.
    """
    signature = model.signature
    assert signature is not None
    if not any(i.name in offline.batch_axes for i in signature.inputs):
        raise StreamError(
            "no input has a batch axis",
            hint=f"export the model with a dynamic batch axis, or with a batch of {offline.batch} (stream.batch)",
        )
    graph = model.graph
    hanging = on_the_clock(model)
    meetings = [n for n in graph.nodes if meets(n, hanging)]
    states = [s for s in signature.states if s.input not in hanging]
    names = {t.name for n in meetings for t in [*n.inputs, *n.outputs] if isinstance(t, Variable) and t.name}
    names |= {t.name for n in graph.nodes for t in n.outputs if t.name in hanging}
    names |= {o.name for o in signature.outputs} | {s.output for s in states}
    names -= {t.name for t in graph.inputs}
    observed = look(model, offline, sorted(names))
    layouts = {
        i.name: BatchLayout(offline.batch_axes[i.name], 1) for i in signature.inputs if i.name in offline.batch_axes
    }
    layouts |= {s.input: needed(observed, s.output, s.node) for s in states}
    rewriting = Rewriting(model, offline.batch, hanging, observed, layouts)
    rewriting.run()
    ports = tuple(rewriting.ports.get(s.input, s) for s in signature.states)
    layouts |= {o.name: needed(observed, o.name) for o in signature.outputs}
    axes = {name: layout.axis for name, layout in layouts.items()} | dict.fromkeys(rewriting.ports, 0)
    model.signature = replace(signature, states=ports, streams=offline.batch, batch_axes=axes)


def on_the_clock(model: Model) -> set[str]:
    """The tensors that depend on the clock or on the number of real frames, and on no data."""
    signature = model.signature
    assert signature is not None
    graph = model.graph
    data = {i.name for i in signature.inputs} | {s.input for s in signature.states if s.kind == "given"}
    while True:
        add_dependents(graph.nodes, data)
        more = {s.input for s in signature.states if s.output in data} - data
        if not more:
            break
        data |= more
    hanging = {t.name for t in graph.inputs} - data
    add_dependents(graph.nodes, hanging)
    return hanging - data


def add_dependents(nodes: Sequence[Node], names: set[str]) -> None:
    """Adds the names of all tensors that depend on the values of the tensors in ``names``."""
    for node in nodes:
        if node.op not in SHAPE_OPS and any(t.name in names for t in [*node.inputs, *captured(node)]):
            names.update(t.name for t in node.outputs if t.name)


def meets(node: Node, hanging: set[str]) -> bool:
    """Whether a node combines the clock with data."""
    reads = {t.name for t in [*node.inputs, *captured(node)]}
    return bool(reads & hanging) and not any(t.name in hanging for t in node.outputs)


class Rewriting:
    """A graph that is being rewritten for one clock per stream.

    The attribute ``ports`` is the new state port of each state that depends on the clock, by input name.
    """

    def __init__(
        self,
        model: Model,
        streams: int,
        hanging: set[str],
        observed: BatchObservation,
        ports: dict[str, BatchLayout],
    ):
        self.model, self.graph, self.hanging = model, model.graph, hanging
        self.observed, self.layouts = observed, {**observed.layouts, **ports}
        values = {**observed.values, **{t.name: np.zeros(t.shape) for t in self.graph.inputs if t.name in hanging}}
        self.w = EachStream(streams, values, names_in(self.graph))
        self.streams = streams
        self.ports: dict[str, StatePort] = {}

    def run(self) -> None:
        self.widen_inputs()
        outputs = {t.name: t for t in self.graph.outputs}
        for node in sorted_nodes(self.graph):
            if any(t.name in self.hanging for t in node.outputs):
                if any(t.name in self.hanging for t in captured(node)):
                    self.refuse(node)
                self.w.take(node)
            elif meets(node, self.hanging):
                self.meet(node)
        self.widen_outputs(outputs)
        self.graph.nodes = [*self.graph.nodes, *self.w.nodes]
        self.graph.nodes = sorted_nodes(self.graph)
        drop_dead(self.graph)

    def refuse(self, node: Node) -> None:
        raise StreamError(
            "cannot be rewritten so that every stream of the batch has its own clock",
            node=label(node),
            hint=SHARED_CLOCK_HINT,
        )

    def wide(self, shape: Sequence[int]) -> list[int]:
        """The shape of a port after it gets a value for each stream: [1] becomes [streams]."""
        return [self.streams, *(shape if list(shape) != [1] else [])]

    def widen_inputs(self) -> None:
        signature = self.model.signature
        assert signature is not None
        states = {s.input: s for s in signature.states}
        for port in self.graph.inputs:
            if port.name not in self.hanging:
                continue
            own, shape = list(port.shape), self.wide(list(port.shape))
            port.shape = shape
            self.w.tensors[port.name] = (
                port if len(shape) > len(own) else self.w.reshaped(port, [self.streams, *own], port.name)
            )
            if port.name in states:
                init = np.repeat(states[port.name].init[None], self.streams, axis=0).reshape(shape)
                self.ports[port.name] = replace(states[port.name], init=init)

    def widen_outputs(self, outputs: dict[str, Tensor]) -> None:
        signature = self.model.signature
        assert signature is not None
        for state in signature.states:
            if state.input not in self.ports:
                continue
            port = outputs[state.output]
            (old,) = port.inputs
            old.outputs.clear()
            port.shape = list(self.ports[state.input].init.shape)
            target = self.w.constant(np.array(port.shape, np.int64), port.name)
            name = self.w.name(f"{port.name}/each_port")
            self.w.nodes.append(Node("Reshape", name, {}, [self.w.tensors[port.name], target], [port]))

    def meet(self, node: Node) -> None:
        """Aligns the node's inputs that depend on the clock with the streams of its data inputs."""
        if any(t.name in self.hanging for t in captured(node)):
            self.refuse(node)
        table = node.inputs[0]
        if op_of(node) == "Gather" and table.name not in self.hanging and len(self.w.shape(node.inputs[1].name)) == 1:
            self.gather(node)
            return
        rank = len(self.observed.values[node.outputs[0].name].shape)
        layout = self.layout(node)
        from_right = rank - layout.axis
        if not (is_elementwise(node) or op_of(node) == "Concat" or (op_of(node) == "MatMul" and from_right > 2)):
            self.refuse(node)
        exact = op_of(node) == "Concat"
        node.inputs = [
            self.aligned(node, t, from_right, layout.repeats, exact) if t.name in self.hanging else t
            for t in node.inputs
        ]

    def layout(self, node: Node) -> BatchLayout:
        """The layout of the streams in a node's output: as observed, or as in the data that it reads."""
        output = node.outputs[0].name
        if output in self.layouts:
            return self.layouts[output]
        rank = self.observed.values[output].ndim
        for tensor in node.inputs:
            found = self.layouts.get(tensor.name)
            if found is not None:
                seen = self.observed.values.get(tensor.name)
                own = len(tensor.shape) if seen is None else seen.ndim
                return BatchLayout(rank - own + found.axis, found.repeats)
        return needed(self.observed, output, label(node))

    def aligned(self, node: Node, tensor: Tensor, from_right: int, repeats: int, exact: bool = False) -> Tensor:
        """A tensor with a value for each stream, and with the streams on the axis ``from_right``.

        Refuses a tensor that already differs along that axis.
        """
        w, name, n = self.w, tensor.name, self.streams
        shape, each = w.shape(name), w.tensors[name]
        place = len(shape) - from_right
        if place < 0:
            target = [n, *[1] * (from_right - 1 - len(shape)), *shape]
            place = 0
            each = w.reshaped(each, target, name)
        else:
            if shape[place] != 1:
                value = self.observed.values[name]
                if not np.array_equal(value, np.broadcast_to(value.take([0], axis=place), value.shape)):
                    self.refuse(node)
                each = w.sliced(each, place + 1, 0, 1, name)
            rest = [*shape[:place], *shape[place + 1 :]]
            target = [*shape[:place], n, *shape[place + 1 :]]
            if math.prod(shape[:place]) != 1:
                each = w.reshaped(each, [n, *rest], name)
                perm = [*range(1, place + 1), 0, *range(place + 1, len(rest) + 1)]
                each = w.one("Transpose", [each], name, perm=perm)
            each = w.reshaped(each, target, name)
        if repeats > 1:
            each = self.repeated(each, target, place, repeats, name)
        return each

    def repeated(self, x: Tensor, shape: Sequence[int], place: int, repeats: int, name: str) -> Tensor:
        """The tensor with each entry repeated ``repeats`` times in a row on the axis ``place``."""
        w = self.w
        apart = w.reshaped(x, [*shape[: place + 1], 1, *shape[place + 1 :]], name)
        sizes = [*shape[: place + 1], repeats, *shape[place + 1 :]]
        wide = w.one("Expand", [apart, w.constant(np.array(sizes, np.int64), name)], name)
        return w.reshaped(wide, [*shape[:place], shape[place] * repeats, *shape[place + 1 :]], name)

    def gather(self, node: Node) -> None:
        """Rewrites a Gather of frames at positions from the clock, so that each stream has its own positions."""
        w, (table, index) = self.w, node.inputs
        output = node.outputs[0]
        shape = list(self.observed.values[output.name].shape)
        layout = needed(self.observed, output.name, label(node))
        along = normalised(int(node.attrs.get("axis", 0)), len(shape))
        (count,) = w.shape(index.name)
        each = w.tensors[index.name]
        if along < layout.axis:
            each = w.one("Transpose", [each], index.name, perm=[1, 0])
        target = [count if a == along else self.streams if a == layout.axis else 1 for a in range(len(shape))]
        each = w.reshaped(each, target, index.name)
        if layout.repeats > 1:
            each = self.repeated(each, target, layout.axis, layout.repeats, index.name)
        places = w.one("Expand", [each, w.constant(np.array(shape, np.int64), index.name)], index.name)
        node.op, node.attrs, node.inputs = "GatherElements", {"axis": along}, [table, places]
