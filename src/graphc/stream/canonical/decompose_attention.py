"""Decomposes attention ops into MatMul, Softmax and other simple ops.

An ONNX op is replaced by the function in its schema, and an onnxruntime op by what its kernel computes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import onnx
import onnx.inliner

from graphc.ir.functions.inline_functions import inline_local_functions
from graphc.ir.graph import Graph, Node, Tensor, Variable, label, name_of
from graphc.ir.node_writer import Writer
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array
from graphc_runtime.errors import ModelError, StreamError

SCHEMA_FUNCTIONS = ("Attention", "RotaryEmbedding")
CONTRIB = ("MultiHeadAttention", "Attention")
MASKED = -10000.0


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Inlines local functions, and the ops in ``SCHEMA_FUNCTIONS``, which ONNX defines as functions.

    Returns the given model if there is nothing to inline, otherwise a new one.

    Errors:
        ModelError: onnx cannot inline the functions.
    """
    named = {n.op_type for n in model.graph.node if n.domain in ("", "ai.onnx")} & set(SCHEMA_FUNCTIONS)
    inner = {n.op_type for f in model.functions for n in f.node} & set(SCHEMA_FUNCTIONS)
    if not model.functions and not named:
        return model
    light = onnx.ModelProto()
    light.CopyFrom(without_weights(model))
    try:
        if model.functions:
            light = inline_local_functions(light)
        if named | inner:
            functions = [("", op) for op in SCHEMA_FUNCTIONS]
            light = onnx.inliner.inline_selected_functions(light, functions, inline_schema_functions=True)
    except Exception as err:
        raise ModelError(f"onnx cannot inline the functions of the model: {' '.join(str(err).split())[:300]}") from err
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for field in ("node", "value_info"):
        result.graph.ClearField(field)
    result.graph.node.extend(light.graph.node)
    result.ClearField("functions")
    result.ClearField("opset_import")
    result.opset_import.extend(light.opset_import)
    return result


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model in which initializers are inputs without values, so that the copy is small."""
    light = onnx.ModelProto()
    for descriptor, value in model.ListFields():
        if descriptor.name == "graph":
            continue
        if hasattr(value, "extend"):
            getattr(light, descriptor.name).extend(value)
        else:
            setattr(light, descriptor.name, value)
    listed = {i.name for i in model.graph.input}
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if tensor.name not in listed:
            info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            light.graph.input.append(info)
    return light


def expand_contrib(graph: Graph, shapes: Shapes, known: Mapping[str, Array]) -> bool:
    """Decomposes every attention op of onnxruntime; returns whether there was one.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the value of each time-only tensor, at one evaluated length.

    Errors:
        StreamError: an op has an input or an attribute that is not supported here.
    """
    found = [n for n in graph.nodes if n.domain == "com.microsoft" and n.op in CONTRIB]
    for node in found:
        write = Writer(name_of(node))
        result = (
            multi_head(write, node, shapes, known)
            if node.op == "MultiHeadAttention"
            else packed(write, node, shapes, known)
        )
        if any(t.name and t.outputs for t in node.outputs[1:]):
            refuse(node, "its present keys and values are read", "export without them; lift_state makes its own caches")
        write.replace(graph, node, result)
    return bool(found)


def refuse(node: Node, reason: str, hint: str) -> NoReturn:
    raise StreamError(reason, node=label(node), hint=hint)


def given(node: Node, index: int) -> Tensor | None:
    return node.inputs[index] if index < len(node.inputs) and node.inputs[index].name else None


def rank_of(tensor: Tensor, shapes: Shapes, known: Mapping[str, Array]) -> int:
    if tensor.name in shapes:
        return len(shapes[tensor.name][0])
    if tensor.name in known:
        return known[tensor.name].ndim
    return len(tensor.shape or ())


def refuse_given(node: Node, indices: range | tuple[int, ...], what: str) -> None:
    if any(given(node, i) is not None for i in indices):
        refuse(node, f"takes {what} as an input", "export the model without a past; lift_state makes its own caches")


def multi_head(write: Writer, node: Node, shapes: Shapes, known: Mapping[str, Array]) -> Variable:
    """Decomposes MultiHeadAttention(query, key, value, bias, key_padding_mask, attention_bias); refuses past inputs."""
    heads = int(node.attrs["num_heads"])
    query, key, value, bias = (given(node, i) for i in range(4))
    refuse_given(node, range(6, len(node.inputs)), "past keys and values")
    assert query is not None
    if key is None or value is None or rank_of(key, shapes, known) != 3 or rank_of(query, shapes, known) != 3:
        refuse(
            node,
            "takes packed or transposed queries, keys or values",
            "give query, key and value as [batch, frames, width] each",
        )
    parts = [query, key, value]
    if bias is not None:
        start: Tensor | None = None
        for index, part in enumerate(parts):
            end = write.size(part, -1) if start is None else write.one("Add", start, write.size(part, -1))
            piece = write.one("Slice", bias, [0] if start is None else start, end)
            parts[index] = write.one("Add", part, piece)
            start = end
    split = [split_heads(write, part, heads) for part in parts]
    return attention(write, node, split, given(node, 4), given(node, 5), shapes, known)


def packed(write: Writer, node: Node, shapes: Shapes, known: Mapping[str, Array]) -> Variable:
    """Decomposes Attention(input, weights, bias, mask_index, past, attention_bias); refuses a past state."""
    heads = int(node.attrs["num_heads"])
    x, weights, bias = (given(node, i) for i in range(3))
    refuse_given(node, (4, *range(6, len(node.inputs))), "a past state")
    if node.attrs.get("do_rotary", 0):
        refuse(node, "applies rotary positions inside the op (do_rotary)", "export rotary positions as separate ops")
    assert x is not None and weights is not None
    projected = write.one("MatMul", x, weights)
    if bias is not None:
        projected = write.one("Add", projected, bias)
    sizes = node.attrs.get("qkv_hidden_sizes")
    bounds: list[Tensor | list[int]]
    if sizes:
        total = np.cumsum([0, *map(int, sizes)])
        bounds = [[int(b)] for b in total]
    else:
        third = write.one("Div", write.size(projected, -1), [3])
        bounds = [[0], third, write.one("Mul", third, [2]), write.one("Mul", third, [3])]
    split = [
        split_heads(write, write.one("Slice", projected, low, high, [2]), heads)
        for low, high in itertools.pairwise(bounds)
    ]
    return attention(write, node, split, given(node, 3), given(node, 5), shapes, known)


def split_heads(write: Writer, x: Tensor, heads: int) -> Variable:
    """Reshapes [batch, frames, heads * width] to [batch, heads, frames, width]."""
    return write.one("Transpose", write.one("Reshape", x, [0, 0, heads, -1]), perm=[0, 2, 1, 3])


def attention(
    write: Writer,
    node: Node,
    parts: list[Variable],
    mask: Tensor | None,
    bias: Tensor | None,
    shapes: Shapes,
    known: Mapping[str, Array],
) -> Variable:
    """Writes the scores, masks, softmax and product with the values, as onnxruntime's kernels compute them.

    Returns the output of the attention, [batch, frames, heads * width].

    Args:
        parts: query, key and value, each [batch, heads, frames, width].
        mask: the mask input of the op, which ``mask_bias`` converts.
        bias: the attention bias, which is added to the scores.
    """
    query, key, value = parts
    scores = write.one("MatMul", query, write.one("Transpose", key, perm=[0, 1, 3, 2]))
    scale = float(node.attrs.get("scale", 0.0) or 0.0)
    if scale:
        scores = write.one("Mul", scores, np.float32(scale))
    else:
        width = write.one("Sqrt", write.one("Cast", write.size(query, -1), to=onnx.TensorProto.FLOAT))
        scores = write.one("Div", scores, width)
    masked = np.float32(node.attrs.get("mask_filter_value", MASKED))
    if mask is not None:
        scores = write.one("Add", scores, mask_bias(write, node, mask, key, masked, shapes, known))
    if bias is not None:
        scores = write.one("Add", scores, bias)
    if node.attrs.get("unidirectional", 0):
        rows, columns = (write.span(write.size(t, 2), trailing) for t, trailing in ((query, 1), (key, 0)))
        later = write.one("Greater", columns, rows)
        scores = write.one("Where", later, np.float32(np.finfo(np.float32).min), scores)
    mixed = write.one("MatMul", write.one("Softmax", scores, axis=-1), value)
    return write.one("Reshape", write.one("Transpose", mixed, perm=[0, 2, 1, 3]), [0, 0, -1])


def mask_bias(
    write: Writer, node: Node, mask: Tensor, key: Tensor, masked: np.float32, shapes: Shapes, known: Mapping[str, Array]
) -> Variable:
    """Converts the mask input of an attention op to a bias that is added to the scores.

    The bias is 0 where a query sees a key, and ``masked`` elsewhere.

    Args:
        mask: [batch, keys], [batch, queries, keys], or the number of keys of each stream, [batch].
    """
    rank = rank_of(mask, shapes, known)
    if rank == 1:
        places = write.one("Cast", write.span(write.size(key, 2), 0), to=onnx.TensorProto.INT32)
        seen = write.one("Less", places, write.one("Reshape", mask, [-1, 1, 1, 1]))
    elif rank in (2, 3):
        seen = write.one("Cast", mask, to=onnx.TensorProto.BOOL)
        seen = write.one("Reshape", seen, [0, 1, 1, -1]) if rank == 2 else write.one("Unsqueeze", seen, [1])
    else:
        refuse(node, f"has a mask of {rank} axes", "give it as [batch, keys] or [batch, queries, keys]")
    return write.one("Where", seen, np.float32(0), masked)
