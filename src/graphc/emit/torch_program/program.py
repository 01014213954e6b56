"""A torch module whose forward runs every node by its rule. torch.export and tracing can export it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

import graphc.emit.torch_program.rules as rules
from graphc.emit.known_nodes import can_be_known, evaluated
from graphc.emit.onnx_node import Array, attributes_of, label_of
from graphc.emit.torch_program.rule import RULES, Node, Tensor
from graphc.ir.graph import opset_of
from graphc.ir.shapes import inferred_types
from graphc_runtime.errors import TargetError

for module in pkgutil.iter_modules(rules.__path__):
    importlib.import_module(f"{rules.__name__}.{module.name}")


class Program(torch.nn.Module):  # type: ignore[misc]
    """An ONNX model of fixed sizes, as a torch module.

    Args:
        model: the model, with its weights inside.

    Errors:
        TargetError: names the node that torch does not support.
    """

    def __init__(self, model: onnx.ModelProto):
        super().__init__()
        self.known: dict[str, Array] = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        self.inputs = [p.name for p in model.graph.input if p.name not in self.known]
        self.outputs = [p.name for p in model.graph.output]
        opset = opset_of(model)
        self.nodes: list[Node] = []
        shapes = fixed_shapes(model)
        for index, proto in enumerate(model.graph.node):
            node = node_of(proto, index, opset, self.known)
            if node.op == "Shape" and proto.input[0] in shapes:
                sizes = shapes[proto.input[0]][node.attributes.get("start", 0) : node.attributes.get("end")]
                self.known[proto.output[0]] = np.array(sizes, np.int64)
            elif all(not name or name in self.known for name in proto.input) and can_be_known(proto):
                self.known |= evaluated(proto, self.known, model)
            elif proto.domain not in ("", "ai.onnx") or node.op not in RULES:
                raise node.refused(
                    "graphc cannot write this op in torch, from which ExecuTorch and Core ML models are made"
                )
            else:
                self.nodes.append(node)
        self.names: dict[str, str] = {}
        for name in {n for node in self.nodes for n in node.inputs if n in self.known} | (
            set(self.outputs) & set(self.known)
        ):
            self.names[name] = f"constant_{len(self.names)}"
            self.register_buffer(self.names[name], torch.from_numpy(np.array(self.known[name])))

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        values: dict[str, Tensor] = dict(zip(self.inputs, arguments, strict=True))
        values |= {name: getattr(self, place) for name, place in self.names.items()}
        for node in self.nodes:
            try:
                made = RULES[node.op](node, [values[name] if name else None for name in node.inputs])
            except (RuntimeError, TypeError, ValueError) as err:
                raise node.refused(f"torch cannot compute it: {str(err).splitlines()[0][:200]}") from err
            values |= zip(node.outputs, made if isinstance(made, list | tuple) else [made], strict=False)
        seen: set[int] = {id(argument) for argument in arguments}
        results = []
        for name in self.outputs:
            value = values[name]
            results.append(value.clone() if id(value) in seen or name in self.names else value)
            seen.add(id(value))
        return tuple(results)


def fixed_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """The shapes of the tensors whose sizes are all known."""
    found = {}
    for name, (_, shape) in inferred_types(model).items():
        if shape is not None and all(isinstance(size, int) for size in shape):
            found[name] = [int(size) for size in shape if size is not None]
    return found


def node_of(proto: onnx.NodeProto, index: int, opset: int, known: Mapping[str, Array]) -> Node:
    label, attributes = label_of(proto, index), attributes_of(proto)
    return Node(proto.op_type, label, list(proto.output), attributes, opset, list(proto.input), known)


def program_of(model: onnx.ModelProto) -> Program:
    """The program of a model, in evaluation mode.

    Errors:
        TargetError: names the node that torch does not support.
    """
    program = Program(model)
    program.eval()
    return program


def example_of(model: onnx.ModelProto, inputs: Sequence[str]) -> tuple[Any, ...]:
    """Zeros for every input, which torch.export needs."""
    ports = {p.name: p.type.tensor_type for p in model.graph.input}
    found = []
    for name in inputs:
        kind = onnx.helper.tensor_dtype_to_np_dtype(ports[name].elem_type)
        if not hasattr(torch, str(kind)):
            raise TargetError(f"'{name}' is {kind}, a type that torch lacks")
        found.append(torch.zeros([d.dim_value for d in ports[name].shape.dim], dtype=getattr(torch, str(kind))))
    return tuple(found)
