"""Resizes to sizes known in advance, at the positions that ONNX's Resize defines for each coordinate mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.shape import taken
from graphc.emit.tflite.value import Array, Value, known

NEAREST: Mapping[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@rule("Resize", "Upsample")
def resize(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    mode = node.attributes.get("mode", b"nearest").decode()
    odd = [n for n in ("antialias", "exclude_outside") if node.attributes.get(n, 0)]
    policy = node.attributes.get("keep_aspect_ratio_policy", b"stretch")
    if mode not in ("nearest", "linear") or odd or policy != b"stretch":
        told = (
            f"its mode is {mode}"
            if mode not in ("nearest", "linear")
            else f"it sets {(*odd, 'keep_aspect_ratio_policy')[0]}"
        )
        raise node.refused(f"{told}, and graphc converts plain nearest and linear resizes")
    for axis, (size, scale) in wanted_sizes(node, x).items():
        x = along(e, node, x, axis, size, scale, mode)
    return [x]


def wanted_sizes(node: Node, x: Value) -> dict[int, tuple[int, float]]:
    """For each axis, the new size, and the scale (new entries for each old entry)."""
    scales, sizes = node.array(1 if node.op == "Upsample" else 2, "scales"), node.array(3, "sizes")
    axes = [int(a) % x.rank for a in node.attributes.get("axes", range(x.rank))]
    if sizes is not None and sizes.size:
        return {a: (int(n), int(n) / x.shape[a]) for a, n in zip(axes, sizes, strict=True)}
    assert scales is not None
    return {a: (int(np.floor(x.shape[a] * s)), float(s)) for a, s in zip(axes, scales, strict=True)}


def along(e: Emitter, node: Node, x: Value, axis: int, size: int, scale: float, mode: str) -> Value:
    """A value resized along one axis."""
    old = x.shape[axis]
    if size == old and scale == 1.0:
        return x
    places = origins(node, size, old, scale)
    if mode == "nearest":
        way = "floor" if node.op == "Upsample" else node.attributes.get("nearest_mode", b"round_prefer_floor").decode()
        near = np.clip(NEAREST[way](places), 0, old - 1).astype(int)
        return taken(e, x, [int(p) for p in near], axis)
    low = np.floor(places)
    ends = [np.clip(p, 0, old - 1).astype(int) for p in (low, low + 1)]
    shape = [-1 if a == axis else 1 for a in range(x.rank)]
    weights = [w.astype(np.float32).reshape(shape) for w in (1 - (places - low), places - low)]
    parts = [
        e.elementwise("MUL", [taken(e, x, [int(p) for p in end], axis), known(weight)])
        for end, weight in zip(ends, weights, strict=True)
    ]
    return e.elementwise("ADD", parts)


def origins(node: Node, size: int, old: int, scale: float) -> Array:
    """The position of each new entry on the old axis."""
    new = np.arange(size, dtype=np.float64)
    way = node.attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    way = "asymmetric" if node.op == "Upsample" else way
    if way == "asymmetric":
        return new / scale
    if way == "align_corners":
        return new * (old - 1) / (old * scale - 1) if old * scale > 1 else np.zeros(size)
    if way == "half_pixel" or (way == "pytorch_half_pixel" and size > 1):
        return (new + 0.5) / scale - 0.5
    if way == "pytorch_half_pixel":
        return np.zeros(1)
    raise node.refused(
        f"its coordinate_transformation_mode is {way}, which graphc cannot convert", "export it with half_pixel"
    )
