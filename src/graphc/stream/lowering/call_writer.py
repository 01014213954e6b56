"""Writes the graph of one call node by node, with names, constants and states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from onnx import TensorProto

from graphc.contract.signature import StatePort, StateScale
from graphc.errors import ChunkMisfitError
from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable, name_of, unused_name
from graphc.ir.weights.weight_files import KeptArray, KeptValues, place_of
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.options import DEFAULT
from graphc_runtime.contract.manifest import StateKind


def frames_in_chunk(chunk: int, stream: Stream) -> int:
    """The number of frames of a stream in a chunk of ``chunk`` input frames.

    Errors:
        ChunkMisfitError: the number is not whole.
    """
    frames = chunk * stream.rate
    if frames.denominator != 1:
        raise ChunkMisfitError(
            stream.rate.denominator,
            f"a chunk of {chunk} input frames would be {frames} frames here, which is not a whole number",
        )
    return int(frames)


class CallWriter:
    """Writes the nodes and states of one call. Equal constants are written once.

    Args:
        chunk: frames of the stream input in a call.
        taken: names that may not be given to new tensors.
        grid: if calls differ in size, the number of input frames of which every call takes a multiple; None if every
            call takes one chunk.
        template: the template of the names of state ports (``LiftOptions.ports``).

    ``tensors`` maps the name of each offline tensor met so far to its part in one call.
    """

    def __init__(self, chunk: int, taken: set[str], grid: int | None = None, template: str = DEFAULT.ports):
        self.chunk = chunk
        self.template = template
        self.grid = grid
        self.taken = taken
        self.nodes: list[Node] = []
        self.copied: set[str] = set()
        self.states: list[StatePort] = []
        self.ports: dict[str, tuple[Variable, Variable]] = {}
        self.valid_frames: Variable | None = None
        self.node: str = ""
        self.memo: dict[tuple[Any, ...] | str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self.next_values: dict[str, Tensor] = {}

    def name(self, wanted: str) -> str:
        return unused_name(wanted, self.taken)

    def add(
        self,
        op: str,
        inputs: Sequence[Tensor | None],
        attrs: Mapping[str, Any] | None = None,
        hint: str = "",
        outputs: int = 1,
        domain: str | None = None,
    ) -> list[Variable]:
        """Appends a node and returns its outputs."""
        base = f"{self.node}/{hint or op.lower()}"
        results = [Variable(self.name(base if outputs == 1 else f"{base}.{i}")) for i in range(outputs)]
        given = [Variable.empty() if t is None else t for t in inputs]
        self.nodes.append(Node(op, results[0].name, dict(attrs or {}), given, list(results), domain))
        return results

    def one(self, op: str, *inputs: Tensor | None, hint: str = "", **attrs: Any) -> Variable:
        return self.add(op, inputs, attrs, hint)[0]

    def choice(self, condition: Tensor, yes: Tensor, no: Tensor, dtype: np.dtype[Any], hint: str) -> Variable:
        """``yes`` where a condition is true, else ``no``.

        Bools are combined by And and Or, since onnxruntime has no Where for them.
        """
        if dtype.kind != "b":
            return self.one("Where", condition, yes, no, hint=hint)
        other = self.one("And", self.one("Not", condition, hint=hint), no, hint=hint)
        return self.one("Or", self.one("And", condition, yes, hint=hint), other, hint=hint)

    def copy(
        self,
        node: Node,
        inputs: Sequence[Tensor | None],
        attrs: Mapping[str, Any] | None = None,
        outside: Mapping[str, Tensor] | None = None,
    ) -> list[Variable]:
        """Appends a copy of a node with other inputs, and returns its new outputs. Omitted outputs stay omitted.

        Args:
            outside: the outer tensors that the node's subgraphs read, by offline name; if None, the tensors of this
                call.
        """
        kept = list(inputs)
        while kept and kept[-1] is None:
            kept.pop()
        given = [Variable.empty() if t is None else t for t in kept]
        results = [Variable(self.name(f"{t.name}/chunk")) if t.name else Variable.empty() for t in node.outputs]
        attributes = dict(node.attrs if attrs is None else attrs)
        for key, value in attributes.items():
            if isinstance(value, Graph):
                attributes[key] = value.copy(tensor_map=dict(self.tensors if outside is None else outside))
        name = node.name if node.name not in self.copied else f"{node.name}/{len(self.nodes)}"
        self.copied.add(name)
        self.nodes.append(Node(node.op, name, attributes, given, results, node.domain))
        return results

    def constant(self, value: Array | Sequence[int] | int, hint: str = "constant") -> Constant:
        """A constant with a given value, written only once. Plain integers become int64."""
        if isinstance(value, KeptArray) and value.kept is not None:
            return self.kept_constant(value.kept, hint)
        array = np.asarray(value) if isinstance(value, np.ndarray | np.generic) else np.asarray(value, dtype=np.int64)
        key = ("constant", array.dtype.str, str(array.dtype), array.shape, array.tobytes())
        if key not in self.memo:
            self.memo[key] = Constant(self.name(hint), np.ascontiguousarray(array).reshape(array.shape))
        found: Constant = self.memo[key]
        return found

    def kept_constant(self, tensor: TensorProto, hint: str) -> Constant:
        """A constant for a weight that stays in its file."""
        key = ("kept", tensor.data_type, tuple(tensor.dims), *place_of(tensor))
        if key not in self.memo:
            self.memo[key] = Constant(self.name(hint), KeptValues(tensor))
        found: Constant = self.memo[key]
        return found

    def frames(self, stream: Stream) -> int:
        return frames_in_chunk(self.chunk, stream)

    def slice(self, x: Tensor, axis: int, start: int, end: int, step: int = 1, hint: str = "slice") -> Variable:
        parts = [self.constant([start]), self.constant([end]), self.constant([axis])]
        return self.one("Slice", x, *parts, *([self.constant([step])] if step != 1 else []), hint=hint)

    @contextmanager
    def within(self, node: Node) -> Iterator[None]:
        """Names everything that is built inside this context after a node."""
        before, self.node = self.node, name_of(node)
        yield
        self.node = before

    def remember(self, key: tuple[Any, ...], make: Any) -> Tensor:
        if key not in self.memo:
            node, self.node = self.node, "clock"
            self.memo[key] = make()
            self.node = node
        found: Tensor = self.memo[key]
        return found

    def state(self, init: Array, kind: StateKind, hint: str = "", scale: StateScale | None = None) -> Variable:
        """Creates a state and returns its input; ``keep`` sets its value for the next call."""
        base = self.name(port_name(self.template, self.node, hint or kind, len(self.states)))
        port = StatePort(self.name(f"{base}_in"), self.name(f"{base}_out"), init, kind, self.node, scale=scale)
        self.states.append(port)
        variable = Variable(port.input, init.dtype, list(init.shape))
        self.ports[port.input] = (variable, Variable(port.output, init.dtype, list(init.shape)))
        return variable

    def keep(self, state: Tensor, value: Tensor) -> None:
        """Makes ``value`` the value that a state passes on to the next call."""
        _, output = self.ports[state.name]
        self.next_values[output.name] = value


def port_name(template: str, node: str, kind: str, number: int) -> str:
    """The name of a port from a template, with only letters, digits and underscores, as every language accepts."""
    layer = re.search(r"\d+", node)
    name = template.format(node=node, kind=kind, layer=layer.group() if layer else "", number=number)
    return re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") or kind
