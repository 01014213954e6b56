"""Random attention for random networks: masks, contexts, heads and positions of every kind, spelled in ONNX ops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from networks import Chooser, Network, Tensor
from onnx import TensorProto

LONGEST = 300


@dataclass(frozen=True)
class Places:
    """Names: number of frames, [T] places, and key less query place [T, T]."""

    count: str
    place: str
    distance: str


def attention(net: Network, x: Tensor) -> None:
    """A residual-free attention layer over a tensor [batch, channels, frames]."""
    choose = net.choose
    heads, width = choose.integer(1, 2), choose.pick([2, 4])
    key_heads = choose.pick([1, heads])
    turned = net.one("Transpose", x.name, perm=[0, 2, 1])
    places = places_of(net, turned)
    kind = choose.pick(
        ["none", "none", "alibi", "bias", "relative", "relative", "rotary", "stored", "ramp", "shaw", "columns"]
    )
    if kind == "stored":
        turned = net.one("Add", turned, stored_rows(net, places, x.channels))
    if kind == "ramp":
        angle = net.one(
            "Mul", net.one("Unsqueeze", place_as_float(net, places), axes(net, 1)), net.weight(1, x.channels)
        )
        turned = net.one("Add", turned, net.one("Sin", angle))
    query, key, value = (project(net, turned, x.channels, h, width) for h in (heads, key_heads, key_heads))
    if kind == "rotary":
        query, key = rotated(net, query, places, width), rotated(net, key, places, width)
    if key_heads != heads:
        repeats = net.constant(np.array([1, heads, 1, 1]))
        key, value = net.one("Tile", key, repeats), net.one("Tile", value, repeats)
    style = choose.pick(["matmul", "einsum"])
    if style == "einsum":
        scores = net.one("Einsum", query, key, equation="bhqd,bhkd->bhqk")
    else:
        scores = net.one("MatMul", query, net.one("Transpose", key, perm=[0, 1, 3, 2]))
    scores = net.one("Mul", scores, net.constant(np.float32(1 / np.sqrt(width))))
    if kind in ("alibi", "bias", "relative", "shaw", "columns"):
        scores = net.one("Add", scores, POSITIONS[kind](net, places, query, heads, width))
    weights = masked_softmax(net, places, scores, heads)
    if style == "einsum":
        mixed = net.one("Einsum", weights, value, equation="bhqk,bhkd->bhqd")
    else:
        mixed = net.one("MatMul", weights, value)
    merged = net.one(
        "Reshape", net.one("Transpose", mixed, perm=[0, 2, 1, 3]), shape(net, net.batch, -1, heads * width)
    )
    out = net.choose.integer(1, 3)
    name = net.one("Transpose", net.one("MatMul", merged, net.weight(heads * width, out)), perm=[0, 2, 1])
    net.out(name, out, x.length)


def shape(net: Network, *sizes: int) -> str:
    return net.constant(np.array(sizes))


def axes(net: Network, *values: int) -> str:
    return net.constant(np.array(values))


def places_of(net: Network, turned: str) -> Places:
    count = net.one("Gather", net.one("Shape", turned), net.constant(np.array(1)))
    place = net.one("Range", net.constant(np.array(0)), count, net.constant(np.array(1)))
    distance = net.one("Sub", net.one("Unsqueeze", place, axes(net, 0)), net.one("Unsqueeze", place, axes(net, 1)))
    return Places(count, place, distance)


def place_as_float(net: Network, places: Places) -> str:
    return net.one("Cast", places.place, to=TensorProto.FLOAT)


def stored_rows(net: Network, places: Places, channels: int) -> str:
    """The first rows of a table of fixed length."""
    end = net.one("Reshape", places.count, shape(net, 1))
    return net.one("Slice", net.weight(LONGEST, channels, scale=1.0), axes(net, 0), end, axes(net, 0))


def project(net: Network, x: str, channels: int, heads: int, width: int) -> str:
    flat = net.one("MatMul", x, net.weight(channels, heads * width, scale=1.2 / np.sqrt(channels)))
    if net.choose.integer(0, 1):
        flat = net.one("Add", flat, net.weight(heads * width, scale=0.5))
    return net.one("Transpose", net.one("Reshape", flat, shape(net, net.batch, -1, heads, width)), perm=[0, 2, 1, 3])


def rotated(net: Network, x: str, places: Places, width: int) -> str:
    rates = net.constant((0.7 ** np.arange(width // 2)).astype(np.float32)[None])
    angle = net.one("Mul", net.one("Unsqueeze", place_as_float(net, places), axes(net, 1)), rates)
    cos, sin = net.one("Cos", angle), net.one("Sin", angle)
    first, second = net.node("Split", [x], outputs=2, axis=3, num_outputs=2)
    a = net.one("Sub", net.one("Mul", first, cos), net.one("Mul", second, sin))
    b = net.one("Add", net.one("Mul", first, sin), net.one("Mul", second, cos))
    return net.one("Concat", a, b, axis=3)


def alibi(net: Network, places: Places, query: str, heads: int, width: int) -> str:
    slopes = net.constant(-(2.0 ** -np.arange(1, heads + 1)).astype(np.float32).reshape(1, heads, 1, 1))
    return net.one("Mul", net.one("Cast", net.one("Abs", places.distance), to=TensorProto.FLOAT), slopes)


def clipped(net: Network, places: Places, most: int) -> str:
    low, high = (net.constant(np.array(v)) for v in (-most, most))
    return net.one("Add", net.one("Max", net.one("Min", places.distance, high), low), net.constant(np.array(most)))


def bias(net: Network, places: Places, query: str, heads: int, width: int) -> str:
    """A learned number for every clipped distance and head."""
    table = net.weight(9, heads, scale=1.0)
    return net.one("Transpose", net.one("Gather", table, clipped(net, places, 4), axis=0), perm=[2, 0, 1])


def shaw(net: Network, places: Places, query: str, heads: int, width: int) -> str:
    """A learned key for every clipped distance."""
    keys = net.one("Gather", net.weight(9, width, scale=0.7), clipped(net, places, 4), axis=0)
    return net.one("Einsum", query, keys, equation="bhqd,qkd->bhqk")


def columns(net: Network, places: Places, query: str, heads: int, width: int) -> str:
    """Scores for every clipped distance, gathered."""
    table = net.one("MatMul", query, net.weight(width, 9, scale=0.7))
    wide = net.one("Unsqueeze", clipped(net, places, 4), axes(net, 0, 1))
    sizes = net.one("Unsqueeze", places.count, axes(net, 0))
    full = net.one("Concat", shape(net, net.batch, heads), sizes, sizes, axis=0)
    return net.one("GatherElements", table, net.one("Expand", wide, full), axis=3)


def relative(net: Network, places: Places, query: str, heads: int, width: int) -> str:
    """A table of 2T - 1 distances, shifted row by row in one of several ways."""
    one = net.constant(np.array(1))
    size = net.one("Unsqueeze", places.count, axes(net, 0))
    double = net.one("Mul", size, net.constant(np.array([2])))
    widths = net.one("Sub", double, net.constant(np.array([1])))
    if net.choose.integer(0, 1):
        start = net.one("Sub", net.constant(np.array([LONGEST])), size)
        stop = net.one("Add", start, widths)
        table = net.one("Slice", net.weight(2 * LONGEST - 1, width, scale=0.7), start, stop, axes(net, 0))
    else:
        last = net.one("Sub", places.count, one)
        back = net.one("Range", net.one("Neg", last), places.count, one)
        angle = net.one("Cast", net.one("Unsqueeze", back, axes(net, 1)), to=TensorProto.FLOAT)
        table = net.one("Sin", net.one("Mul", angle, net.weight(1, width, scale=1.0)))
    moved = net.one("MatMul", query, net.one("Transpose", table, perm=[1, 0]))
    head = shape(net, net.batch, heads)
    if net.choose.integer(0, 1):
        index = net.one("Add", places.distance, net.one("Sub", places.count, one))
        full = net.one("Concat", head, size, size, axis=0)
        return net.one(
            "GatherElements", moved, net.one("Expand", net.one("Unsqueeze", index, axes(net, 0, 1)), full), axis=3
        )
    flat = net.one("Reshape", moved, shape(net, net.batch, heads, -1))
    count = net.one("Mul", size, net.one("Sub", double, net.constant(np.array([2]))))
    begin = net.one("Sub", size, net.constant(np.array([1])))
    kept = net.one("Slice", flat, begin, net.one("Add", begin, count), axes(net, 2))
    rows = net.one(
        "Reshape", kept, net.one("Concat", head, size, net.one("Sub", double, net.constant(np.array([2]))), axis=0)
    )
    return net.one("Slice", zeroed(net, places, rows, size, count), axes(net, 0), size, axes(net, 3))


def zeroed(net: Network, places: Places, rows: str, size: str, count: str) -> str:
    """The rows with zeros where no key stands, written in one of several ways; or as they are."""
    how = net.choose.pick(["kept", "kept", "product", "triangle", "choice"])
    if how == "kept":
        return rows
    last = net.one("Sub", places.count, net.constant(np.array(1)))
    if how == "triangle":
        return net.one("Trilu", rows, last, upper=0)
    ones = net.one("Expand", net.constant(np.float32(1)), net.one("Concat", size, net.one("Div", count, size), axis=0))
    triangle = net.one("Trilu", ones, last, upper=0)
    if how == "product":
        return net.one("Mul", rows, triangle)
    return net.one("Where", net.one("Cast", triangle, to=TensorProto.BOOL), rows, net.constant(np.float32(0)))


POSITIONS = {"alibi": alibi, "bias": bias, "relative": relative, "shaw": shaw, "columns": columns}


def allowed(net: Network, places: Places) -> str:
    """Bool [T, T]: a band, blocks, or a band with holes."""
    choose = net.choose
    kind = choose.pick(
        ["band", "band", "block", "block", "holes", "all"] if choose.integer(0, 9) == 0 else ["band", "block", "holes"]
    )
    if kind == "block":
        size = net.constant(np.array(choose.integer(2, 4)))
        block = net.one("Div", places.place, size)
        behind = net.one("Sub", net.one("Unsqueeze", block, axes(net, 1)), net.one("Unsqueeze", block, axes(net, 0)))
        near = net.one("LessOrEqual", behind, net.constant(np.array(choose.integer(0, 3))))
        return net.one("And", near, net.one("GreaterOrEqual", behind, net.constant(np.array(0))))
    left = 10**6 if kind == "all" else choose.integer(0, 8)
    right = choose.integer(0, 3)
    near = net.one("GreaterOrEqual", places.distance, net.constant(np.array(-left)))
    seen = net.one("And", near, net.one("LessOrEqual", places.distance, net.constant(np.array(right))))
    if kind == "holes":
        even = net.one("Equal", net.one("Mod", places.distance, net.constant(np.array(2))), net.constant(np.array(0)))
        seen = net.one("And", seen, even)
    return seen


def beside_mask(net: Network, places: Places) -> str:
    """What a mask that is added leaves: nothing, or something of the distance, of both places, or of one."""
    kind = net.choose.pick(["nothing", "nothing", "nothing", "distance", "product", "sum", "turns"])
    if kind == "nothing":
        return net.constant(np.float32(0))
    query, key = (net.one("Unsqueeze", places.place, axes(net, axis)) for axis in (1, 0))
    of = {
        "distance": lambda: places.distance,
        "product": lambda: net.one("Mul", query, key),
        "sum": lambda: net.one("Add", query, key),
        "turns": lambda: net.one("Mod", key, net.constant(np.array(3))),
    }[kind]()
    large = net.one("Sin", net.one("Cast", of, to=TensorProto.FLOAT))
    return net.one("Mul", large, net.constant(np.float32(net.choose.pick([0.1, 1, 10]))))


def masked_softmax(net: Network, places: Places, scores: str, heads: int) -> str:
    choose = net.choose
    seen = allowed(net, places)
    if heads > 1 and choose.integer(0, 3) == 0:
        both = [net.one("Unsqueeze", s, axes(net, 0)) for s in (seen, allowed(net, places))]
        seen = net.one("Concat", *both, axis=0)
    fill = net.constant(np.float32(choose.pick([-1e4, -1e9, np.finfo(np.float32).min, -np.inf])))
    if choose.integer(0, 1):
        probs = net.one("Softmax", net.one("Where", seen, scores, fill), axis=-1)
    else:
        added = net.one("Where", seen, beside_mask(net, places), fill)
        probs = net.one("Softmax", net.one("Add", scores, added), axis=-1)
    if choose.integer(0, 4) == 0:
        probs = net.one("Where", seen, probs, net.constant(np.float32(0)))
    return probs


def draw_attention_network(choose: Chooser) -> onnx.ModelProto:
    """A network with one or two attention layers among other ops."""
    net = Network(choose, batch=choose.pick([1, 1, 1, 2]), opset=18)
    for _ in range(choose.integer(1, 2)):
        for _ in range(choose.integer(0, 2)):
            net.grow()
        attention(net, net.tensors[-1])
    for _ in range(choose.integer(0, 2)):
        net.grow()
    return net.model([net.tensors[-1]])
