"""Changes a compiled model at one place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from graphc.ir.subgraphs import nodes_of
from graphc_runtime.contract.manifest import Manifest

Array = NDArray[Any]


@dataclass(frozen=True)
class Parts:
    """A compiled model: its graph, its manifest, and the first values of its states."""

    proto: onnx.ModelProto
    manifest: Manifest
    first: dict[str, Array]


@dataclass
class Surgery:
    """A copy of a compiled model's graph in which tensors are replaced."""

    proto: onnx.ModelProto
    made: int = 0
    names: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    def on(cls, parts: Parts) -> Surgery:
        copy = onnx.ModelProto()
        copy.CopyFrom(parts.proto)
        return cls(copy)

    def constant(self, value: Array) -> str:
        name = f"mutant/constant_{next(self.names)}"
        self.proto.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], **attrs: Any) -> str:
        """Inserts a node after those inserted so far, at the place that the surgery changes. Returns its output."""
        name = f"mutant/{op}_{next(self.names)}"
        self.proto.graph.node.insert(self.made, helper.make_node(op, list(inputs), [name], **attrs))
        self.made += 1
        return name

    def behind_input(
        self, name: str, instead: Callable[[Surgery, str], str], only: onnx.NodeProto | None = None
    ) -> None:
        """Makes the readers of a graph input, or only the reader ``only``, read a tensor computed from that input."""
        readers = [n for n in self.proto.graph.node if only is None or n.output == only.output]
        new = instead(self, name)
        for reader in readers:
            renamed_reads(reader, name, new)

    def behind_node(self, output: str, instead: Callable[[Surgery, str], str]) -> None:
        """Replaces the output of a node everywhere by a tensor computed from that output."""
        nodes = self.proto.graph.node
        index = next(i for i, n in enumerate(nodes) if output in n.output)
        before = f"{output}//before"
        for place, name in enumerate(nodes[index].output):
            if name == output:
                nodes[index].output[place] = before
        self.made = index + 1
        new = instead(self, before)
        nodes.insert(self.made, helper.make_node("Identity", [new], [output]))

    def before_input_of(self, output: str, index: int, instead: Callable[[Surgery, str], str]) -> None:
        """Makes a node read a tensor computed from one of its inputs."""
        nodes = self.proto.graph.node
        place = next(i for i, n in enumerate(nodes) if output in n.output)
        reader = nodes[place]
        self.made = place
        reader.input[index] = instead(self, reader.input[index])


def renamed_reads(node: onnx.NodeProto, old: str, new: str) -> None:
    """Renames a tensor that a node and its subgraphs read."""
    for reader in nodes_of([node]):
        for place, name in enumerate(reader.input):
            if name == old:
                reader.input[place] = new


def with_graph(parts: Parts, change: Callable[[Surgery], None]) -> Callable[[], Parts]:
    def make() -> Parts:
        surgery = Surgery.on(parts)
        change(surgery)
        return replace(parts, proto=surgery.proto)

    return make
