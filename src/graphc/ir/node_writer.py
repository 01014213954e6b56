"""Appends nodes to a list and gives each node a unique name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable, place_of


class Writer:
    """Writes nodes with names that begin with ``base``. Arrays and numbers among the inputs become constants."""

    def __init__(self, base: str):
        self.base = base
        self.nodes: list[Node] = []

    def one(self, op: str, *inputs: Tensor | NDArray[Any] | np.generic | int | list[int], **attrs: Any) -> Variable:
        """Appends a node with one output, and returns the output."""
        name = f"{self.base}/{op.lower()}_{len(self.nodes)}"
        given = [t if isinstance(t, Tensor) else Constant(f"{name}/{i}", np.asarray(t)) for i, t in enumerate(inputs)]
        result = Variable(name)
        self.nodes.append(Node(op, name, attrs, given, [result]))
        return result

    def replace(self, graph: Graph, node: Node, result: Tensor) -> None:
        """Puts the nodes written so far in the place of one node, whose only output becomes ``result``."""
        position, output = place_of(graph, node), node.outputs[0]
        node.inputs.clear()
        node.outputs.clear()
        self.nodes.append(Node("Identity", f"{self.base}/result", inputs=[result], outputs=[output]))
        graph.nodes[position : position + 1] = self.nodes

    def transposed(self, tensor: Tensor, order: Sequence[int]) -> Tensor:
        """A tensor with its axes in another order. The tensor itself if the order does not change."""
        return tensor if list(order) == list(range(len(order))) else self.one("Transpose", tensor, perm=list(order))

    def size(self, tensor: Tensor, axis: int) -> Variable:
        """One entry of a tensor's shape, int64 [1]."""
        end = axis + 1 if axis != -1 else int(np.iinfo(np.int64).max)
        return self.one("Slice", self.one("Shape", tensor), [axis], [end])

    def span(self, size: Tensor, trailing: int) -> Variable:
        """The numbers from 0 to ``size`` - 1 along the first axis, followed by ``trailing`` axes of size 1."""
        places = self.one("Range", 0, self.one("Squeeze", size), 1)
        return self.one("Reshape", places, [-1] + [1] * trailing)
