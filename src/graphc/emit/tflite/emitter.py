"""The builder that rules use to write tensors and operators for the values of the ONNX graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.emit.tflite.flat_model import FlatModel
from graphc.emit.tflite.value import Array, Order, Value, in_order, known, lies_alike, renamed, straight

Dtype = np.dtype[Any] | type


class Emitter:
    """Builds a LiteRT model from the ONNX graph. Equal constants, transposes and reshapes are made once.

    Args:
        sources: for each reshaped tensor, the tensor with the same entries that it was made from.
    """

    def __init__(self) -> None:
        self.flat = FlatModel()
        self.constants: dict[tuple[str, tuple[int, ...], bytes], int] = {}
        self.moved: dict[tuple[int, Order, Order], int] = {}
        self.masks: dict[tuple[Any, ...], Value] = {}
        self.sources: dict[int, int] = {}
        self.shaped: dict[tuple[int, tuple[int, ...]], int] = {}

    def constant(self, content: Any, dtype: Any = None) -> int:
        """A tensor with known entries. Equal constants are stored once."""
        array = np.ascontiguousarray(content, dtype=dtype)
        key = (str(array.dtype), array.shape, array.tobytes())
        if key not in self.constants:
            name = f"constant_{len(self.constants)}"
            self.constants[key] = self.flat.tensor(name, array.shape, array.dtype, array)
        return self.constants[key]

    def op(
        self,
        op: str,
        inputs: Sequence[int],
        shape: Sequence[int],
        dtype: Dtype = np.float32,
        **options: Any,
    ) -> int:
        """Adds an operator with one output. Returns its tensor."""
        made = self.flat.tensor(f"{op.lower()}_{len(self.flat.tensors)}", shape, np.dtype(dtype))
        self.flat.operator(op, inputs, [made], options)
        return made

    def parts(
        self, op: str, inputs: Sequence[int], shape: Sequence[int], dtype: Dtype, count: int, **options: Any
    ) -> list[int]:
        """Adds an operator with several outputs of the same shape. Returns their tensors."""
        name = f"{op.lower()}_{len(self.flat.tensors)}"
        made = [self.flat.tensor(f"{name}_{i}", shape, np.dtype(dtype)) for i in range(count)]
        self.flat.operator(op, inputs, made, options)
        return made

    def stored(self, value: Value, order: Order | None = None) -> int:
        """The tensor of a value with its axes in the given order; in ONNX's order if none is given."""
        wanted = straight(value.rank) if order is None else order
        if value.constant is not None:
            return self.constant(np.transpose(value.constant, wanted))
        assert value.tensor is not None
        if value.order == wanted:
            return value.tensor
        key = (value.tensor, value.order, wanted)
        if key not in self.moved:
            shape = in_order(value.shape, wanted)
            if lies_alike(value.shape, value.order, wanted):
                self.moved[key] = self.reshaped(value.tensor, shape, value.dtype)
            else:
                moves = [value.order.index(axis) for axis in wanted]
                taken = [value.tensor, self.constant(moves, np.int32)]
                self.moved[key] = self.op("TRANSPOSE", taken, shape, value.dtype)
        return self.moved[key]

    def reshaped(self, tensor: int, shape: Sequence[int], dtype: Dtype = np.float32) -> int:
        """A tensor with the same entries and another shape."""
        source = self.sources.get(tensor, tensor)
        if list(self.flat.tensors[source].shape) == list(shape):
            return source
        key = (source, tuple(shape))
        if key not in self.shaped:
            self.shaped[key] = self.op("RESHAPE", [source, self.constant(list(shape), np.int32)], shape, dtype)
            self.sources[self.shaped[key]] = source
        return self.shaped[key]

    def given(self, value: Value, shape: Sequence[int]) -> Value:
        """A value reshaped as ONNX reshapes it."""
        if value.constant is not None:
            return known(value.constant.reshape(shape))
        if tuple(shape) == value.shape:
            return value
        order = straight(len(shape))
        if [n for n in shape if n != 1] == [n for n in value.shape if n != 1]:
            order = renamed(value.order, value.shape, shape)
        tensor = self.stored(value, None if order == straight(len(shape)) else value.order)
        return self.value(self.reshaped(tensor, in_order(shape, order), value.dtype), shape, value.dtype, order)

    def value(self, tensor: int, shape: Sequence[int], dtype: Dtype = np.float32, order: Order | None = None) -> Value:
        """The value in a tensor. ``shape`` is its ONNX shape."""
        return Value(tuple(shape), np.dtype(dtype), tensor, straight(len(shape)) if order is None else order)

    def elementwise(self, op: str, values: Sequence[Value], dtype: Dtype | None = None, **options: Any) -> Value:
        """Adds an op that works entry by entry, with ONNX's (numpy's) broadcasting."""
        shape = np.broadcast_shapes(*(v.shape for v in values))
        tensors, order = self.alike(values, len(shape))
        kind = np.dtype(dtype) if dtype is not None else values[-1].dtype
        return self.value(self.op(op, tensors, in_order(shape, order), kind, **options), shape, kind, order)

    def alike(self, values: Sequence[Value], rank: int) -> tuple[list[int], Order]:
        """The tensors of values that an op combines, brought to a common order of axes, and this order."""
        orders = [v.order for v in values if v.constant is None and v.rank == rank]
        shorter = any(v.constant is None and v.rank < rank and v.rank > 0 for v in values)
        order = straight(rank) if shorter or not orders else orders[0]
        if order == straight(rank):
            return [self.stored(v) for v in values], order
        full = [v if v.rank in (0, rank) else self.given(v, (1,) * (rank - v.rank) + v.shape) for v in values]
        return [self.stored(v, order if v.rank else None) for v in full], order

    def number(self, value: float, like: Value | Dtype = np.float32) -> Value:
        """One number, with the type of another value."""
        return known(np.array(value, like.dtype if isinstance(like, Value) else like))


def entries(value: Value) -> Array:
    """The entries of a constant."""
    assert value.constant is not None
    return value.constant
