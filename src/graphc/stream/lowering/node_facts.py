"""What is known about the node that a rule lowers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NoReturn

import numpy as np

from graphc.contract.length import Length
from graphc.errors import ChunkMisfitError, LengthError
from graphc.ir.graph import Node, label
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.options import DEFAULT, LiftOptions
from graphc.stream.symbolic.domain.lengths import length_of
from graphc.stream.symbolic.domain.space import NoFormulaError, bounded
from graphc.stream.symbolic.proof import Proof, Query
from graphc.stream.symbolic.queries.questions import Kept
from graphc_runtime.errors import StreamError


@dataclass(frozen=True)
class Facts:
    """What is known about the node that a rule lowers: the facts of its inputs, and the offline shapes of its outputs.

    Args:
        inputs: the fact of each input; None if the input is omitted.
        chunk: frames of the stream input in a call.
        opset: the opset version of ONNX's own domain.
        lengths: the lengths at which the graph was evaluated.
        input_shapes: for each input, its offline shape at each of the lengths.
        output_shapes: for each output, its offline shape at each of the lengths; empty if the output is omitted.
        dtypes: for each output, its dtype.
        captured: facts of the outer tensors that subgraphs read, by name.
        domains: the model's opset imports.
        known_lengths: the lengths of all streams that the walk has met so far.
        names: for each input, the name of its tensor in one call.
        memo: results about constants, shared by all nodes.
        settings: the settings of the lift.
        finite: names of tensors that are finite even in frames that do not exist.
        proof: decides the claims that rules make about every length; None if nothing is to be proved.
        longest: whether the model accepts no lengths longer than ``lengths``.
    """

    node: Node
    inputs: tuple[Fact | None, ...]
    chunk: int
    opset: int
    lengths: tuple[int, ...]
    input_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    output_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    dtypes: tuple[np.dtype[np.generic], ...]
    captured: dict[str, Fact]
    domains: tuple[Any, ...]
    ir_version: int
    known_lengths: tuple[Length, ...] = ()
    names: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict)
    settings: LiftOptions = DEFAULT
    finite: Set[str] = frozenset()
    proof: Proof | None = None
    longest: bool = False

    def __getitem__(self, index: int) -> Fact | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def __len__(self) -> int:
        return len(self.inputs)

    def claim(self, index: int, query: Query) -> None:
        """Claims that ``query`` holds at every length for an input that depends only on time."""
        fact = self.inputs[index]
        if self.proof is not None and isinstance(fact, TimeConstant) and fact.name:
            self.proof.claim(fact.name, query)

    def claim_kept(self, axis: int, start: int, steps: Mapping[int, int], output: int = 0) -> None:
        """Claims which frames of its input stream the node selects.

        Args:
            axis: the time axis of the input stream.
            start: the first frame that is selected.
            steps: for each output axis along which frames are selected, the number of input frames from one entry to
                the next.
        """
        name = self.node.outputs[output].name
        follows = {f.name for f in self.inputs if isinstance(f, TimeConstant) and f.name and f.steady is None}
        if self.proof is None or not follows:
            return
        self.proof.claimed |= follows
        try:
            made, source = self.proof.formulas.made(self.node, name), self.proof.formulas.of(self.node.inputs[0])
        except NoFormulaError as err:
            self.proof.doubt(name, str(err))
        else:
            self.proof.check(name, made, Kept(source, axis, start, tuple(sorted(steps.items()))))

    def doubt(self, index: int, reason: str) -> None:
        """Records that a rule's conclusion about an input is not proved, with the reason."""
        fact = self.inputs[index]
        if self.proof is not None and isinstance(fact, TimeConstant) and fact.name:
            self.proof.doubt(fact.name, reason)

    def proved_length(self, axis: int, rate: Fraction, output: int = 0) -> Length | None:
        """The length of an output axis, from the formula of its size; None if it has none or another rate."""
        if self.proof is None or not self.proof.is_possible:
            return None
        try:
            size = self.proof.formulas.made(self.node, self.node.outputs[output].name).sizes[axis]
            length = bounded(lambda: length_of(size))
        except NoFormulaError:
            return None
        if length is None or length.rate != rate or any(mul <= 0 for mul, _, _ in length.steps):
            return None
        seen = zip(self.lengths, self.output_shapes[output], strict=True)
        return length if all(length(n) == shape[axis] for n, shape in seen) else None

    def streams(self) -> list[tuple[int, Stream]]:
        return [(i, f) for i, f in enumerate(self.inputs) if isinstance(f, Stream)]

    def stream(self, index: int = 0) -> Stream:
        """The stream at an input; refuses any other kind of tensor."""
        fact = self[index]
        if not isinstance(fact, Stream):
            self.refuse(
                f"its input {index} does not come from the stream, though another input does",
                "compute it from the stream",
            )
        return fact

    def only_stream(self, index: int = 0) -> Stream:
        """The stream at an input; refuses nodes in which another input is a stream too."""
        for other in (i for i, _ in self.streams() if i != index):
            self.refuse(f"its input {other} comes from the stream, but only input {index} may", "make it a constant")
        return self.stream(index)

    def array(self, index: int, what: str | None = None) -> Array | None:
        """The value of an input that is the same at every length; None if the input is omitted.

        Refuses an input that depends on data or on the length of the stream.
        """
        fact = self[index]
        if fact is None:
            return None
        what = what or f"its input {index}"
        if not isinstance(fact, TimeConstant):
            self.refuse(f"{what} depends on data", "export it as a constant")
        if fact.steady is None:
            self.refuse(f"{what} depends on the length of the whole stream", "export it as a constant")
        return fact.steady

    def argument(self, name: str, index: int) -> Any:
        """A list of numbers that is an attribute in some opsets and an input in others; None if it is omitted."""
        if name in self.node.attrs:
            return self.node.attrs[name]
        value = self.array(index, f"'{name}'")
        return None if value is None else np.atleast_1d(value).tolist()

    @property
    def grid(self) -> int:
        """The number of input frames of which every call takes a multiple; the chunk, if all calls have one size."""
        return self.settings.grid or self.chunk

    def frames(self, stream: Stream) -> int:
        try:
            return frames_in_chunk(self.chunk, stream)
        except ChunkMisfitError as err:
            raise ChunkMisfitError(err.multiple, err.reason, node=label(self.node)) from None

    def shapes_with(
        self, x: Stream, length: Length, shapes: tuple[tuple[int, ...], ...] | None = None
    ) -> tuple[tuple[int, ...], ...]:
        """Shapes, those of the first input by default, with ``length`` frames on the time axis of ``x``."""
        return tuple(
            tuple(length(n) if axis == x.axis else size for axis, size in enumerate(shape))
            for n, shape in zip(self.lengths, shapes or self.input_shapes[0], strict=True)
        )

    def out(
        self, x: Stream, axis: int, index: int = 0, *, delay: int | None = None, length: Length | None = None
    ) -> Stream:
        """The fact of an output with time on ``axis``, checked against the offline shapes.

        Refuses if an axis other than time changes with the length, or if the time axis does not have ``length`` frames.

        Args:
            index: the index of the output.
            delay: the delay of the output; by default, that of ``x``.
            length: the length of the output; by default, that of ``x``.
        """
        length = x.length if length is None else length
        shapes = self.output_shapes[index]
        for frames, shape in zip(self.lengths, shapes, strict=True):
            if not 0 <= axis < len(shape) or shape[axis] != length(frames):
                self.refuse(
                    f"offline, its output has the shape {list(shape)} for {frames} input frames, but a stream "
                    f"would have {length(frames)} frames on axis {axis}",
                    "if the export fixed a size here, export the model with a dynamic time axis; if not, report this "
                    "model",
                )
        shape = tuple(-1 if i == axis else size for i, size in enumerate(shapes[0]))
        if any(tuple(-1 if i == axis else size for i, size in enumerate(other)) != shape for other in shapes[1:]):
            self.refuse(
                f"its output has time on axis {axis}, but another axis also depends on the length of the stream",
                "export that other axis with a fixed size",
            )
        rate = length.rate or x.rate
        stream = Stream(axis, rate, x.delay if delay is None else delay, length, shape, self.dtypes[index])
        self.frames(stream)
        return stream

    def misfit(self, frames: int, stream: Stream, reason: str) -> NoReturn:
        """Refuses a chunk that does not give a multiple of ``frames`` frames of a stream.

        Errors:
            ChunkMisfitError: always.
        """
        raise ChunkMisfitError((frames / stream.rate).numerator, reason, node=label(self.node))

    def refuse(self, reason: str, hint: str) -> NoReturn:
        """Refuses to stream the node, with a reason and a hint for the user.

        Errors:
            StreamError: always.
        """
        raise StreamError(reason, node=label(self.node), hint=hint)

    def refuse_length(self, reason: str, hint: str) -> NoReturn:
        """Refuses a node that depends on the length of the whole stream.

        Errors:
            LengthError: always.
        """
        raise LengthError(reason, node=label(self.node), hint=hint)
