"""Random streaming networks: any choice of ops that onnxruntime runs, most of which can be streamed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graphc.diagnose.shrink import inner_reads

V = TypeVar("V")


class Chooser(Protocol):
    """Where choices come from: hypothesis, which can shrink them, or a seed."""

    def integer(self, low: int, high: int) -> int: ...

    def pick(self, options: Sequence[V]) -> V: ...


class Seeded:
    """Choices that a seed makes."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def integer(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def pick(self, options: Sequence[V]) -> V:
        return self.random.choice(list(options))


@dataclass(frozen=True)
class Tensor:
    """A tensor [batch, channels, frames]; ``length`` gives its frames for T input frames."""

    name: str
    channels: int
    length: Callable[[int], int]

    def same_length(self, other: Tensor) -> bool:
        return all(self.length(n) == other.length(n) for n in range(40, 140))


class Network:
    """A network that grows op by op."""

    def __init__(self, choose: Chooser, batch: int = 1, opset: int = 17):
        self.choose = choose
        self.batch = batch
        self.opset = opset
        self.rng = np.random.default_rng(choose.integer(0, 2**16))
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        channels = choose.integer(1, 3)
        self.input = Tensor("x", channels, lambda n: n)
        self.tensors = [self.input]

    def fresh(self, kind: str) -> str:
        return f"{kind}_{len(self.nodes)}_{len(self.weights)}"

    def weight(self, *shape: int, scale: float | None = None) -> str:
        fan = max(1, int(np.prod(shape[1:]))) if len(shape) > 1 else 1
        value = self.rng.standard_normal(shape) * (scale if scale is not None else 1.2 / np.sqrt(fan))
        return self.constant(value.astype(np.float32))

    def constant(self, value: Any) -> str:
        name = self.fresh("w")
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attrs: Any) -> list[str]:
        names = [f"{self.fresh(op.lower())}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"{op}_{len(self.nodes)}", **attrs))
        return names

    def one(self, op: str, *inputs: str, **attrs: Any) -> str:
        return self.node(op, inputs, **attrs)[0]

    def out(self, name: str, channels: int, length: Callable[[int], int]) -> None:
        self.tensors.append(Tensor(name, channels, length))

    def grow(self) -> None:
        x = self.choose.pick(self.tensors[-3:])
        GROWERS[self.choose.integer(0, len(GROWERS) - 1)](self, x)

    def needed(self, outputs: Sequence[Tensor]) -> list[onnx.NodeProto]:
        """The nodes that an output depends on: onnxruntime runs the others too, and aborts on some that get no frame."""
        wanted = {t.name for t in outputs}
        kept: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):
            if wanted & set(node.output):
                wanted |= set(node.input) | inner_reads(node)
                kept.append(node)
        return kept[::-1]

    def model(self, outputs: Sequence[Tensor]) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.needed(outputs),
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [self.batch, self.input.channels, "T"])],
            [helper.make_tensor_value_info(t.name, TensorProto.FLOAT, [self.batch, t.channels, None]) for t in outputs],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def conv(net: Network, x: Tensor) -> None:
    kernel, dilation, stride = net.choose.integer(1, 5), net.choose.integer(1, 3), net.choose.integer(1, 3)
    before, after = net.choose.integer(0, 6), net.choose.integer(0, 4)
    depthwise = net.choose.integer(0, 2) == 0
    out = x.channels if depthwise else net.choose.integer(1, 4)
    weight = net.weight(out, 1 if depthwise else x.channels, kernel)
    bias = [net.weight(out, scale=0.5)] if net.choose.integer(0, 1) else []
    extent = (kernel - 1) * dilation + 1
    name = net.one(
        "Conv",
        x.name,
        weight,
        *bias,
        pads=[before, after],
        dilations=[dilation],
        strides=[stride],
        group=x.channels if depthwise else 1,
    )
    net.out(name, out, lambda n: max(0, (x.length(n) + before + after - extent + stride) // stride))


def causal_conv(net: Network, x: Tensor) -> None:
    kernel, dilation = net.choose.integer(1, 4), net.choose.integer(1, 2)
    out = net.choose.integer(1, 4)
    name = net.one(
        "Conv", x.name, net.weight(out, x.channels, kernel), pads=[(kernel - 1) * dilation, 0], dilations=[dilation]
    )
    net.out(name, out, x.length)


def same_conv(net: Network, x: Tensor) -> None:
    kernel = net.choose.pick([3, 5])
    out = x.channels
    name = net.one("Conv", x.name, net.weight(out, x.channels, kernel), net.weight(out), auto_pad="SAME_UPPER")
    net.out(name, out, x.length)


def activation(net: Network, x: Tensor) -> None:
    net.out(net.one(net.choose.pick(["Relu", "Tanh", "Sigmoid", "Abs"]), x.name), x.channels, x.length)


def affine(net: Network, x: Tensor) -> None:
    op = net.choose.pick(["Add", "Mul"])
    net.out(net.one(op, x.name, net.weight(x.channels, 1, scale=1.0)), x.channels, x.length)


def batch_norm(net: Network, x: Tensor) -> None:
    variance = net.constant((np.abs(net.rng.standard_normal(x.channels)) + 0.5).astype(np.float32))
    parts = [net.weight(x.channels) for _ in range(3)]
    net.out(net.one("BatchNormalization", x.name, *parts, variance), x.channels, x.length)


def pad(net: Network, x: Tensor) -> None:
    """Frames in front and behind; negative numbers of them crop."""
    mode = net.choose.pick(["constant", "constant", "constant", "edge", "reflect"])
    least = -2 if mode == "constant" else 0
    before, after = net.choose.integer(least, 4), net.choose.integer(least, 3)
    value = net.choose.pick([0.0, 0.0, 1.5])
    amounts = net.constant(np.array([0, 0, before, 0, 0, after]))
    fill = [net.constant(np.float32(value))] if mode == "constant" else []
    name = net.one("Pad", x.name, amounts, *fill, mode=mode)
    net.out(name, x.channels, lambda n: max(0, x.length(n) + before + after))


def pool(net: Network, x: Tensor) -> None:
    op = net.choose.pick(["MaxPool", "AveragePool", "AveragePool", "LpPool"])
    kernel, stride = net.choose.integer(1, 4), net.choose.integer(1, 3)
    before, after = net.choose.integer(0, kernel - 1), net.choose.integer(0, kernel - 1)
    attrs: dict[str, Any] = {}
    if op == "AveragePool":
        attrs["count_include_pad"] = net.choose.integer(0, 1)
    if op == "MaxPool" and net.choose.integer(0, 3) == 0:
        attrs["dilations"] = [2]
    extent = (kernel - 1) * attrs.get("dilations", [1])[0] + 1
    name = net.one(op, x.name, kernel_shape=[kernel], strides=[stride], pads=[before, after], **attrs)
    net.out(name, x.channels, lambda n: max(0, (x.length(n) + before + after - extent + stride) // stride))


def conv_transpose(net: Network, x: Tensor) -> None:
    kernel, stride, dilation = net.choose.integer(1, 5), net.choose.integer(1, 3), net.choose.integer(1, 2)
    extent = (kernel - 1) * dilation + 1
    before, after = net.choose.integer(0, min(2, extent - 1)), net.choose.integer(0, min(2, extent - 1))
    extra = net.choose.integer(0, stride - 1)
    out = net.choose.integer(1, 3)
    bias = [net.weight(out, scale=0.5)] if net.choose.integer(0, 1) else []
    name = net.one(
        "ConvTranspose",
        x.name,
        net.weight(x.channels, out, kernel),
        *bias,
        strides=[stride],
        dilations=[dilation],
        pads=[before, after],
        output_padding=[extra],
    )
    net.out(name, out, lambda n: max(0, (x.length(n) - 1) * stride + extent - before - after + extra))


def slice_time(net: Network, x: Tensor) -> None:
    start, cut, step = net.choose.integer(0, 3), net.choose.integer(0, 2), net.choose.pick([1, 1, 2, 3])
    end = -cut if cut else 2**31 - 1
    parts = [net.constant(np.array([v])) for v in (start, end, 2, step)]
    net.out(net.one("Slice", x.name, *parts), x.channels, lambda n: max(0, -(-(x.length(n) - start - cut) // step)))


def recurrence(net: Network, x: Tensor) -> None:
    op = net.choose.pick(["LSTM", "GRU", "RNN"] if x.length(1) > 0 else ["LSTM", "RNN"])
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    hidden = net.choose.integer(1, 3)
    turned = net.one("Transpose", x.name, perm=[2, 0, 1])
    inputs = [
        turned,
        net.weight(1, gates * hidden, x.channels),
        net.weight(1, gates * hidden, hidden),
        net.weight(1, 2 * gates * hidden, scale=0.5),
    ]
    if net.choose.integer(0, 1):
        states = [net.weight(1, net.batch, hidden, scale=1.0) for _ in range(2 if op == "LSTM" else 1)]
        inputs += ["", *states]
    direction = "reverse" if net.choose.integer(0, 19) == 0 else "forward"
    extra = {"linear_before_reset": net.choose.integer(0, 1)} if op == "GRU" else {}
    y = net.node(op, inputs, hidden_size=hidden, direction=direction, **extra)[0]
    squeezed = net.one("Squeeze", y, net.constant(np.array([1])))
    net.out(net.one("Transpose", squeezed, perm=[1, 2, 0]), hidden, x.length)


def recurrence_over_channels(net: Network, x: Tensor) -> None:
    """Both ways over the channels, every frame alone; only for one stream, whose batch axis time then takes.

    Not where there may be no frames: onnxruntime aborts on a GRU over an empty batch.
    """
    if net.batch > 1 or x.length(1) < 1:
        activation(net, x)
        return
    turned = net.one("Transpose", x.name, perm=[1, 2, 0])
    y = net.node("GRU", [turned, net.weight(2, 6, 1), net.weight(2, 6, 2)], hidden_size=2, direction="bidirectional")[0]
    moved = net.one("Transpose", y, perm=[0, 1, 3, 2])
    shape = net.constant(np.array([1, x.channels * 4, -1]))
    net.out(net.one("Reshape", moved, shape), x.channels * 4, x.length)


def cumsum(net: Network, x: Tensor) -> None:
    scaled = net.one("Mul", x.name, net.constant(np.float32(0.1)))
    name = net.one("CumSum", scaled, net.constant(np.int64(2)), exclusive=net.choose.integer(0, 1))
    net.out(name, x.channels, x.length)


def resize(net: Network, x: Tensor) -> None:
    factor = net.choose.integer(2, 3)
    scales = net.constant(np.array([1, 1, factor], np.float32))
    name = net.one(
        "Resize", x.name, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    net.out(name, x.channels, lambda n: x.length(n) * factor)


def stack_frames(net: Network, x: Tensor) -> None:
    """Two frames become one of twice the channels; only even lengths run."""
    turned = net.one("Transpose", x.name, perm=[0, 2, 1])
    stacked = net.one("Reshape", turned, net.constant(np.array([net.batch, -1, 2 * x.channels])))
    net.out(net.one("Transpose", stacked, perm=[0, 2, 1]), 2 * x.channels, lambda n: x.length(n) // 2)


def unstack_frames(net: Network, x: Tensor) -> None:
    if x.channels % 2:
        activation(net, x)
        return
    turned = net.one("Transpose", x.name, perm=[0, 2, 1])
    spread = net.one("Reshape", turned, net.constant(np.array([net.batch, -1, x.channels // 2])))
    net.out(net.one("Transpose", spread, perm=[0, 2, 1]), x.channels // 2, lambda n: x.length(n) * 2)


def constant_in_front(net: Network, x: Tensor) -> None:
    count = net.choose.integer(1, 3)
    same = net.choose.integer(0, 1)
    value = net.rng.standard_normal((net.batch, x.channels, 1 if same else count)).astype(np.float32)
    front = net.constant(np.repeat(value, count, axis=2) if same else value)
    net.out(net.one("Concat", front, x.name, axis=2), x.channels, lambda n: x.length(n) + count)


def join(net: Network, x: Tensor) -> None:
    """A residual, or channels side by side, of any two tensors of one length."""
    others = [t for t in net.tensors if t is not x and t.same_length(x)]
    if not others:
        activation(net, x)
        return
    other = net.choose.pick(others)
    if other.channels == x.channels and net.choose.integer(0, 2):
        net.out(net.one(net.choose.pick(["Add", "Mul", "Sub"]), x.name, other.name), x.channels, x.length)
    elif x.channels + other.channels <= 12:
        name = net.one("Concat", x.name, other.name, axis=1)
        net.out(name, x.channels + other.channels, x.length)


def over_channels(net: Network, x: Tensor) -> None:
    kind = net.choose.integer(0, 3)
    if kind == 0:
        net.out(net.one("Softmax", x.name, axis=1), x.channels, x.length)
    elif kind == 1:
        axes = {"axes": [1]} if net.opset < 18 else {}
        inputs = [x.name] if net.opset < 18 else [x.name, net.constant(np.array([1]))]
        net.out(net.one("ReduceMean", *inputs, keepdims=1, **axes), 1, x.length)
    elif kind == 2:
        net.out(net.one("MatMul", net.weight(3, x.channels), x.name), 3, x.length)
    else:
        picked = net.one("Gather", x.name, net.constant(np.array([0, x.channels - 1])), axis=1)
        net.out(picked, 2, x.length)


def norm(net: Network, x: Tensor) -> None:
    turned = net.one("Transpose", x.name, perm=[0, 2, 1])
    normed = net.one("LayerNormalization", turned, net.weight(x.channels, scale=1.0), net.weight(x.channels), axis=-1)
    net.out(net.one("Transpose", normed, perm=[0, 2, 1]), x.channels, x.length)


def conv_2d(net: Network, x: Tensor) -> None:
    """Channels as frequency: a 2-D conv, then merged again."""
    planes, kernel, stride = net.choose.integer(1, 2), net.choose.integer(1, 3), net.choose.integer(1, 2)
    before, after = net.choose.integer(0, 2), net.choose.integer(0, 2)
    image = net.one("Unsqueeze", x.name, net.constant(np.array([1])))
    name = net.one(
        "Conv",
        image,
        net.weight(planes, 1, 3, kernel),
        net.weight(planes),
        pads=[1, before, 1, after],
        strides=[1, stride],
    )
    shape = net.constant(np.array([net.batch, planes * x.channels, -1]))
    net.out(
        net.one("Reshape", name, shape),
        planes * x.channels,
        lambda n: max(0, (x.length(n) + before + after - kernel + stride) // stride),
    )


def scan(net: Network, x: Tensor) -> None:
    """A leaky sum as a Scan over time."""
    turned = net.one("Transpose", x.name, perm=[2, 0, 1])
    shape = [net.batch, x.channels]
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["s", "decay"], ["half"]),
            helper.make_node("Add", ["half", "f"], ["s_next"]),
            helper.make_node("Tanh", ["s_next"], ["o"]),
        ],
        "body",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("s", "f")],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("s_next", "o")],
        [numpy_helper.from_array(np.float32(0.5), "decay")],
    )
    first = net.weight(*shape, scale=1.0)
    y = net.node("Scan", [first, turned], outputs=2, body=body, num_scan_inputs=1)[1]
    net.out(net.one("Transpose", y, perm=[1, 2, 0]), x.channels, x.length)


def loop(net: Network, x: Tensor) -> None:
    """A leaky sum as a Loop, in the ways that exporters write one: some stop early or pick another frame."""
    if x.length(1) < 1:
        activation(net, x)
        return
    own = net.fresh("loop")
    shape = [net.batch, x.channels]
    frames = net.one("Squeeze", net.one("Gather", net.one("Shape", x.name), net.constant(np.array([2]))))
    carries_stream, counts, cuts, ends = (net.choose.integer(0, 1) for _ in range(4))
    start = net.choose.pick([0, 0, 0, 0, 0, 0, -1])
    limit = net.choose.pick(["frames", "frames", "frames", "frames", "twenty"])
    count, source, state, going = f"{own}_count", f"{own}_source", f"{own}_state", f"{own}_going"
    picked, following, total = f"{own}_picked", f"{own}_following", frames if limit == "frames" else f"{own}_twenty"
    index = count if counts else f"{own}_turn"
    held = source if carries_stream else x.name
    nodes = [helper.make_node("Add", [count, f"{own}_one"], [following])]
    if cuts:
        nodes += [
            helper.make_node("Unsqueeze", [index, f"{own}_zeros"], [f"{own}_from"]),
            helper.make_node("Add", [f"{own}_from", f"{own}_one"], [f"{own}_to"]),
            helper.make_node("Slice", [held, f"{own}_from", f"{own}_to", f"{own}_axis"], [f"{own}_cut"]),
            helper.make_node("Squeeze", [f"{own}_cut", f"{own}_axis"], [picked]),
        ]
    else:
        nodes.append(helper.make_node("Gather", [held, index], [picked], axis=2))
    nodes += [
        helper.make_node("Mul", [state, f"{own}_decay"], [f"{own}_half"]),
        helper.make_node("Add", [f"{own}_half", picked], [f"{own}_sum"]),
        helper.make_node("Tanh", [f"{own}_sum"], [f"{own}_out"]),
        helper.make_node("Less", [following, total], [f"{own}_again"])
        if ends
        else helper.make_node("Identity", [going], [f"{own}_again"]),
    ]
    kinds = {
        "turn": TensorProto.INT64,
        "going": TensorProto.BOOL,
        "count": TensorProto.INT64,
        "again": TensorProto.BOOL,
    }
    kinds["following"] = TensorProto.INT64

    def port(name: str, dims: Sequence[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(f"{own}_{name}", kinds.get(name, TensorProto.FLOAT), dims)

    taken, given = [port("turn", []), port("going", [])], [port("again", [])]
    inputs = [net.constant(np.int64(2**40)) if ends and net.choose.integer(0, 2) == 0 else frames, net.constant(True)]
    if carries_stream:
        taken, given, inputs = (
            [*taken, port("source", [*shape, None])],
            [*given, port("source", [*shape, None])],
            [*inputs, x.name],
        )
    taken, given = (
        [*taken, port("count", []), port("state", shape)],
        [*given, port("following", []), port("sum", shape)],
    )
    inputs += [net.constant(np.int64(start)), net.weight(*shape, scale=1.0)]
    constants = {
        "one": np.int64(1),
        "zeros": np.array([0]),
        "axis": np.array([2]),
        "decay": np.float32(0.5),
        "twenty": np.int64(20),
    }
    weights = [numpy_helper.from_array(np.asarray(v), f"{own}_{n}") for n, v in constants.items()]
    body = helper.make_graph(nodes, "body", taken, [*given, port("out", shape)], weights)
    y = net.node("Loop", inputs, outputs=3 + carries_stream, body=body)[-1]
    net.out(net.one("Transpose", y, perm=[1, 2, 0]), x.channels, x.length)


def pre_emphasis(net: Network, x: Tensor) -> None:
    """The first frame, then each frame less a part of the one before."""
    zero, one, end, minus, axis = (net.constant(np.array([v])) for v in (0, 1, 2**31 - 1, -1, 2))
    first = net.one("Slice", x.name, zero, one, axis)
    later = net.one("Slice", x.name, one, end, axis)
    earlier = net.one("Mul", net.one("Slice", x.name, zero, minus, axis), net.constant(np.float32(0.9)))
    net.out(net.one("Concat", first, net.one("Sub", later, earlier), axis=2), x.channels, x.length)


def extra_padding(net: Network, x: Tensor) -> None:
    """Zeros behind, up to whole steps of the length."""
    step = net.choose.integer(2, 4)
    size = net.one("Gather", net.one("Shape", x.name), net.constant(np.array([2])))
    missing = net.one("Mod", net.one("Neg", size), net.constant(np.array([step])))
    pads = net.one("Concat", net.constant(np.array([0, 0, net.choose.integer(0, 2), 0, 0])), missing, axis=0)
    before = int(numpy_helper.to_array(net.weights[-1])[2])
    net.out(net.one("Pad", x.name, pads), x.channels, lambda n: before - (-x.length(n) // step) * step)


def trim(net: Network, x: Tensor) -> None:
    """The end cut to whole steps of the length."""
    step = net.constant(np.array([net.choose.integer(2, 4)]))
    whole = int(numpy_helper.to_array(net.weights[-1])[0])
    size = net.one("Gather", net.one("Shape", x.name), net.constant(np.array([2])))
    end = net.one("Mul", net.one("Div", size, step), step)
    name = net.one("Slice", x.name, net.constant(np.array([0])), end, net.constant(np.array([2])))
    net.out(name, x.channels, lambda n: x.length(n) // whole * whole)


GROWERS: list[Callable[[Network, Tensor], None]] = [
    conv,
    conv,
    conv,
    causal_conv,
    same_conv,
    activation,
    affine,
    batch_norm,
    pad,
    pad,
    pool,
    pool,
    conv_transpose,
    slice_time,
    recurrence,
    recurrence_over_channels,
    cumsum,
    resize,
    stack_frames,
    unstack_frames,
    constant_in_front,
    join,
    join,
    join,
    over_channels,
    norm,
    conv_2d,
    scan,
    loop,
    pre_emphasis,
    extra_padding,
    trim,
]


def draw_network(choose: Chooser) -> onnx.ModelProto:
    """A network of one to nine ops with one or two outputs."""
    net = Network(choose, batch=choose.pick([1, 1, 1, 2]))
    for _ in range(choose.integer(1, 9)):
        net.grow()
    outputs = [net.tensors[-1]]
    if len(net.tensors) > 2 and choose.integer(0, 2) == 0:
        outputs.append(net.tensors[-2])
    return net.model([t for t in outputs if t.name != "x"] or [net.tensors[-1]])
