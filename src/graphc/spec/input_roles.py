"""The roles of a model's inputs: frames, one frame, a count of frames, a mask, a static value, a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.contract.length import Length
from graphc.errors import SpecError
from graphc_runtime.errors import ModelError

Dim = int | str | None
KINDS = {
    "sequence_type": "a sequence",
    "optional_type": "an optional value",
    "map_type": "a map",
    "sparse_tensor_type": "a sparse tensor",
}
INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)


@dataclass(frozen=True)
class StreamRole:
    """An input with stream time on ``axis``: ``rate`` frames for each frame of the first stream input."""

    axis: int
    rate: Fraction = Fraction(1)
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class StepRole:
    """An input that takes one frame per call and has no time axis. Streams stack such frames on a new first axis."""

    axis: ClassVar[int] = 0
    rate: ClassVar[Fraction] = Fraction(1)
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class CountsRole:
    """An input that holds the number of frames of the stream input ``of``."""

    of: str


@dataclass(frozen=True)
class MaskRole:
    """An input that holds a mask [..., queries, keys]: ``seen`` for keys that a query sees, ``unseen`` for others.

    Args:
        left: the number of frames that a query sees before its own block.
        right: the number of frames that a query sees after its own block.
        block: the number of frames in a block. All queries of a block see the same frames.
        frames: the number of queries and keys, as a function of the frames of the first stream input.
        seen: the value for seen keys; None means 0 for floats, 1 for integers, and true for bools.
        unseen: the value for other keys; None means -inf for floats, 0 for integers, and false for bools.
    """

    left: int
    right: int
    block: int = 1
    frames: Length = field(default_factory=Length)
    seen: float | None = None
    unseen: float | None = None

    def table(self, shape: Sequence[int], frames: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The mask for a stream of ``frames`` frames. ``shape`` gives the sizes of the leading axes."""
        count = self.frames(frames)
        place = np.arange(count)
        first = place // self.block * self.block
        distance = place[None, :] - first[:, None]
        sees = (distance >= -self.left) & (distance < self.block + self.right)
        usual = (0.0, -np.inf) if dtype.kind == "f" else (1.0, 0.0)
        seen = usual[0] if self.seen is None else self.seen
        unseen = usual[1] if self.unseen is None else self.unseen
        table = np.where(sees, np.asarray(seen).astype(dtype), np.asarray(unseen).astype(dtype))
        return np.ascontiguousarray(np.broadcast_to(table, (*shape[:-2], count, count)))


@dataclass(frozen=True)
class StaticRole:
    """One value for the whole stream."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class StateRole:
    """A state that is a port already: its next value comes from ``output``; ``init`` fills its first value."""

    output: str
    init: float = 0.0


Role = StreamRole | StepRole | CountsRole | MaskRole | StaticRole | StateRole
TIME_ONLY = (CountsRole, MaskRole)


@dataclass(frozen=True)
class Port:
    """A graph input or output as its model declares it."""

    name: str
    dims: tuple[Dim, ...]
    elem_type: int


def graph_ports(model: onnx.ModelProto) -> tuple[list[Port], list[Port]]:
    """The inputs of a model, without those that have a default value in an initializer, and the outputs."""
    defaults = {i.name for i in model.graph.initializer}
    inputs = [as_port(p) for p in model.graph.input if p.name not in defaults]
    return inputs, [as_port(p) for p in model.graph.output]


def check_ports(model: onnx.ModelProto) -> None:
    """Refuses a model with ports that are not tensors of numbers.

    Errors:
        ModelError: an input or output is not a tensor, or holds strings.
    """
    for place, ports in (("input", model.graph.input), ("output", model.graph.output)):
        for port in ports:
            kind = port.type.WhichOneof("value")
            if kind is not None and kind != "tensor_type":
                raise ModelError(
                    f"the {place} '{port.name}' is {KINDS.get(kind, kind)}, not a tensor",
                    hint="export the model with tensors as its inputs and outputs",
                )
            if port.type.tensor_type.elem_type == onnx.TensorProto.STRING:
                raise ModelError(
                    f"the {place} '{port.name}' holds text",
                    hint="cut the model to its part between numbers, as with onnx.utils.extract_model",
                )


def as_port(proto: onnx.ValueInfoProto) -> Port:
    tensor = proto.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim]
    return Port(proto.name, tuple(dims), tensor.elem_type)


def infer_stream_axes(inputs: list[Port]) -> Mapping[str, int]:
    """The time axis of each stream input, if the shapes allow only one reading.

    A symbolic dim named as the batch is the batch. Every input with exactly one other symbolic dim is a stream input,
    provided that this dim has the same name in all these inputs.

    Errors:
        SpecError: no dim can be time, dims with different names can be time, or an input may hold a count of frames.
    """
    axes = {p.name: time_axes(p) for p in inputs}
    streams = {name: found[0] for name, found in axes.items() if len(found) == 1}
    counters = [p.name for p in inputs if p.name not in streams and p.elem_type in INTEGERS and len(p.dims) <= 1]
    if streams and counters:
        raise SpecError(
            f"stream.inputs is missing, and '{counters[0]}' may count frames or hold one value for the whole stream",
            hint=f"say which, as in `inputs: {{{next(iter(streams))}: {{axis: {streams[next(iter(streams))]}}}, "
            f"{counters[0]}: {{counts: {next(iter(streams))}}}}}`",
        )
    names = {str(p.dims[streams[p.name]]) for p in inputs if p.name in streams}
    ambiguous = [name for name, found in axes.items() if len(found) > 1]
    if not streams or ambiguous or len(names) > 1:
        shapes = ", ".join(f"{p.name}{list(p.dims)}" for p in inputs)
        raise SpecError(
            f"stream.inputs is missing and cannot be inferred from the inputs {shapes}",
            hint="name the axis that is time, as in `inputs: {features: {axis: 1}}`",
        )
    return streams


def time_axes(port: Port) -> list[int]:
    """The symbolic axes that may be time. An axis named as the batch is left out, unless several have such a name."""
    symbolic = [axis for axis, dim in enumerate(port.dims) if not isinstance(dim, int)]
    others = [axis for axis in symbolic if not looks_like_batch(port.dims[axis])]
    return others if len(symbolic) == 1 or len(others) == len(symbolic) - 1 else symbolic


def looks_like_batch(dim: Dim) -> bool:
    """Whether a symbolic dim has a name that exporters give to the batch."""
    return isinstance(dim, str) and dim.lower().strip("_") in {"batch", "batch_size", "batchsize", "b", "n", "bs"}
