"""Makes a clip model take any number of frames: a Reshape to the clip's length keeps time as a free axis instead."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from graphc.ir.shapes import Shape, inferred_types


def free_clip_length(model: onnx.ModelProto, name: str, axis: int, frames: int) -> onnx.ModelProto | None:
    """The model with its clip length free in every Reshape; None if a Reshape folds time into another axis, or reads a
    tensor whose shape onnx does not know.

    At ``frames`` frames it gives what the model gives. The caller must judge what it gives at other lengths.

    Args:
        name: the stream input.
        axis: its time axis.
        frames: of the clip.
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
    """The axis without a fixed size; None unless there is exactly one."""
    free = [a for a, size in enumerate(shape) if not isinstance(size, int)]
    return free[0] if len(free) == 1 else None


def freed(graph: onnx.GraphProto, node: onnx.NodeProto, time: int, before: Sequence[int], after: Sequence[int]) -> bool:
    """Makes a Reshape keep time as an axis; returns whether that is possible."""
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
    """The axis order of a Transpose that replaces a Reshape in which only axes of size 1 move, time too; or None."""
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
