"""Models that nobody should be able to do harm with: each is a model, or a file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from conftest import small_model
from onnx import TensorProto, helper, numpy_helper

HUGE = 10**12
FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def made(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray[Any, Any]] | None = None,
    shape: list[int | str] | None = None,
    **more: Any,
) -> onnx.ModelProto:
    """A model of float features ``x`` to ``y``, written without any check."""
    shape = ["T", 4] if shape is None else shape
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more)


def node(op: str, inputs: list[str], outputs: list[str], **attrs: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, **attrs)


def truncated() -> bytes:
    raw = small_model().SerializeToString()
    return raw[: len(raw) // 2]


def cycle() -> onnx.ModelProto:
    return made([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Neg", ["b"], ["y"])])


def tensor_made_twice() -> onnx.ModelProto:
    return made([node("Relu", ["x"], ["a"]), node("Neg", ["x"], ["a"]), node("Abs", ["a"], ["y"])])


def two_inputs_of_one_name() -> onnx.ModelProto:
    model = made([node("Relu", ["x"], ["y"])])
    model.graph.input.append(model.graph.input[0])
    return model


def two_weights_of_one_name() -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.float32), "w"))
    return model


def reads_what_nobody_makes() -> onnx.ModelProto:
    return made([node("Add", ["x", "nothing"], ["y"])])


def output_that_nobody_makes() -> onnx.ModelProto:
    return made([node("Relu", ["x"], ["z"])])


def wrong_type() -> onnx.ModelProto:
    return made([node("Gather", ["x", "w"], ["y"])], {"w": np.ones(2, np.float32)})


def wrong_attribute() -> onnx.ModelProto:
    return made([node("Softmax", ["x"], ["y"], axis="last")])


def no_opset() -> onnx.ModelProto:
    model = small_model()
    del model.opset_import[:]
    return model


def opset_of_the_future() -> onnx.ModelProto:
    model = small_model()
    model.opset_import[0].version = 2**31 - 1
    return model


def unknown_domain() -> onnx.ModelProto:
    model = made([node("Sorcery", ["x"], ["y"], domain="far.away")])
    model.opset_import.add(domain="far.away", version=1)
    return model


def negative_dim() -> onnx.ModelProto:
    return made([node("Relu", ["x"], ["y"])], shape=["T", -4])


def enormous_dim() -> onnx.ModelProto:
    return made([node("Relu", ["x"], ["y"])], shape=["T", HUGE])


def enormous_batch_of_dims() -> onnx.ModelProto:
    return made([node("Relu", ["x"], ["y"])], shape=["T", 2**31, 2**31, 2**31])


def weight_with_too_little_data() -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    model.graph.initializer[0].raw_data = b"\0\0\0\0"
    return model


def weight_with_enormous_dims() -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**31, 2**31, 4])
    return model


def weight_with_negative_dims() -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([-2, -2])
    return model


def weight_of_no_type() -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    model.graph.initializer[0].data_type = 99
    return model


def sums(tail: list[onnx.NodeProto], weights: dict[str, Any]) -> onnx.ModelProto:
    """Something huge, made of constants, of which one number is added to the stream."""
    return made([*tail, node("ReduceMax", ["huge"], ["one"], keepdims=0), node("Add", ["x", "one"], ["y"])], weights)


def constant_of_shape_bomb() -> onnx.ModelProto:
    return sums([node("ConstantOfShape", ["s"], ["huge"])], {"s": np.array([HUGE])})


def expand_bomb() -> onnx.ModelProto:
    return sums([node("Expand", ["v", "s"], ["huge"])], {"v": np.float32([1]), "s": np.array([HUGE])})


def tile_bomb() -> onnx.ModelProto:
    return sums([node("Tile", ["v", "s"], ["huge"])], {"v": np.float32([1]), "s": np.array([HUGE])})


def range_bomb() -> onnx.ModelProto:
    weights = {"a": np.float32(0), "b": np.float32(1e12), "c": np.float32(1)}
    return sums([node("Range", ["a", "b", "c"], ["huge"])], weights)


def pad_bomb() -> onnx.ModelProto:
    return sums([node("Pad", ["v", "p"], ["huge"])], {"v": np.float32([1]), "p": np.array([HUGE, 0])})


def eye_bomb() -> onnx.ModelProto:
    tail = [node("ConstantOfShape", ["s"], ["square"]), node("EyeLike", ["square"], ["huge"], dtype=1)]
    return sums(tail, {"s": np.array([10**6, 10**6])})


def many_small_steps_bomb() -> onnx.ModelProto:
    """Each Tile alone is modest; thirty of them are not."""
    tail, last = [], "v"
    for step in range(30):
        tail.append(node("Tile", [last, "s"], [f"v{step}"]))
        last = f"v{step}"
    return sums([*tail, node("Identity", [last], ["huge"])], {"v": np.float32([1]), "s": np.array([4])})


def outer_products_bomb() -> onnx.ModelProto:
    tail = [node("MatMul", ["a", "b"], ["huge"])]
    return sums(tail, {"a": np.zeros((10**6, 1), np.float32), "b": np.zeros((1, 10**6), np.float32)})


def kernel_of_enormous_reach() -> onnx.ModelProto:
    weights = {"w": np.ones((1, 1, 3), np.float32)}
    return made([node("Conv", ["x", "w"], ["y"], dilations=[10**9], pads=[2 * 10**9, 0])], weights, [1, 1, "T"])


def pad_of_the_stream() -> onnx.ModelProto:
    return made([node("Pad", ["x", "p"], ["y"])], {"p": np.array([10**9, 0, 0, 0])})


def endless_loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [node("Identity", ["c"], ["co"]), node("Add", ["v", "v"], ["vo"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("c", BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [helper.make_tensor_value_info("co", BOOL, []), helper.make_tensor_value_info("vo", FLOAT, None)],
    )
    weights = {"n": np.array(2**62), "go": np.array(True), "v0": np.float32([1])}
    return sums([node("Loop", ["n", "go", "v0"], ["huge"], body=body)], weights)


def nested(depth: int) -> onnx.ModelProto:
    inner = helper.make_graph(
        [node("Identity", ["x"], ["deep"])], "g", [], [helper.make_tensor_value_info("deep", FLOAT, None)]
    )
    for level in range(depth):
        other = helper.make_graph(
            [node("Identity", ["x"], [f"o{level}"])], "g", [], [helper.make_tensor_value_info(f"o{level}", FLOAT, None)]
        )
        branch = node("If", ["go"], [f"l{level}"], then_branch=inner, else_branch=other)
        inner = helper.make_graph([branch], "g", [], [helper.make_tensor_value_info(f"l{level}", FLOAT, None)])
    model = made(list(inner.node), {"go": np.array(True)})
    model.graph.node.append(node("Identity", [f"l{depth - 1}"], ["y"]))
    return model


def deep_branches() -> onnx.ModelProto:
    return nested(28)


def deeper_than_protobuf_reads() -> bytes:
    """A graph in an attribute of a node of a graph, five hundred times: by the numbers of the fields."""
    inner = b""
    for _ in range(500):
        for field in (6, 5, 1):
            inner = bytes([field * 8 + 2]) + varint(len(inner)) + inner
    graph = small_model().graph.SerializeToString() + inner
    return onnx.ModelProto(ir_version=8).SerializeToString() + b"\x3a" + varint(len(graph)) + graph


def varint(count: int) -> bytes:
    parts = bytearray()
    while count > 127:
        parts.append(count % 128 + 128)
        count //= 128
    return bytes([*parts, count])


def with_functions(bodies: dict[str, list[str]]) -> onnx.ModelProto:
    """Functions of one input and one output, each a chain of calls."""
    model = made([node("F0", ["x"], ["y"], domain="local")])
    model.opset_import.add(domain="local", version=1)
    for name, called in bodies.items():
        chain = [
            node(op, [f"v{i}" if i else "a"], [f"v{i + 1}"], domain="local" if op.startswith("F") else "")
            for i, op in enumerate(called)
        ]
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        model.functions.append(helper.make_function("local", name, ["a"], [f"v{len(called)}"], chain, imports))
    return model


def function_that_calls_itself() -> onnx.ModelProto:
    return with_functions({"F0": ["Relu", "F0"]})


def functions_that_call_each_other() -> onnx.ModelProto:
    return with_functions({"F0": ["F1"], "F1": ["Relu", "F0"]})


def functions_that_explode() -> onnx.ModelProto:
    bodies = {f"F{level}": [f"F{level + 1}"] * 10 for level in range(12)}
    return with_functions({**bodies, "F12": ["Relu"]})


def function_of_no_name() -> onnx.ModelProto:
    model = with_functions({"F0": ["Relu"]})
    model.functions[0].name = ""
    return model


def text_that_is_none() -> bytes:
    return small_model().SerializeToString().replace(b"turn_back", b"turn\xff\xfe\xfd\xfc\xfb")


def external(location: str, **entries: str) -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])], {"w": np.ones(4, np.float32)})
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=value)
    return model


def empty_graph() -> onnx.ModelProto:
    return onnx.ModelProto(ir_version=8)


def port_without_a_type() -> onnx.ModelProto:
    model = made([node("Relu", ["x"], ["y"])])
    model.graph.input[0].ClearField("type")
    return model


def sparse_weight_that_lies() -> onnx.ModelProto:
    model = made([node("Add", ["x", "w"], ["y"])])
    values = numpy_helper.from_array(np.ones(3, np.float32), "w")
    places = numpy_helper.from_array(np.array([1, 10**15, -7]), "places")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))
    return model


def node_of_many_inputs() -> onnx.ModelProto:
    return made([node("Concat", ["x"] * 200_000, ["y"], axis=1)])


MODELS: dict[str, Callable[[], onnx.ModelProto | bytes]] = {
    f.__name__: f
    for f in (
        truncated,
        cycle,
        tensor_made_twice,
        two_inputs_of_one_name,
        two_weights_of_one_name,
        reads_what_nobody_makes,
        output_that_nobody_makes,
        wrong_type,
        wrong_attribute,
        no_opset,
        opset_of_the_future,
        unknown_domain,
        negative_dim,
        enormous_dim,
        enormous_batch_of_dims,
        weight_with_too_little_data,
        weight_with_enormous_dims,
        weight_with_negative_dims,
        weight_of_no_type,
        constant_of_shape_bomb,
        expand_bomb,
        tile_bomb,
        range_bomb,
        pad_bomb,
        eye_bomb,
        many_small_steps_bomb,
        outer_products_bomb,
        kernel_of_enormous_reach,
        pad_of_the_stream,
        endless_loop,
        deep_branches,
        deeper_than_protobuf_reads,
        function_that_calls_itself,
        functions_that_call_each_other,
        functions_that_explode,
        function_of_no_name,
        text_that_is_none,
        empty_graph,
        port_without_a_type,
        sparse_weight_that_lies,
        node_of_many_inputs,
    )
}
