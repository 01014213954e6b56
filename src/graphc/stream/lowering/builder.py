"""Steps become nodes: caches, delay lines, carries, the clock and the masks that hang on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from graphc.contract.length import Length
from graphc.contract.signature import StateKind, StatePort, StateScale
from graphc.errors import ChunkMisfitError
from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable, name_of, unused_name
from graphc.stream.facts.facts import Array, Edge, Head, Span, Stream
from graphc.stream.lowering.options import DEFAULT
from graphc.stream.lowering.quantized_cache import grid_of

INT64 = np.dtype(np.int64)
INT64_MAX = np.iinfo(np.int64).max


def frames_in_chunk(chunk: int, stream: Stream) -> int:
    """Frames of a stream in a chunk of so many input frames.

    Errors:
        ChunkMisfitError: a fraction of a frame.
    """
    frames = chunk * stream.rate
    if frames.denominator != 1:
        raise ChunkMisfitError(
            stream.rate.denominator, f"a chunk of {chunk} frames would give a tensor {frames} frames a call"
        )
    return int(frames)


class Builder:
    """Builds the graph of one call. Equal caches, delay lines and masks are built once.

    Args:
        chunk: frames of the stream input in a call.
        taken: names that may not be given to new tensors.
        grid: frames of which every call takes a multiple, where calls differ; None where all take the chunk.
        template: of the names of state ports (``Settings.ports``).

    ``tensors`` holds, for each offline tensor met so far, what one call has of it.
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

    def copy(
        self,
        node: Node,
        inputs: Sequence[Tensor | None],
        attrs: Mapping[str, Any] | None = None,
        outside: Mapping[str, Tensor] | None = None,
    ) -> list[Variable]:
        """The node again with other inputs; as many outputs, the omitted ones omitted.

        Args:
            outside: what its bodies read of the graph around them, by offline name; the tensors of this call if None.
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
        """A constant; equal ones are one. Plain integers become int64."""
        array = np.asarray(value) if isinstance(value, np.ndarray | np.generic) else np.asarray(value, dtype=np.int64)
        key = ("constant", array.dtype.str, str(array.dtype), array.shape, array.tobytes())
        if key not in self.memo:
            self.memo[key] = Constant(self.name(hint), np.ascontiguousarray(array).reshape(array.shape))
        found: Constant = self.memo[key]
        return found

    def frames(self, stream: Stream) -> int:
        return frames_in_chunk(self.chunk, stream)

    def slice(self, x: Tensor, axis: int, start: int, end: int, step: int = 1, hint: str = "slice") -> Variable:
        parts = [self.constant([start]), self.constant([end]), self.constant([axis])]
        return self.one("Slice", x, *parts, *([self.constant([step])] if step != 1 else []), hint=hint)

    @contextmanager
    def within(self, node: Node) -> Iterator[None]:
        """Names what is built inside after a node."""
        before, self.node = self.node, name_of(node)
        yield
        self.node = before

    # States

    def state(self, init: Array, kind: StateKind, hint: str = "", scale: StateScale | None = None) -> Variable:
        """A new state's input; ``keep`` gives its next value."""
        base = self.name(port_name(self.template, self.node, hint or kind, len(self.states)))
        port = StatePort(self.name(f"{base}_in"), self.name(f"{base}_out"), init, kind, self.node, scale=scale)
        self.states.append(port)
        variable = Variable(port.input, init.dtype, list(init.shape))
        self.ports[port.input] = (variable, Variable(port.output, init.dtype, list(init.shape)))
        return variable

    def keep(self, state: Tensor, value: Tensor) -> None:
        """Makes ``value`` what the state carries to the next call."""
        _, output = self.ports[state.name]
        self.next_values[output.name] = value

    def cached(
        self, x: Tensor, stream: Stream, length: int, fill: float | Head, kind: StateKind, hint: str = ""
    ) -> Tensor:
        """The last ``length`` frames before the chunk, and the chunk; a negative length drops frames in front.

        ``fill`` is what stands in the cache first: a number, one frame, or the first frame of the stream. Where frames
        come out of integers of one scale, the cache keeps the integers.
        """
        if length == 0:
            return x
        if length < 0:
            return self.slice(x, stream.axis, -length, INT64_MAX, hint="dropped")
        frame = np.zeros(stream.one_frame(), stream.dtype)
        if isinstance(fill, np.ndarray):
            frame = (
                frame + fill.astype(stream.dtype) if stream.dtype.kind != "b" else np.broadcast_to(fill, frame.shape)
            )
        elif not isinstance(fill, Edge) and fill is not None:
            frame = np.full_like(frame, fill)
        init = np.repeat(frame, length, axis=stream.axis).astype(stream.dtype)
        key = ("cached", x.name, length, isinstance(fill, Edge), init.tobytes())
        if key not in self.memo:
            grid = None if isinstance(fill, Edge) else grid_of(x, init)
            if grid is None:
                port, frames = self.state(init, kind, hint), x
            else:
                port, frames = self.state(grid.init, kind, hint, grid.scale), grid.integers
            past: Tensor = port
            if isinstance(fill, Edge):
                first = self.slice(x, stream.axis, 0, 1, hint="first_frame")
                past = self.one("Where", self.at_start(), first, past, hint="edge")
            both = self.one("Concat", past, frames, axis=stream.axis, hint="with_past")
            self.keep(port, self.slice(both, stream.axis, -length, INT64_MAX, hint="next_past"))
            self.memo[key] = both if grid is None else self.copy(grid.node, [both, *grid.node.inputs[1:]])[0]
        found: Tensor = self.memo[key]
        return found

    def window(self, x: Tensor, stream: Stream, span: Span, kind: StateKind) -> Tensor:
        """The frames of a span: those that are not in the chunk come out of a cache."""
        if stream.delay < 0:
            x, stream = self.delayed(x, stream, 0), stream.at(0)
        past = span.offset - stream.delay
        both = self.cached(x, stream, past, 0.0, kind)
        if span.extra == past:
            return both
        key = ("window", both.name, span.extra)
        if key not in self.memo:
            self.memo[key] = self.slice(both, stream.axis, 0, self.frames(stream) + span.extra, hint="window")
        found: Tensor = self.memo[key]
        return found

    def delayed(self, x: Tensor, stream: Stream, delay: int) -> Tensor:
        """The stream at a larger delay."""
        gap = delay - stream.delay
        if gap == 0:
            return x
        both = self.cached(x, stream, gap, stream.head if stream.delay < 0 else 0.0, "delay_line")
        key = ("delayed", both.name)
        if key not in self.memo:
            self.memo[key] = self.slice(both, stream.axis, 0, self.frames(stream), hint="delayed")
        found: Tensor = self.memo[key]
        return found

    # The clock and the masks

    @property
    def clock(self) -> Variable:
        """Input frames taken by all calls before this one, int64 [1]."""
        if "clock" not in self.memo:
            node, self.node = self.node, "clock"
            state = self.state(np.zeros(1, np.int64), "clock", "frames")
            self.keep(state, self.one("Add", state, self.constant([self.chunk]), hint="next"))
            self.memo["clock"] = state
            self.node = node
        found: Variable = self.memo["clock"]
        return found

    @property
    def total(self) -> Variable:
        """Real input frames of all calls, this one included, int64 [1]."""
        if "total" not in self.memo:
            node, self.node = self.node, "valid_frames"
            self.valid_frames = Variable(self.name("valid_frames"), np.dtype(np.int64), [1])
            state = self.state(np.zeros(1, np.int64), "running_sum", "total")
            total = self.one("Add", state, self.valid_frames, hint="total")
            self.keep(state, total)
            self.memo["total"] = total
            self.node = node
        found: Variable = self.memo["total"]
        return found

    def count_by_clock(self) -> None:
        """Takes the clock for the real frames of all calls before, where no call after the last real frame counts."""
        if "total" not in self.memo or "clock" not in self.memo:
            return
        (count,) = self.memo["total"].inputs
        state = count.inputs[0]
        count.inputs[0] = self.clock
        port = next(p for p in self.states if p.input == state.name)
        self.states.remove(port)
        del self.ports[port.input], self.next_values[port.output]

    def at_start(self) -> Tensor:
        """Whether this is the first call, bool [1]."""
        return self.remember(("at_start",), lambda: self.one("Equal", self.clock, self.constant([0]), hint="at_start"))

    def before(self, input_frames: int) -> Tensor:
        """Whether this call starts before so many input frames were taken, bool [1]."""
        key = ("before", input_frames)
        return self.remember(key, lambda: self.one("Less", self.clock, self.constant([input_frames]), hint="before"))

    def ends_before(self, input_frames: int) -> Tensor:
        """Whether so many input frames have not been taken after this call either, bool [1]."""

        def make() -> Tensor:
            after = self.one("Add", self.clock, self.constant([self.chunk]), hint="after")
            return self.one("Less", after, self.constant([input_frames]), hint="ends_before")

        return self.remember(("ends_before", input_frames), make)

    @property
    def multiples(self) -> Tensor:
        """How many times ``grid`` frames this call takes, int64 [1]; the lift puts it there."""
        found: Tensor = self.memo["multiples"]
        return found

    def clipped(self, index: Tensor, low: int, high: int, dtype: np.dtype[Any] = INT64) -> Tensor:
        """Indices that are kept inside a range, its ends included."""
        raised = self.one("Max", index, self.constant(np.asarray([low], dtype)), hint="clipped")
        return self.one("Min", raised, self.constant(np.asarray([high], dtype)), hint="clipped")

    def remember(self, key: tuple[Any, ...], make: Any) -> Tensor:
        if key not in self.memo:
            node, self.node = self.node, "clock"
            self.memo[key] = make()
            self.node = node
        found: Tensor = self.memo[key]
        return found

    def length_now(self, length: Length) -> Tensor:
        """What ``length`` gives for the real frames so far, int64 [1]."""

        def make() -> Tensor:
            value: Tensor = self.total
            for mul, add, div in length.steps:
                if mul != 1:
                    value = self.one("Mul", value, self.constant([mul]), hint="length")
                if add != 0:
                    value = self.one("Add", value, self.constant([add]), hint="length")
                if div != 1:
                    value = self.one("Div", value, self.constant([div]), hint="length")
                if add < 0:
                    negative = self.one("Less", value, self.constant([0]), hint="length")
                    value = self.one("Where", negative, self.constant([0]), value, hint="length")
            return value

        return self.remember(("length", length), make)

    def first_index(self, stream: Stream) -> Tensor:
        """The offline index of the chunk's first frame, int64 [1]; below 0 in the warm-up."""

        def make() -> Tensor:
            value: Tensor = self.clock
            if stream.rate.numerator != 1:
                value = self.one("Mul", value, self.constant([stream.rate.numerator]), hint="index")
            if stream.rate.denominator != 1:
                value = self.one("Div", value, self.constant([stream.rate.denominator]), hint="index")
            if stream.delay:
                value = self.one("Sub", value, self.constant([stream.delay]), hint="index")
            return value

        return self.remember(("index", stream.rate, stream.delay), make)

    def frame_index(self, stream: Stream) -> Tensor:
        """The offline index of every frame of the chunk, int64 [c]; below 0 in the warm-up."""
        steps = self.constant(np.arange(self.frames(stream), dtype=np.int64), "frame_steps")
        key = ("frame_index", stream.rate, stream.delay)
        return self.remember(key, lambda: self.one("Add", self.first_index(stream), steps, hint="frame_index"))

    def missing(self, stream: Stream, before: bool, after: bool, extra: int = 0) -> Tensor:
        """Which frames of the chunk and ``extra`` more do not exist: bool [c + extra, 1, ...], on the stream axis."""
        shape = [self.frames(stream) + extra] + [1] * (stream.from_right - 1)
        steps = np.arange(shape[0], dtype=np.int64).reshape(shape)

        def make() -> Tensor:
            index = self.one("Add", self.first_index(stream), self.constant(steps, "frame_steps"), hint="frame_index")
            found: list[Tensor] = []
            if before:
                found.append(self.one("Less", index, self.constant([0]), hint="not_yet"))
            if after:
                last = self.one("Sub", self.length_now(stream.length), self.constant([1]), hint="last_frame")
                found.append(self.one("Less", last, index, hint="no_more"))
            return found[0] if len(found) == 1 else self.one("Or", *found, hint="missing")

        key = ("missing", stream.rate, stream.delay, stream.length if after else None, tuple(shape), before)
        return self.remember(key, make)

    def masked(self, x: Tensor, stream: Stream, value: float | Array, before: bool, after: bool) -> Tensor:
        """The chunk with ``value`` in the frames that do not exist: those before 0, those from the length on."""
        if not (before or after):
            return x
        filler = np.asarray(value).astype(stream.dtype)
        key = ("masked", x.name, before, after, filler.tobytes(), stream.delay)
        if key not in self.memo:
            missing = self.missing(stream, before, after)
            self.memo[key] = self.one("Where", missing, self.constant(filler, "filler"), x, hint="masked")
        found: Tensor = self.memo[key]
        return found

    def exists(self, stream: Stream, after: bool) -> Tensor:
        """1 for frames that exist, 0 for those before 0 and, if ``after``, past the end: [c, 1, ...], in its dtype.

        The end is known in time only if the stream waits for ``Length.lag``.
        """
        one, zero = (self.constant(np.asarray(v, dtype=stream.dtype)) for v in (1, 0))
        missing = self.missing(stream, True, after)
        return self.remember(("exists", missing.name), lambda: self.one("Where", missing, zero, one, hint="exists"))


def port_name(template: str, node: str, kind: str, number: int) -> str:
    """A port's name by a template, in letters that every language takes."""
    layer = re.search(r"\d+", node)
    name = template.format(node=node, kind=kind, layer=layer.group() if layer else "", number=number)
    return re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_") or kind


def finished(builder: Builder, graph: Graph) -> None:
    """Puts the builder's nodes and ports into a graph, states in the order in which they were made."""
    graph.nodes = builder.nodes
    if builder.valid_frames is not None:
        graph.inputs.append(builder.valid_frames)
    for port in builder.states:
        state, output = builder.ports[port.input]
        graph.inputs.append(state)
        value = builder.next_values[output.name]
        graph.nodes.append(Node("Identity", f"{output.name}/kept", inputs=[value], outputs=[output]))
        graph.outputs.append(output)
