"""Ramps and prefixes of stored tables, and how a call computes them from the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from graphc.ir.graph import Constant, Node, Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering

LARGEST = 2**40


@dataclass(frozen=True)
class Ramp:
    """``start + step * frame`` on one axis, the same along all others."""

    axis: int
    start: float
    step: float


@dataclass(frozen=True)
class StoredTable:
    """A stored table whose first rows are the frames of a constant."""

    value: Array
    axis: int


def time_axes(known: TimeConstant, time: Stream, lengths: Sequence[int]) -> list[int]:
    """The axes of a constant that have as many entries as the stream has frames, at every evaluated length."""
    shapes = [v.shape for v in known.values]
    return [
        a for a in range(len(shapes[0])) if all(s[a] == time.length(n) for s, n in zip(shapes, lengths, strict=True))
    ]


def time_axis(known: TimeConstant, time: Stream, lengths: Sequence[int]) -> int | None:
    """The axis of a constant that has as many entries as the stream has frames, at every evaluated length.

    None if there is no such axis, if there are several, or if the size of another axis varies too.
    """
    shapes, axes = [v.shape for v in known.values], time_axes(known, time, lengths)
    varying = [a for a in range(len(shapes[0])) if len({s[a] for s in shapes}) > 1]
    if len(lengths) > 1:
        return axes[0] if len(axes) == 1 and varying == axes else None
    return axes[0] if len(axes) == 1 else None


def stream_fact(known: TimeConstant, time: Stream, axis: int) -> Stream:
    shape = tuple(-1 if a == axis else s for a, s in enumerate(known.values[0].shape))
    return Stream(axis, time.rate, time.delay, time.length, shape, known.values[0].dtype)


@np.errstate(over="ignore", invalid="ignore")
def ramp_of(known: TimeConstant, time: Stream, lengths: Sequence[int]) -> Ramp | None:
    """The ramp of a constant of evenly spaced integers, whichever nodes compute it; None for any other constant."""
    axis = time_axis(known, time, lengths)
    longest = max(known.values, key=np.size)
    if axis is None or longest.shape[axis] < 3 or longest.dtype.kind not in "iuf":
        return None
    columns = [np.moveaxis(v, axis, 0).reshape(v.shape[axis], -1) for v in known.values]
    if any(not c.size or (c != c[:, :1]).any() for c in columns):
        return None
    flat = max(columns, key=len)[:, 0].astype(np.float64)
    start, step = float(flat[0]), float(flat[1] - flat[0])
    if not all(abs(number) < LARGEST and number == int(number) for number in (start, step)) or step == 0:
        return None
    if any(not np.array_equal(c[:, 0], (start + step * np.arange(len(c))).astype(c.dtype)) for c in columns):
        return None
    return Ramp(axis, start, step)


def ramp_step(ramp: Ramp, time: Stream, known: TimeConstant) -> Lowering:
    fact = stream_fact(known, time, ramp.axis)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        shape = [b.frames(time) if a == ramp.axis else 1 for a in range(fact.rank)]
        index: Tensor = b.frame_index(time)
        if ramp.step != 1:
            index = b.one("Mul", index, b.constant([int(ramp.step)]), hint="ramp")
        if ramp.start:
            index = b.one("Add", index, b.constant([int(ramp.start)]), hint="ramp")
        cast = (
            b.one("Cast", index, to=int(onnx.helper.np_dtype_to_tensor_dtype(fact.dtype)), hint="ramp")
            if fact.dtype != np.int64
            else index
        )
        made: Tensor = b.one("Reshape", cast, b.constant(shape), hint="ramp") if fact.rank != 1 else cast
        whole = [b.frames(time) if a == ramp.axis else s for a, s in enumerate(fact.shape)]
        return [made if whole == shape else b.one("Expand", made, b.constant(whole), hint="ramp")]

    return Lowering((fact,), emit)


def table_of(
    known: TimeConstant, node: Node, values: Mapping[str, TimeConstant], time: Stream, lengths: Sequence[int]
) -> StoredTable | None:
    """The first input of a node, if it is steady and begins with the constant at every length; otherwise None."""
    axis = time_axis(known, time, lengths)
    if axis is None:
        return None
    for tensor in node.inputs[:1]:
        held = values.get(tensor.name)
        steady = tensor.values if isinstance(tensor, Constant) else held.steady if held is not None else None
        if steady is None or steady.ndim != known.values[0].ndim:
            continue
        if all(
            steady.shape[axis] >= v.shape[axis] and np.array_equal(steady.take(range(v.shape[axis]), axis=axis), v)
            for v in known.values
        ):
            return StoredTable(steady, axis)
    return None


def table_step(table: StoredTable, time: Stream, known: TimeConstant) -> Lowering:
    fact = stream_fact(known, time, table.axis)
    rows = table.value.shape[table.axis]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        index = b.clipped(b.frame_index(time), 0, rows - 1)
        return [b.one("Gather", b.constant(table.value, "positions"), index, axis=table.axis, hint="positions")]

    return Lowering((fact,), emit)
