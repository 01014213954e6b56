"""Random networks that do something else from some length on, as exporters and people write it."""

from __future__ import annotations

import numpy as np
import onnx
from networks import Chooser, Network, Tensor, activation, affine, causal_conv, pre_emphasis
from onnx import TensorProto

NUMBERS = (2, 3, 5, 8, 13, 21, 27, 34, 40, 60, 66, 90, 200, 700)
FEW = (-1, 1, 40)
HOPS = (1, 1, 1, 4)
BESIDE = (-1, 0, 1, 2, 40, 75)
ENDLESS = 2**62
PLAIN = (activation, affine, causal_conv, pre_emphasis)


def draw_threshold_network(choose: Chooser) -> tuple[onnx.ModelProto, list[int]]:
    """A small network with one or two thresholds, and lengths around these."""
    net = Network(choose)
    numbers = [choose.pick(NUMBERS) for _ in range(choose.integer(1, 2))]
    x, hop = net.input, choose.pick(HOPS)
    if hop > 1:
        name = net.one("Conv", x.name, net.weight(2, x.channels, hop), strides=[hop])
        x = Tensor(name, 2, lambda n: n // hop)
        net.tensors.append(x)
    for number in numbers:
        for _ in range(choose.integer(0, 2)):
            choose.pick(PLAIN)(net, x)
            x = net.tensors[-1]
        frames = net.one("Gather", net.one("Shape", x.name), net.constant(np.int64(2)))
        x = choose.pick(USES)(net, x, frames, number)
    lengths = sorted(
        {(n + more) * hop for n in (*numbers, sum(numbers)) for more in (BESIDE if hop == 1 else FEW) if n + more > 0}
    )
    return net.model([x]), lengths


def clamped(net: Network, frames: str, number: int) -> str:
    """min(frames, number), int64 []."""
    n, zero = net.constant(np.int64(number)), net.constant(np.int64(0))
    form = net.choose.integer(0, 8)
    if form == 0:
        return net.one("Min", frames, n)
    if form == 1:
        return net.one("Where", net.one("Less", frames, n), frames, n)
    if form == 2:
        halves = net.constant(np.int64(number // 2)), net.constant(np.int64(number - number // 2))
        return net.one("Min", net.one("Add", *halves), frames)
    if form == 3:
        return net.one("Sub", frames, excess(net, frames, number))
    if form == 4:
        both = net.one("Concat", listed(net, frames), net.constant(np.array([number])), axis=0)
        return net.one("ReduceMin", both, keepdims=0, axes=[0])
    if form == 5:
        return net.one("Clip", frames, zero, n)
    if form == 6:
        first = net.one("Slice", places(net, frames), net.constant(np.array([0])), net.constant(np.array([number])))
        return net.one("Size", first)
    if form == 7:
        shape = net.one(
            "Min", net.one("Expand", frames, net.constant(np.array([2]))), net.constant(np.array([ENDLESS, number]))
        )
        return net.one("Gather", shape, net.constant(np.int64(1)))
    floats = net.one("Cast", frames, to=TensorProto.FLOAT)
    least = net.one("Neg", net.one("Max", net.one("Neg", floats), net.constant(np.float32(-number))))
    return net.one("Cast", least, to=TensorProto.INT64)


def excess(net: Network, frames: str, number: int) -> str:
    """max(frames - number, 0), int64 []."""
    n, zero = net.constant(np.int64(number)), net.constant(np.int64(0))
    more = net.one("Sub", frames, n)
    form = net.choose.integer(0, 3)
    if form == 0:
        return net.one("Max", zero, more)
    if form == 1:
        return net.one("Where", net.one("Greater", more, zero), more, zero)
    if form == 2:
        floats = net.one("Cast", more, to=TensorProto.FLOAT)
        return net.one("Cast", net.one("Relu", floats), to=TensorProto.INT64)
    return net.one("Clip", more, zero)


def parts(net: Network, frames: str, number: int) -> str:
    """How many numbers fit into the frames, or are left over, int64 []."""
    n = net.constant(np.int64(number))
    form = net.choose.integer(0, 2)
    if form == 0:
        return net.one("Div", frames, n)
    if form == 1:
        return net.one("Mod", frames, n)
    floats = net.one("Div", net.one("Cast", frames, to=TensorProto.FLOAT), net.constant(np.float32(number)))
    return net.one("Cast", net.one("Floor", floats), to=TensorProto.INT64)


def listed(net: Network, value: str) -> str:
    return net.one("Unsqueeze", value, net.constant(np.array([0])))


def cut_end(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    end = listed(net, clamped(net, frames, number))
    name = net.one("Slice", x.name, net.constant(np.array([0])), end, net.constant(np.array([2])))
    return Tensor(name, x.channels, x.length)


def cut_front(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    start = listed(net, excess(net, frames, number))
    end, axis = net.constant(np.array([ENDLESS])), net.constant(np.array([2]))
    return Tensor(net.one("Slice", x.name, start, end, axis), x.channels, x.length)


def keep_last(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    start, end, axis = (net.constant(np.array([v])) for v in (-number, ENDLESS, 2))
    return Tensor(net.one("Slice", x.name, start, end, axis), x.channels, x.length)


def scale(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    value = net.choose.pick((excess, clamped, parts))(net, frames, number)
    some = net.one("Mul", net.one("Cast", value, to=TensorProto.FLOAT), net.constant(np.float32(0.01)))
    return Tensor(net.one(net.choose.pick(("Add", "Mul")), x.name, some), x.channels, x.length)


def pad_behind(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    amount = listed(net, net.choose.pick((excess, parts))(net, frames, number))
    amounts = net.one("Concat", net.constant(np.zeros(5, np.int64)), amount, axis=0)
    return Tensor(net.one("Pad", x.name, amounts), x.channels, x.length)


def places(net: Network, frames: str) -> str:
    return net.one("Range", net.constant(np.int64(0)), frames, net.constant(np.int64(1)))


def mask(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """Frames before, or from a number on."""
    away = net.one("Sub", places(net, frames), net.constant(np.int64(number)))
    if net.choose.integer(0, 1):
        seen = net.one(net.choose.pick(("Less", "GreaterOrEqual")), away, net.constant(np.int64(0)))
    else:
        seen = net.one("Less", places(net, frames), clamped(net, frames, number))
    return Tensor(net.one("Mul", x.name, net.one("Cast", seen, to=TensorProto.FLOAT)), x.channels, x.length)


def ramp(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """A ramp that stops growing, or begins late."""
    value = net.choose.pick((clamped, excess, parts))(net, places(net, frames), number)
    some = net.one("Mul", net.one("Cast", value, to=TensorProto.FLOAT), net.constant(np.float32(0.01)))
    return Tensor(net.one("Add", x.name, some), x.channels, x.length)


def pick(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """Frames by their places, none before or behind some place."""
    where = net.one(net.choose.pick(("Min", "Max")), places(net, frames), net.constant(np.int64(number)))
    where = net.one("Min", where, net.one("Sub", frames, net.constant(np.int64(1))))
    return Tensor(net.one("Gather", x.name, where, axis=2), x.channels, x.length)


def band(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """A sum over the frames of a band that Trilu cuts."""
    both = net.one("Concat", listed(net, frames), listed(net, frames), axis=0)
    value = onnx.numpy_helper.from_array(np.ones(1, np.float32))
    ones = net.one("ConstantOfShape", both, value=value)
    past = net.one("Trilu", ones, upper=1)
    near = net.one("Trilu", past, net.constant(np.int64(number)), upper=0)
    return Tensor(net.one("MatMul", x.name, near), x.channels, x.length)


def whole_blocks(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """Frames padded to whole blocks; what pads them is masked, or a few frames more or fewer."""
    block = net.choose.integer(2, 6)
    more = net.one("Mod", net.one("Neg", frames), net.constant(np.int64(block)))
    amounts = net.one("Concat", net.constant(np.zeros(5, np.int64)), listed(net, more), axis=0)
    padded = net.one("Pad", x.name, amounts, net.constant(np.float32(0.5)))
    size = net.one("Gather", net.one("Shape", padded), net.constant(np.int64(2)))
    shifted = net.one("Add", places(net, size), net.constant(np.int64(net.choose.pick((0, 0, 1, -2)))))
    seen = net.one(net.choose.pick(("Less", "LessOrEqual")), shifted, frames)
    made = net.one("Mul", padded, net.one("Cast", seen, to=TensorProto.FLOAT))
    return Tensor(made, x.channels, lambda n: -(-x.length(n) // block) * block)


def table(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """Rows of a table that is another one from some row on."""
    period = net.choose.integer(1, 3)
    rows = np.tile(net.rng.standard_normal(period), 600)[: 3 * number + 200]
    rows[number:] *= net.choose.pick((1.0, 1.5))
    held = net.constant(rows.astype(np.float32))
    form = net.choose.integer(0, 3)
    if form == 0:
        name = net.one("Slice", held, net.constant(np.array([0])), listed(net, frames))
    elif form == 1:
        name = net.one("Gather", held, places(net, frames))
    elif form == 2:
        name = net.one("GatherElements", held, places(net, frames))
    else:
        less = net.one("Sub", listed(net, frames), net.constant(np.array([rows.size])))
        name = net.one("Pad", held, net.one("Concat", net.constant(np.array([0])), less, axis=0))
    return Tensor(net.one("Mul", x.name, name), x.channels, x.length)


def flag(net: Network, x: Tensor, frames: str, number: int) -> Tensor:
    """A number that is added at some lengths alone: of one remainder, in one stretch, or from one on."""
    form = net.choose.integer(0, 3)
    if form == 0:
        shifted = net.one("Sub", frames, net.constant(np.int64(net.choose.integer(0, 20))))
        odd = net.one("Equal", net.one("Mod", shifted, net.constant(np.int64(number))), net.constant(np.int64(0)))
    elif form == 1:
        odd = net.one("Equal", parts(net, frames, 7), net.constant(np.int64(number // 7)))
    elif form == 2:
        more = excess(net, frames, number)
        within = net.one("Less", more, net.constant(np.int64(30)))
        odd = net.one("And", net.one("Greater", more, net.constant(np.int64(0))), within)
    else:
        floats = net.one("Cast", frames, to=TensorProto.FLOAT)
        odd = net.one("QuantizeLinear", floats, net.constant(np.float32(2 * number + 1)))
    some = net.one("Mul", net.one("Cast", odd, to=TensorProto.FLOAT), net.constant(np.float32(0.01)))
    return Tensor(net.one("Add", x.name, some), x.channels, x.length)


USES = (
    cut_end,
    cut_front,
    keep_last,
    scale,
    scale,
    pad_behind,
    mask,
    mask,
    ramp,
    ramp,
    pick,
    band,
    table,
    table,
    flag,
    whole_blocks,
    whole_blocks,
)
