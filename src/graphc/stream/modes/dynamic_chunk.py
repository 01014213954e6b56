"""One graph for calls of any multiple of the smallest chunk, made from the same lift at several chunks.

The lifts have the same nodes and differ only in constants. Each family of constants, one from every lift, is written as
a function of the number of smallest chunks in a call. The first lifts of ``SAMPLES`` determine the function, and the
others check it. A family that no function here explains is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import onnx

from graphc.ir.graph import Constant, Graph, Node, Tensor, label, sorted_nodes
from graphc.ir.node_writer import Writer
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.options import ONE_SIZE_HINT
from graphc_runtime.errors import StreamError

SAMPLES = (1, 2, 3, 5)
DEGREE = 2


def generalised(graphs: Sequence[Graph], multiples: Tensor) -> Graph:
    """The first graph, with every constant that differs between graphs computed from its tensor ``multiples``.

    Errors:
        StreamError: a node differs in more than constants, or no function explains a constant.
    """
    first = graphs[0]
    if len({len(g.nodes) for g in graphs}) > 1:
        raise StreamError("calls of different sizes need different graphs", hint=ONE_SIZE_HINT)
    families = Families(multiples)
    names: list[dict[str, str]] = [{} for _ in graphs]
    for ports in zip(*(g.inputs for g in graphs), strict=True):
        pair_up(names, ports)
    for nodes in zip(*(g.nodes for g in graphs), strict=True):
        check_alike(nodes)
        node = nodes[0]
        for index, tensors in enumerate(zip(*(n.inputs for n in nodes), strict=True)):
            if all(isinstance(t, Constant) for t in tensors):
                node.inputs[index] = families.tensor(node, index, tensors)
            elif any(isinstance(t, Constant) for t in tensors) or any(
                names[i].get(t.name, t.name) != tensors[0].name for i, t in enumerate(tensors)
            ):
                refuse(node, "reads other tensors at other chunk sizes")
        for outputs in zip(*(n.outputs for n in nodes), strict=True):
            pair_up(names, outputs)
    first.nodes = [*families.writer.nodes, *first.nodes]
    first.nodes = sorted_nodes(first)
    return first


def pair_up(names: Sequence[dict[str, str]], tensors: Sequence[Tensor]) -> None:
    """Notes for each graph, by the name of its tensor, which tensor of the first graph corresponds to it."""
    for found, tensor in zip(names, tensors, strict=False):
        found[tensor.name] = tensors[0].name


def check_alike(nodes: Sequence[Node]) -> None:
    node = nodes[0]
    for other in nodes[1:]:
        if (node.op, node.domain, len(node.inputs), len(node.outputs)) != (
            other.op,
            other.domain,
            len(other.inputs),
            len(other.outputs),
        ):
            refuse(node, "becomes another kind of node at other chunk sizes")
        if not same_attributes(node.attrs, other.attrs):
            refuse(node, "has other attributes at other chunk sizes")


def same_attributes(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one.keys() != other.keys():
        return False
    return all(same_attribute(value, other[key]) for key, value in one.items())


def same_attribute(one: Any, other: Any) -> bool:
    if isinstance(one, Graph):
        return len(one.nodes) == len(other.nodes) and all(
            a.op == b.op and same_attributes(a.attrs, b.attrs) and same_constants(a, b)
            for a, b in zip(one.nodes, other.nodes, strict=True)
        )
    if isinstance(one, Constant):
        return same_value(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def same_constants(a: Node, b: Node) -> bool:
    return len(a.inputs) == len(b.inputs) and all(
        isinstance(x, Constant) == isinstance(y, Constant) and (not isinstance(x, Constant) or same_value(x, y))
        for x, y in zip(a.inputs, b.inputs, strict=True)
    )


def same_value(a: Tensor, b: Tensor) -> bool:
    """Whether two constants are equal. Weights are never read, since all lifts share them."""
    return a._values is b._values or (
        tuple(a.shape) == tuple(b.shape) and a.dtype == b.dtype and same(np.asarray(a.values), np.asarray(b.values))
    )


def refuse(node: Node, reason: str) -> NoReturn:
    raise StreamError(reason, node=label(node), hint=ONE_SIZE_HINT)


class Families:
    """Writes each family of constants once, as a function of the number of smallest chunks in a call."""

    def __init__(self, multiples: Tensor):
        self.multiples = multiples
        self.writer = Writer("calls")
        self.written: dict[Any, Tensor] = {}

    def tensor(self, node: Node, index: int, tensors: Sequence[Tensor]) -> Tensor:
        """The tensor that replaces a family of constants; the first constant if all are equal."""
        if all(same_value(tensors[0], t) for t in tensors[1:]):
            return tensors[0]
        values = [np.asarray(t.values) for t in tensors]
        if node.op == "Reshape" and index == 1:
            free = with_free_size(values)
            if free is not None:
                return self.once(("free", free.tobytes()), lambda: Constant(f"calls/sizes_{len(self.written)}", free))
        key = (values[0].dtype.str, *((v.shape, v.tobytes()) for v in values))
        if key not in self.written:
            made = self.function(values)
            if made is None:
                refuse(node, f"its input {index} depends on the chunk size in a way that no known formula describes")
            self.written[key] = made
        return self.written[key]

    def once(self, key: Any, make: Any) -> Tensor:
        if key not in self.written:
            self.written[key] = make()
        return self.written[key]

    def function(self, values: Sequence[Array]) -> Tensor | None:
        """The tensor of a family, by the first form that gives all its constants; None if no form does."""
        if len({v.shape for v in values}) == 1:
            return self.polynomial(values)
        axis = varying_axis(values)
        if axis is None or values[0].shape[axis] == 0:
            return None
        size = self.size(values, axis)
        if size is None:
            return None
        for form in (self.uniform, self.ramp, self.periodic, self.extended):
            made: Tensor | None = form(values, axis, size)
            if made is not None:
                return made
        return None

    def polynomial(self, values: Sequence[Array]) -> Tensor | None:
        """The tensor of integers that grow with the chunk or with its square; None for any other family."""
        factors = fitted(values)
        if factors is None:
            return None
        shape, dtype = values[0].shape, values[0].dtype
        w = self.writer
        total: Tensor = w.one("Mul", self.multiples, factors[1].ravel())
        if factors[2].any():
            square = w.one("Mul", self.multiples, self.multiples)
            total = w.one("Add", total, w.one("Mul", square, factors[2].ravel()))
        if factors[0].any():
            total = w.one("Add", total, factors[0].ravel())
        if dtype != np.int64:
            total = w.one("Cast", total, to=tensor_type(dtype))
        return total if len(shape) == 1 else w.one("Reshape", total, np.array(shape, np.int64))

    def size(self, values: Sequence[Array], axis: int) -> Tensor | None:
        """The size of the varying axis, int64 [1]; None if no polynomial gives it."""
        sizes = [np.array([v.shape[axis]]) for v in values]
        key = ("size", *(int(s[0]) for s in sizes))
        if key not in self.written:
            made = self.polynomial(sizes)
            if made is None:
                return None
            self.written[key] = made
        return self.written[key]

    def places(self, size: Tensor) -> Tensor:
        """The integers from 0 to ``size`` - 1."""
        return self.once(("places", size.name), lambda: self.writer.span(size, 0))

    def uniform(self, values: Sequence[Array], axis: int, size: Tensor) -> Tensor | None:
        """The tensor of constants that are the same along the axis; None for any other family."""
        one = values[0].take([0], axis=axis)
        if any(not same(v, np.broadcast_to(one, v.shape)) for v in values):
            return None
        w = self.writer
        before, after = [1] * axis, [1] * (values[0].ndim - axis - 1)
        parts: list[Any] = [*([before] if before else []), size, *([after] if after else [])]
        return w.one("Expand", one, w.one("Concat", *parts, axis=0) if len(parts) > 1 else size)

    def ramp(self, values: Sequence[Array], axis: int, size: Tensor) -> Tensor | None:
        """The tensor of integers that grow by a fixed step per frame; the first value may depend on the chunk."""
        dtype = values[0].dtype
        if dtype.kind not in "iuf":
            return None
        firsts = [v.take([0], axis=axis) for v in values]
        whole = [f.astype(np.int64) for f in firsts]
        longest = max(values, key=np.size)
        step = int((longest.take([1], axis=axis) - longest.take([0], axis=axis)).ravel()[0])
        trailing = [-1 if a == axis else 1 for a in range(longest.ndim)]
        if any(
            not same(v, (f + step * np.arange(v.shape[axis]).reshape(trailing)).astype(dtype))
            for v, f in zip(values, whole, strict=True)
        ):
            return None
        same_first = all(same(f, whole[0]) for f in whole)
        first = whole[0] if same_first else self.polynomial(whole)
        if first is None:
            return None
        w = self.writer
        found: Tensor = self.places(size)
        if step != 1:
            found = w.one("Mul", found, [step])
        if longest.ndim > 1:
            found = w.one("Reshape", found, trailing)
        if not same_first or whole[0].any():
            found = w.one("Add", found, first)
        return found if dtype == np.int64 else w.one("Cast", found, to=tensor_type(dtype))

    def periodic(self, values: Sequence[Array], axis: int, size: Tensor) -> Tensor | None:
        """The tensor of frames that repeat; a period has as many frames as each further smallest chunk adds."""
        count = values[1].shape[axis] - values[0].shape[axis]
        if count < 1 or count > values[0].shape[axis]:
            return None
        one = values[0].take(range(count), axis=axis)
        if any(not same(v, one.take(np.arange(v.shape[axis]) % count, axis=axis)) for v in values):
            return None
        w = self.writer
        return w.one("Gather", one, w.one("Mod", self.places(size), [count]), axis=axis)

    def extended(self, values: Sequence[Array], axis: int, size: Tensor) -> Tensor | None:
        """The smallest chunk's constant, with its first or last frame repeated before or after it."""
        smallest = values[0]
        last = smallest.shape[axis] - 1
        w = self.writer
        if all(same(v, smallest.take(np.minimum(np.arange(v.shape[axis]), last), axis=axis)) for v in values):
            return w.one("Gather", smallest, w.one("Min", self.places(size), [last]), axis=axis)
        more = [v.shape[axis] - last - 1 for v in values]
        if all(
            same(v, smallest.take(np.maximum(np.arange(v.shape[axis]) - m, 0), axis=axis))
            for v, m in zip(values, more, strict=True)
        ):
            place = w.one("Sub", w.one("Add", self.places(size), [last + 1]), size)
            return w.one("Gather", smallest, w.one("Max", place, [0]), axis=axis)
        return None


def tensor_type(dtype: np.dtype[Any]) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(dtype))


def same(a: Array, b: Array) -> bool:
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind in "fc"))


def with_free_size(values: Sequence[Array]) -> Array | None:
    """The sizes of a Reshape, with -1 for the size that depends on the chunk; None unless exactly one size does."""
    if len({v.shape for v in values}) > 1 or any((v <= 0).any() for v in values):
        return None
    differs = np.any([v != values[0] for v in values[1:]], axis=0)
    return np.where(differs, -1, values[0]) if differs.sum() == 1 else None


def varying_axis(values: Sequence[Array]) -> int | None:
    """The axis whose size differs between the arrays; None unless there is exactly one such axis."""
    if len({v.ndim for v in values}) > 1:
        return None
    differ = [a for a in range(values[0].ndim) if len({v.shape[a] for v in values}) > 1]
    return differ[0] if len(differ) == 1 else None


def fitted(values: Sequence[Array]) -> list[Array] | None:
    """The integer coefficients, lowest power first, of a polynomial through the values at ``SAMPLES``, or None."""
    if values[0].dtype.kind not in "iu":
        return None
    points = np.array([[n**p for p in range(DEGREE + 1)] for n in SAMPLES[: DEGREE + 1]], np.float64)
    flat = np.stack([v.astype(np.float64).ravel() for v in values])
    factors = np.rint(np.linalg.solve(points, flat[: DEGREE + 1])).astype(np.int64)
    if any(
        not np.array_equal(sum(factors[p] * n**p for p in range(DEGREE + 1)), v.ravel().astype(np.int64))
        for n, v in zip(SAMPLES, values, strict=True)
    ):
        return None
    return [f.reshape(values[0].shape) for f in factors]
