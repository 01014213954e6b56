"""What a rewrite may know of its graph, and the questions that all of them ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.api import Constant, Graph, Node, Tensor, captured, constant_of, names_in, place_of, producer, standard

Shape = list[int | str | None]


@dataclass
class Scene:
    """A graph under rewriting.

    Args:
        shapes: of the tensors whose shape is known.
        dtypes: numpy dtype of the tensors whose type is known and is numpy's.
        notes: what did not fire, and why.
    """

    graph: Graph
    shapes: dict[str, Shape]
    dtypes: dict[str, np.dtype[Any]]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outputs = {t.name for t in self.graph.outputs}
        self.captured = {t.name for n in self.graph.nodes for t in captured(n)}
        self.taken = names_in(self.graph)

    def nodes(self, *ops: str) -> list[Node]:
        """The nodes of some of ONNX's own ops, as they stand now."""
        return [n for n in self.graph.nodes if n.op in ops and standard(n)]

    def maker(self, tensor: Tensor, *ops: str) -> Node | None:
        """The node that makes a tensor, if it is one of these ops and nothing else reads the tensor."""
        node = producer(tensor)
        if node is None or node.op not in ops or not standard(node) or all(n is not node for n in self.graph.nodes):
            return None
        only = len(tensor.outputs) == 1 and tensor.name not in self.outputs and tensor.name not in self.captured
        return node if only else None

    def is_free(self, tensor: Tensor) -> bool:
        """Whether a tensor is neither an output nor read inside a subgraph, so that it may go."""
        return tensor.name not in self.outputs and tensor.name not in self.captured

    def rank(self, tensor: Tensor) -> int | None:
        shape = tensor.shape if isinstance(tensor, Constant) else self.shapes.get(tensor.name)
        return None if shape is None else len(shape)

    def constant(self, wanted: str, value: NDArray[Any]) -> Constant:
        name, number = wanted, 1
        while name in self.taken:
            name, number = f"{wanted}_{number}", number + 1
        self.taken.add(name)
        return Constant(name, value)

    def bypass(self, node: Node, source: Tensor) -> bool:
        """Takes out a node whose output is its input ``source``; False where both are ports."""
        output = node.outputs[0]
        if self.is_free(output):
            for reader in list(output.outputs):
                reader.inputs = [source if t is output else t for t in reader.inputs]
            self.drop(node)
            return True
        maker = producer(source)
        if maker is None or maker not in self.graph.nodes or not self.is_free(source) or output.name in self.captured:
            return False
        for reader in list(source.outputs):
            reader.inputs = [output if t is source else t for t in reader.inputs]
        self.drop(node)
        maker.outputs = [output if t is source else t for t in maker.outputs]
        return True

    def drop(self, node: Node) -> None:
        node.inputs.clear()
        node.outputs.clear()
        del self.graph.nodes[place_of(self.graph, node)]


def value_of(tensor: Tensor | None) -> NDArray[Any] | None:
    """The value of a dense numeric constant."""
    value = constant_of(tensor)
    return value if value is not None and value.dtype.kind in "fiub" else None


def is_float(tensor: Tensor) -> bool:
    return isinstance(tensor, Constant) and np.dtype(tensor.dtype) in (np.float16, np.float32, np.float64)
