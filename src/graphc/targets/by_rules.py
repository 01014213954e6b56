"""Checks the nodes of a compiled model against the documents of runtimes that do not run here."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import onnx

from graphc.ir.graph import opset_of
from graphc.ir.shapes import inferred_types
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import NativePort, Runner

TABLES = "graphc.targets.tables"


@dataclass(frozen=True)
class Finding:
    """A node that the runtime does not support.

    Args:
        node: the node, as ``name (OpType)``.
        reason: what the runtime does not support, and why.
        help: what would help; empty if nothing is known.
    """

    node: str
    reason: str
    help: str = ""


@dataclass(frozen=True)
class Seen:
    """A node, and the types (such as ``float32``) and ranks of its inputs. A type or rank is None if it is unknown."""

    proto: onnx.NodeProto
    types: Sequence[str | None]
    ranks: Sequence[int | None]
    opset: int

    @property
    def label(self) -> str:
        return f"{self.proto.name or self.proto.output[0]} ({self.proto.op_type})"

    def attribute(self, name: str, otherwise: Any) -> Any:
        found = next((a for a in self.proto.attribute if a.name == name), None)
        return otherwise if found is None else onnx.helper.get_attribute_value(found)


class TargetByRules(Target):
    """A runtime that reads ONNX and whose documents list what it supports. Nothing is converted or run."""

    module: ClassVar[str] = ""
    extra: ClassVar[str] = ""
    table: ClassVar[str]

    def version(self) -> str | None:
        return "by its documents"

    def check_installed(self) -> str:
        return "by its documents"

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The table: its source and the ops."""
        read: Mapping[str, Any] = json.loads(files(TABLES).joinpath(f"{self.table}.json").read_text())
        return read

    def runs_here(self) -> bool:
        return False

    def ops(self) -> list[str]:
        return sorted(self.document["ops"])

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        findings = [f for node in nodes_of(model.proto) for f in self.findings(node)]
        return Converted({}, model.native(), findings=tuple(findings), source=self.document["source"])

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        raise TargetError(
            f"graphc checks {self.name} against its documents only, and cannot run it",
            hint="run the ONNX model on the device",
        )

    def findings(self, node: Seen) -> Iterator[Finding]:
        """The reasons why the runtime does not support a node, from its table and rules."""
        if node.proto.domain not in ("", "ai.onnx"):
            yield Finding(
                node.label, f"it is an op of {node.proto.domain}, not of ONNX", "set `target: onnx` in the spec"
            )
            return
        entry = self.document["ops"].get(node.proto.op_type)
        if entry is None:
            yield Finding(node.label, "the runtime does not have this op", self.way_out(node))
            return
        types = self.types_of(entry, node.opset)
        first = next((t for t in node.types if t is not None), None)
        if types is not None and first is not None and first not in types:
            yield Finding(
                node.label, f"the runtime runs it in {', '.join(types) or 'no type'}, and its input is {first}"
            )
        yield from self.rules(node)

    def types_of(self, entry: Mapping[str, Any], opset: int) -> Sequence[str] | None:
        """The allowed types of an op's first input. None if the document does not list them."""
        found: Sequence[str] | None = entry.get("types")
        return found

    def way_out(self, node: Seen) -> str:
        """A way around an op that the runtime lacks."""
        return WAYS_OUT.get(node.proto.op_type, "")

    @abstractmethod
    def rules(self, node: Seen) -> Iterator[Finding]:
        """The reasons in the documents against a node, other than its op and its type."""


WAYS_OUT = {
    "Erf": "export with opset 20 or later, where the Gelu that it belongs to is one op",
    "GRU": "use an LSTM instead, or run this node on the CPU",
    "RNN": "use an LSTM instead, or run this node on the CPU",
    "If": "if its condition is constant, fold_constants removes it",
    "Loop": "if its number of iterations is constant, fold_constants removes it",
}


def nodes_of(model: onnx.ModelProto) -> Iterator[Seen]:
    """The nodes of the outer graph."""
    known = inferred_types(model)
    opset = opset_of(model)
    for node in model.graph.node:
        taken = [known.get(name) for name in node.input if name]
        types = [None if t is None else str(onnx.helper.tensor_dtype_to_np_dtype(t[0])) for t in taken]
        ranks = [None if t is None or t[1] is None else len(t[1]) for t in taken]
        yield Seen(node, types, ranks, opset)
