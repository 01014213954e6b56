"""Ops that move entries but change none."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from graphc.emit.torch_program.rule import Node, Tensor, rule

PADS = {b"reflect": "reflect", b"edge": "edge", b"wrap": "wrap"}


@rule("Reshape")
def reshape(node: Node, x: Sequence[Tensor]) -> Tensor:
    sizes = node.numbers(1, "shape") or []
    if not node.attributes.get("allowzero", 0):
        sizes = [x[0].shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return x[0].reshape(sizes)


@rule("Flatten")
def flatten(node: Node, x: Sequence[Tensor]) -> Tensor:
    axis = node.attributes.get("axis", 1)
    axis = axis + x[0].ndim if axis < 0 else axis
    return x[0].reshape(math.prod(x[0].shape[:axis]), math.prod(x[0].shape[axis:]))


@rule("Squeeze")
def squeeze(node: Node, x: Sequence[Tensor]) -> Tensor:
    axes, shape = node.numbers(1, "axes"), x[0].shape
    gone = {a for a, n in enumerate(shape) if n == 1} if axes is None else {a % x[0].ndim for a in axes}
    return x[0].reshape([n for a, n in enumerate(shape) if a not in gone])


@rule("Unsqueeze")
def unsqueeze(node: Node, x: Sequence[Tensor]) -> Tensor:
    axes = node.numbers(1, "axes") or []
    new = {a % (x[0].ndim + len(axes)) for a in axes}
    rest = iter(x[0].shape)
    return x[0].reshape([1 if a in new else next(rest) for a in range(x[0].ndim + len(new))])


@rule("Transpose")
def transpose(node: Node, x: Sequence[Tensor]) -> Tensor:
    return x[0].permute(tuple(node.attributes.get("perm", reversed(range(x[0].ndim)))))


@rule("Concat")
def concat(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.cat([v for v in x if 0 not in v.shape] or [x[0]], node.attributes["axis"])


@rule("Slice")
def slice_(node: Node, x: Sequence[Tensor]) -> Tensor:
    starts, ends = node.numbers(1, "starts") or [], node.numbers(2, "ends") or []
    axes = node.numbers(3, "axes") or list(range(len(starts)))
    steps = node.numbers(4, "steps") or [1] * len(starts)
    made = x[0]
    for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
        place = range(*slice(start, end, by).indices(made.shape[axis]))
        made = taken(made, axis % made.ndim, place)
    return made


def taken(x: Tensor, axis: int, place: range) -> Tensor:
    """The entries of an axis in a range, which may run backwards."""
    if place.step < 0:
        return x.index_select(axis, torch.tensor(list(place), dtype=torch.int64))
    whole = [slice(None)] * x.ndim
    whole[axis] = slice(place.start, max(place.stop, place.start), place.step)
    return x[tuple(whole)]


@rule("Split")
def split(node: Node, x: Sequence[Tensor]) -> Sequence[Tensor]:
    axis = node.attributes.get("axis", 0) % x[0].ndim
    sizes = node.numbers(1, "split")
    if sizes is None:
        count = node.attributes.get("num_outputs", len(node.outputs))
        each = -(-x[0].shape[axis] // count)
        sizes = [min(each, x[0].shape[axis] - each * i) for i in range(count)]
    return list(torch.split(x[0], sizes, axis))


@rule("Expand")
def expand(node: Node, x: Sequence[Tensor]) -> Tensor:
    return x[0].expand(torch.broadcast_shapes(tuple(x[0].shape), tuple(node.numbers(1, "shape") or ())))


@rule("Tile")
def tile(node: Node, x: Sequence[Tensor]) -> Tensor:
    return x[0].repeat(node.numbers(1, "repeats") or [])


@rule("Gather")
def gather(node: Node, x: Sequence[Tensor]) -> Tensor:
    axis = node.attributes.get("axis", 0) % x[0].ndim
    places = torch.remainder(x[1].to(torch.int64), x[0].shape[axis])
    made = x[0].index_select(axis, places.reshape(-1))
    return made.reshape([*x[0].shape[:axis], *places.shape, *x[0].shape[axis + 1 :]])


@rule("GatherElements")
def gather_elements(node: Node, x: Sequence[Tensor]) -> Tensor:
    axis = node.attributes.get("axis", 0) % x[0].ndim
    return torch.gather(x[0], axis, torch.remainder(x[1].to(torch.int64), x[0].shape[axis]))


@rule("Pad")
def pad(node: Node, x: Sequence[Tensor]) -> Tensor:
    pads, mode = node.numbers(1, "pads") or [], node.attributes.get("mode", b"constant")
    axes = node.numbers(3, "axes") or list(range(x[0].ndim))
    each = {a % x[0].ndim: (pads[i], pads[len(axes) + i]) for i, a in enumerate(axes)}
    made = x[0]
    for axis, (first, end) in each.items():
        made = made.narrow(axis, max(-first, 0), made.shape[axis] - max(-first, 0) - max(-end, 0))
    each = {a: (max(first, 0), max(end, 0)) for a, (first, end) in each.items()}
    if mode == b"constant":
        fill = node.array(2, "fill")
        value = 0.0 if fill is None else np.asarray(fill).reshape(-1)[0].item()
        flat = [n for a in reversed(range(made.ndim)) for n in each.get(a, (0, 0))]
        return torch.nn.functional.pad(made, flat, value=value)
    if mode not in PADS:
        known = ", ".join(name.decode() for name in (b"constant", *PADS))
        raise node.refused(f"its mode is {mode.decode()}, and graphc converts {known}")
    for axis, ends in each.items():
        places = np.pad(np.arange(made.shape[axis]), ends, mode=PADS[mode])  # type: ignore[call-overload]
        made = made.index_select(axis, torch.from_numpy(places))
    return made


@rule("DepthToSpace", "SpaceToDepth")
def depth_and_space(node: Node, x: Sequence[Tensor]) -> Tensor:
    b = int(node.attributes["blocksize"])
    n, c, h, w = x[0].shape
    column = node.attributes.get("mode", b"DCR") == b"CRD"
    if node.op == "SpaceToDepth":
        moves = (0, 1, 3, 5, 2, 4) if column else (0, 3, 5, 1, 2, 4)
        return x[0].reshape(n, c, h // b, b, w // b, b).permute(moves).reshape(n, c * b * b, h // b, w // b)
    d = c // b // b
    parts = x[0].reshape(n, d, b, b, h, w) if column else x[0].reshape(n, b, b, d, h, w)
    return parts.permute((0, 1, 4, 2, 5, 3) if column else (0, 3, 4, 1, 5, 2)).reshape(n, d, h * b, w * b)


@rule("Trilu")
def trilu(node: Node, x: Sequence[Tensor]) -> Tensor:
    diagonal = node.array(1, "diagonal")
    offset = 0 if diagonal is None else int(np.asarray(diagonal).reshape(-1)[0])
    return (torch.triu if node.attributes.get("upper", 1) else torch.tril)(x[0], offset)


@rule("Shape")
def shape(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.tensor(list(x[0].shape)[node.attributes.get("start", 0) : node.attributes.get("end")])


@rule("Size")
def size(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.tensor(x[0].numel())
