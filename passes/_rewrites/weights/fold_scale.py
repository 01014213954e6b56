"""Moves scalar factors back into weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from graphc.api import Constant, Node, Rewrite, Scene, Tensor, label, register_rewrite, scalar_of, weight_of

MOVERS = (
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Slice",
    "Identity",
    "Expand",
    "Gather",
    "GatherElements",
)
FARTHEST = 8
WEIGHTED = {"Conv": (1, 2), "ConvTranspose": (1, 2), "LayerNormalization": (1, 2), "BatchNormalization": (1, 2)}


@register_rewrite
class FoldScale(Rewrite):
    """A multiplication by a scalar (1/2 after a feed-forward, 1/sqrt(d) in attention) moves back through sums, moves,
    products and masks into the weights from which the other operand is computed.
    """

    name = "fold_scale"
    stage = "weights"

    def apply(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("Mul", "Div"):
            found = factor_of(scene, node)
            if found is None:
                continue
            source, factor = found
            way, refusal = find_way(scene, factor, source, node)
            if refusal is not None:
                scene.notes.append(f"{self.name}: {label(node)} stays: {refusal}")
                continue
            way.take()
            scene.bypass(node, source)
            count += 1
        return count


def factor_of(scene: Scene, node: Node) -> tuple[Tensor, float] | None:
    """The tensor that a node multiplies by a number, and the number. None if the node does anything else."""
    for index in (1, 0) if node.op == "Mul" else (1,):
        number, source = scalar_of(node.inputs[index]), node.inputs[1 - index]
        rank = scene.rank(source)
        if number is None or not np.isfinite(number) or number == 0 or isinstance(source, Constant):
            continue
        if rank is None or rank < len(node.inputs[index].shape):
            continue
        return source, number if node.op == "Mul" else 1 / number
    return None


def find_way(scene: Scene, factor: float, source: Tensor, node: Node) -> tuple[Way, str | None]:
    """Finds the way of a factor back from ``node`` to weights.

    Returns the way and None, or the last way tried and the reason why that way fails.

    A product with a constant is scaled at the constant. If another branch then needs the data input of that product
    scaled, the product is scaled at its data input instead.
    """
    by_data: set[int] = set()
    while True:
        way = Way(scene, factor, by_data)
        refusal = way.back(source, node)
        if refusal is None or way.contested is None:
            return way, refusal
        more = way.constant_products_behind(way.contested) - by_data
        if not more:
            return way, refusal
        by_data |= more


class Way:
    """The way of a factor back to the weights.

    A tensor that several nodes read can be scaled only if all of them ask for it. Tensors are therefore visited from
    the last to the first. ``contested`` is a tensor that some of its readers need scaled and others do not.

    Args:
        by_data: ids of the products with a constant that are to be scaled at their data input.
    """

    def __init__(self, scene: Scene, factor: float, by_data: set[int]):
        self.scene, self.factor, self.by_data = scene, factor, by_data
        self.contested: Tensor | None = None
        self.by_constant: set[int] = set()
        self.place = {id(n): i for i, n in enumerate(scene.graph.nodes)}
        self.asked: dict[int, list[Node]] = {}
        self.tensors: dict[int, Tensor] = {}
        self.changes: list[Callable[[], None]] = []

    def ask(self, tensor: Tensor, reader: Node) -> None:
        self.asked.setdefault(id(tensor), []).append(reader)
        self.tensors[id(tensor)] = tensor

    def back(self, tensor: Tensor, reader: Node) -> str | None:
        """Searches for the way from ``tensor``, which ``reader`` reads, back to weights; ``take`` then follows it.

        Returns None, or the reason why there is no way.
        """
        self.ask(tensor, reader)
        while self.tensors:
            makers = {k: self.scene.maker(t) for k, t in self.tensors.items()}
            if any(m is None for m in makers.values()):
                lost = next(self.tensors[k] for k, m in makers.items() if m is None)
                return f"'{lost.name}' is a port"
            last = max(makers, key=lambda k: self.place.get(id(makers[k]), -1))
            tensor, node = self.tensors.pop(last), makers[last]
            assert node is not None
            if not self.scene.is_inner(tensor) or len(tensor.outputs) != len(self.asked[last]):
                self.contested = tensor
                return f"'{tensor.name}' is read elsewhere too"
            refusal = self.through(node, tensor)
            if refusal is not None:
                return refusal
        return None

    def through(self, node: Node, tensor: Tensor) -> str | None:
        if self.scene.maker(tensor, node.op) is None or tensor is not node.outputs[0]:
            return f"{label(node)} does not let a factor through"
        if node.op in MOVERS:
            return self.data(node, 0)
        if node.op in ("Add", "Sub", "Sum", "Concat", "Where"):
            for index in range(1 if node.op == "Where" else 0, len(node.inputs)):
                refusal = self.data(node, index)
                if refusal is not None:
                    return refusal
            return None
        if node.op in ("Mul", "MatMul"):
            constant = [i for i in (0, 1) if isinstance(node.inputs[i], Constant)]
            if constant and id(node) not in self.by_data:
                self.by_constant.add(id(node))
                return self.data(node, constant[0])
            return self.data(node, next(i for i in (0, 1) if i not in constant))
        if node.op == "Div":
            return self.data(node, 0)
        if node.op == "Gemm":
            refusal = self.data(node, 1 if isinstance(node.inputs[1], Constant) else 0)
            return refusal or (self.data(node, 2) if len(node.inputs) > 2 and node.inputs[2].name else None)
        if node.op in WEIGHTED and not (node.op == "BatchNormalization" and len(node.outputs) > 1):
            for index in WEIGHTED[node.op]:
                if index < len(node.inputs) and node.inputs[index].name:
                    if not isinstance(node.inputs[index], Constant):
                        return f"the weight of {label(node)} is not a constant"
                    refusal = self.data(node, index)
                    if refusal is not None:
                        return refusal
            return None
        return f"{label(node)} does not let a factor through"

    def data(self, node: Node, index: int) -> str | None:
        """Prepares to scale an input of a node: a constant directly, any other tensor by a later step of ``back``.

        Returns None, or the reason why the input cannot be scaled.
        """
        tensor = node.inputs[index]
        if not isinstance(tensor, Constant):
            self.ask(tensor, node)
            return None
        value = weight_of(tensor)
        if value is None:
            return f"'{tensor.name}' cannot be scaled"
        scaled = (value.astype(np.float64) * self.factor).astype(value.dtype)
        if not np.array_equal(np.isfinite(scaled), np.isfinite(value)):
            return f"'{tensor.name}' would overflow"

        def change() -> None:
            made = self.scene.constant(f"{tensor.name}/scaled", scaled)
            node.inputs = [made if i == index else t for i, t in enumerate(node.inputs)]

        self.changes.append(change)
        return None

    def constant_products_behind(self, tensor: Tensor) -> set[int]:
        """The ids of the products scaled at their constant that read a tensor, directly or after sums and moves."""
        found: set[int] = set()
        waiting = [tensor]
        for _ in range(FARTHEST):
            readers = [r for t in waiting for r in t.outputs if id(r) in self.scene.inner]
            found |= {id(r) for r in readers if id(r) in self.by_constant}
            waiting = [t for r in readers if r.op in (*MOVERS, "Add", "Sub") for t in r.outputs]
        return found

    def take(self) -> None:
        for change in self.changes:
            change()
