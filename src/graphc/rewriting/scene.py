"""The graph that rewrites work on, with functions to read and change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.contract.signature import StatePort
from graphc.ir.graph import (
    DEFAULT_DOMAINS,
    Constant,
    Node,
    Tensor,
    Variable,
    captured,
    names_in,
    sorted_nodes,
    standard,
    unused_name,
)
from graphc.ir.model import Model
from graphc.ir.shapes import bare_types
from graphc.op_sets.onnx import OP_SET
from graphc.op_sets.op_set import OpSet

FIRST_SPLIT_SIZES = 13
FIRST_ALLOWZERO = 14
Array = NDArray[Any]
Shape = list[int | str | None]


class Scene:
    """The model that rewrites work on.

    Args:
        model: the model, whose graph is changed in place.
        target: the runtime that the model is made for.

    ``budget`` is the number of layout changes that are still allowed, so that rewrites do not undo each other forever.
    ``shapes`` and ``dtypes`` have the known shapes and types of tensors. ``notes`` says what did not fire, and why.
    """

    def __init__(self, model: Model, target: OpSet = OP_SET):
        self.model, self.graph, self.target = model, model.graph, target
        self.opset = int(model.graph.opset)
        self.notes: list[str] = []
        self.shapes: dict[str, Shape] = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}
        self.budget = len(model.graph.nodes)
        self.foreign: dict[str, tuple[int, Shape]] = {}
        self.look()

    def look(self) -> None:
        """Infers shapes and types again, and sorts the nodes."""
        self.graph.nodes = sorted_nodes(self.graph)
        self.shapes.clear()
        self.dtypes.clear()
        for name, (elem_type, shape) in bare_types(self.model, self.foreign).items():
            if shape is not None:
                self.shapes[name] = shape
            if elem_type in NUMPY_TYPES:
                self.dtypes[name] = onnx.helper.tensor_dtype_to_np_dtype(elem_type)
        self.outputs = {t.name for t in self.graph.outputs}
        self.inputs = {t.name for t in self.graph.inputs}
        self.captured = {t.name for n in self.graph.nodes for t in captured(n)}
        self.inner = {id(n) for n in self.graph.nodes}
        self.taken = names_in(self.graph)

    # Questions

    def nodes(self, *ops: str) -> list[Node]:
        """The present nodes of these ONNX ops."""
        return [n for n in self.graph.nodes if n.op in ops and standard(n) and n.outputs]

    def maker(self, tensor: Tensor, *ops: str) -> Node | None:
        """The node of this graph that makes a tensor. With ``ops``, only if it is one of these ONNX ops."""
        node = tensor.inputs[0] if tensor.inputs else None
        if node is None or id(node) not in self.inner:
            return None
        return node if not ops or (node.op in ops and standard(node)) else None

    def sole(self, tensor: Tensor, *ops: str) -> Node | None:
        """The node that makes a tensor, if it is one of these ops and nothing else reads the tensor."""
        node = self.maker(tensor, *ops)
        return node if node is not None and self.is_inner(tensor) and len(tensor.outputs) == 1 else None

    def is_inner(self, tensor: Tensor) -> bool:
        """Whether a tensor may be removed: it is not a port, and no subgraph reads it."""
        return not (tensor.name in self.outputs or tensor.name in self.captured or tensor.name in self.inputs)

    def readers(self, tensor: Tensor) -> list[Node]:
        return list(tensor.outputs)

    def reader(self, tensor: Tensor, *ops: str) -> Node | None:
        """The only node that reads an inner tensor, if it is one of these ops; else None."""
        if not self.is_inner(tensor) or len(tensor.outputs) != 1:
            return None
        node = tensor.outputs[0]
        return node if id(node) in self.inner and node.op in ops and standard(node) else None

    def shape(self, tensor: Tensor) -> Shape | None:
        return list(tensor.shape) if isinstance(tensor, Constant) else self.shapes.get(tensor.name)

    def fixed(self, tensor: Tensor) -> list[int] | None:
        """The shape of a tensor. None unless every size is known."""
        shape = self.shape(tensor)
        if shape is None or any(not isinstance(d, int) for d in shape):
            return None
        return [int(d) for d in shape if isinstance(d, int)]

    def alike(self, a: Tensor, b: Tensor) -> bool:
        """Whether two tensors are known to have the same shape."""
        one, other = self.shape(a), self.shape(b)
        return one is not None and one == other and None not in one

    def rank(self, tensor: Tensor) -> int | None:
        shape = self.shape(tensor)
        return None if shape is None else len(shape)

    def dtype(self, tensor: Tensor) -> np.dtype[Any] | None:
        if isinstance(tensor, Constant):
            return np.dtype(tensor.dtype) if isinstance(tensor.dtype, np.dtype | type) else None
        return self.dtypes.get(tensor.name)

    # Changes

    def name(self, wanted: str) -> str:
        return unused_name(wanted, self.taken)

    def constant(self, wanted: str, value: Array | Sequence[int]) -> Constant:
        array = np.asarray(value) if isinstance(value, np.ndarray | np.generic) else np.asarray(value, np.int64)
        return Constant(self.name(wanted), np.ascontiguousarray(array).reshape(array.shape))

    def add(
        self,
        op: str,
        inputs: Sequence[Tensor],
        attrs: dict[str, Any] | None = None,
        *,
        base: str,
        shapes: Sequence[Sequence[int | str | None] | None],
        dtype: np.dtype[Any] | None,
        domain: str | None = None,
    ) -> list[Variable]:
        """Adds a node and returns its outputs. ``shapes`` has one entry for each output."""
        outputs = [Variable(self.name(f"{base}/{op.lower()}")) for _ in shapes]
        for output, shape in zip(outputs, shapes, strict=True):
            if shape is not None:
                self.shapes[output.name] = list(shape)
            if dtype is not None:
                self.dtypes[output.name] = dtype
            if shape is not None and dtype is not None and domain not in DEFAULT_DOMAINS:
                self.foreign[output.name] = (int(onnx.helper.np_dtype_to_tensor_dtype(dtype)), list(shape))
        node = Node(op, outputs[0].name, dict(attrs or {}), list(inputs), list(outputs), domain)
        self.graph.nodes.append(node)
        self.inner.add(id(node))
        return outputs

    def one(
        self,
        op: str,
        *inputs: Tensor,
        base: str,
        shape: Sequence[int | str | None] | None,
        dtype: np.dtype[Any] | None = None,
        domain: str | None = None,
        **attrs: Any,
    ) -> Variable:
        """Adds a node with one output and returns the output. Its dtype is ``dtype``, or that of the first input."""
        kind = dtype if dtype is not None else self.dtype(inputs[0])
        return self.add(op, inputs, attrs, base=base, shapes=[shape], dtype=kind, domain=domain)[0]

    def reshaped(self, x: Tensor, shape: Sequence[int], base: str) -> Variable:
        """Adds a Reshape. A 0 in ``shape`` is a size of 0, not a copy of the old size."""
        if 0 in shape and self.opset >= FIRST_ALLOWZERO:
            sizes = self.constant(f"{base}/sizes", list(shape))
            return self.one("Reshape", x, sizes, base=base, shape=shape, allowzero=1)
        return self.one("Reshape", x, self.constant(f"{base}/sizes", list(shape)), base=base, shape=shape)

    def transposed(self, x: Tensor, perm: Sequence[int], base: str) -> Variable:
        shape = self.shape(x)
        moved = None if shape is None else [shape[a] for a in perm]
        return self.one("Transpose", x, base=base, shape=moved, perm=list(perm))

    def split(self, x: Tensor, sizes: Sequence[int], axis: int, base: str) -> list[Variable]:
        """Adds a Split into parts of given sizes along an axis."""
        shape = self.shape(x)
        parts = [None if shape is None else [*shape[:axis], s, *shape[axis:][1:]] for s in sizes]
        if self.opset < FIRST_SPLIT_SIZES:
            given, attrs = [x], {"axis": axis, "split": list(sizes)}
        else:
            given, attrs = [x, self.constant(f"{base}/parts", sizes)], {"axis": axis}
        return self.add("Split", given, attrs, base=base, shapes=parts, dtype=self.dtype(x))

    def replace(self, old: Tensor, new: Tensor) -> None:
        """Makes everything that read ``old`` read ``new``. A port keeps its name."""
        if old is new:
            return
        maker = self.maker(old)
        if old.name in self.outputs or old.name in self.captured:
            if maker is not None:
                maker.outputs = [Variable(self.name(f"{old.name}/gone")) if t is old else t for t in maker.outputs]
            source = self.maker(new)
            if source is not None and self.is_inner(new):
                for reader in list(new.outputs):
                    reader.inputs = [old if t is new else t for t in reader.inputs]
                source.outputs = [old if t is new else t for t in source.outputs]
            else:
                node = Node("Identity", self.name(f"{old.name}/same"), {}, [new], [old])
                self.graph.nodes.append(node)
                self.inner.add(id(node))
            return
        for reader in list(old.outputs):
            reader.inputs = [new if t is old else t for t in reader.inputs]

    def drop(self, node: Node) -> None:
        """Disconnects a node. ``tidy`` later removes it from the graph's list of nodes."""
        node.inputs.clear()
        node.outputs.clear()
        self.inner.discard(id(node))

    def bypass(self, node: Node, source: Tensor) -> bool:
        """Removes a node whose output equals its input ``source``. False if both are ports."""
        output = node.outputs[0]
        if not self.is_inner(output) and (self.maker(source) is None or not self.is_inner(source)):
            return False
        self.replace(output, source)
        self.drop(node)
        return True

    def tidy(self) -> None:
        """Removes disconnected nodes, and nodes that no output depends on, from the graph's list of nodes."""
        needed = set(self.outputs)
        self.graph.nodes = sorted_nodes(Emptied.of(self.graph))
        alive: list[Node] = []
        for node in reversed(self.graph.nodes):
            if any(t.name in needed for t in node.outputs if t.name):
                needed.update(t.name for t in [*node.inputs, *captured(node)] if t.name)
                alive.append(node)
            else:
                self.drop(node)
        self.graph.nodes = alive[::-1]
        self.captured = {t.name for n in self.graph.nodes for t in captured(n)}

    # State ports

    def state(self, tensor: Tensor) -> StatePort | None:
        """The state that has a tensor as its input port; None if there is none."""
        signature = self.model.signature
        if signature is None or tensor.name not in self.inputs:
            return None
        return next((s for s in signature.states if s.input == tensor.name), None)

    def relay(self, state: StatePort, init: Array, perm: Sequence[int] | None = None) -> None:
        """Gives a state another layout: the shape of both ports, and the first value. ``perm`` says how axes move."""
        signature = self.model.signature
        assert signature is not None
        changed = replace(state, init=np.ascontiguousarray(init))
        states = tuple(changed if s.input == state.input else s for s in signature.states)
        axes = dict(signature.batch_axes)
        if perm is not None and state.input in axes:
            axes[state.input] = list(perm).index(axes[state.input])
        self.model.signature = replace(signature, states=states, batch_axes=axes)
        for port in [*self.graph.inputs, *self.graph.outputs]:
            if port.name in (state.input, state.output):
                port.shape = list(init.shape)
                self.shapes[port.name] = list(init.shape)


NUMPY_TYPES = {
    t
    for t in onnx.TensorProto.DataType.values()
    if t not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING) and t <= onnx.TensorProto.BFLOAT16
}


class Emptied:
    """The nodes of a graph that are not disconnected, in the form that ``sorted_nodes`` reads."""

    def __init__(self, nodes: list[Node]):
        self.nodes = nodes

    @classmethod
    def of(cls, graph: Any) -> Any:
        return cls([n for n in graph.nodes if n.outputs])
