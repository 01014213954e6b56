"""Makes a clip model accept any number of frames: each Reshape to the clip's length gets a free time axis instead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from graphc.ir.shapes import Shape, inferred_types


def free_clip_length(model: onnx.ModelProto, name: str, axis: int, frames: int) -> onnx.ModelProto | None:
    """The model with a free time axis in every Reshape, or None.

    None if a Reshape folds time into another axis, or if onnx cannot infer a shape. At ``frames`` frames, the returned
    model computes the same outputs as ``model``. The caller must check its outputs at other lengths.

    Args:
        name: the stream input.
        axis: the time axis of the stream input.
        frames: the length of the clip, in frames.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    (port,) = (p for p in made.graph.input if p.name == name)
    dim = port.type.tensor_type.shape.dim[axis]
    dim.dim_value = frames
    clip = {tensor: shape for tensor, (_, shape) in inferred_types(made).items()}
    dim.dim_param = f"{name}_frames"
    weights = {w.name: w for w in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type != "Reshape" or node.domain not in ("", "ai.onnx") or node.input[1] not in weights:
            continue
        _, free = inferred_types(made).get(node.input[0], (0, None))
        if free is None:
            return None
        before, after = clip.get(node.input[0]), clip.get(node.output[0])
        time = free_axis(free)
        if time is None:
            continue
        if before is None or after is None or not fixed(before) or not fixed(after):
            return None
        if not freed(made.graph, node, time, [int(d or 0) for d in before], [int(d or 0) for d in after]):
            return None
    return made


def fixed(shape: Shape) -> bool:
    return all(isinstance(size, int) for size in shape)


def free_axis(shape: Shape) -> int | None:
    """The axis without a fixed size; None unless there is exactly one such axis."""
    free = [a for a, size in enumerate(shape) if not isinstance(size, int)]
    return free[0] if len(free) == 1 else None


def freed(graph: onnx.GraphProto, node: onnx.NodeProto, time: int, before: Sequence[int], after: Sequence[int]) -> bool:
    """Rewrites a Reshape so that time stays an axis of its own; returns False if that is impossible.

    Args:
        time: the time axis of the Reshape's input.
        before: the input's shape at the clip's length.
        after: the output's shape at the clip's length.
    """
    kept = [
        a for a, size in enumerate(after) if size == before[time] and math.prod(after[:a]) == math.prod(before[:time])
    ]
    if kept:
        target = [-1 if a == kept[0] else size for a, size in enumerate(after)]
        graph.initializer.append(numpy_helper.from_array(np.array(target, np.int64), f"{node.output[0]}/free_shape"))
        node.input[1] = graph.initializer[-1].name
        return True
    order = moved_ones(before, after, time)
    if order is None:
        return False
    node.op_type = "Transpose"
    del node.input[1:], node.attribute[:]
    node.attribute.append(onnx.helper.make_attribute("perm", order))
    return True


def moved_ones(before: Sequence[int], after: Sequence[int], time: int) -> list[int] | None:
    """The ``perm`` of a Transpose that can replace a Reshape, or None.

    There is one if the Reshape only moves axes of size 1, and time has size 1.
    """
    wide = [a for a, size in enumerate(before) if size != 1]
    if before[time] != 1 or len(before) != len(after) or [before[a] for a in wide] != [s for s in after if s != 1]:
        return None
    ones = [time, *(a for a in range(len(before)) if before[a] == 1 and a != time)]
    places = [a for a, size in enumerate(after) if size == 1]
    first = next((a for a in places if a > 0), places[0])
    spare = iter(ones[1:])
    narrow = {a: time if a == first else next(spare) for a in places}
    rest = iter(wide)
    return [narrow[a] if a in narrow else next(rest) for a in range(len(after))]
