"""Connects a front end to the inputs of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from graphc_passes._front_ends.write_nodes import NodeWriter
from onnx import TensorProto, helper

from graphc.api import PassError, looks_like_batch, nearest

INTEGERS = (TensorProto.INT32, TensorProto.INT64)


@dataclass(frozen=True)
class Layout:
    """The axes of features, time and batch of an input; all other axes have size 1."""

    rank: int
    features: int
    time: int
    batch: int | None


def feature_input(model: onnx.ModelProto, name: str | None, features: int) -> onnx.ValueInfoProto:
    """The input that takes features: ``name``, or else the only float input with an axis of size ``features``.

    Errors:
        PassError: no input fits, or more than one.
    """
    weights = {w.name for w in model.graph.initializer}
    ports = [p for p in model.graph.input if p.name not in weights]
    names = [p.name for p in ports]
    if name is not None:
        found = [p for p in ports if p.name == name]
        if not found:
            raise PassError(f"attach_front_end.input: the model has no input '{name}'", hint=nearest(name, names))
        return found[0]
    floats = [p for p in ports if p.type.tensor_type.elem_type not in INTEGERS and len(dims_of(p)) >= 2]
    fitting = [p for p in floats if features in dims_of(p)] or floats
    if len(fitting) != 1:
        shapes = ", ".join(f"{p.name}{dims_of(p)}" for p in ports)
        raise PassError(
            f"attach_front_end: it is not clear which input takes {features} features: {shapes}",
            hint="name the input, as in `input: features`",
        )
    return fitting[0]


def dims_of(port: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in port.type.tensor_type.shape.dim]


def layout_of(port: onnx.ValueInfoProto, features: int, time: int | None, feature_axis: int | None) -> Layout:
    """The axes of an input: as given, or found from its sizes.

    Errors:
        PassError: the axes are ambiguous, or the feature axis has another size than ``features``.
    """
    dims = dims_of(port)
    rank = len(dims)
    where = f"attach_front_end: the input '{port.name}' {dims}"
    for axis in (time, feature_axis):
        if axis is not None and not -rank <= axis < rank:
            raise PassError(f"{where} has no axis {axis}", hint=f"it has {rank} axes")
    if feature_axis is None:
        sized = [a for a, d in enumerate(dims) if d == features and (time is None or a != time % rank)]
        if len(sized) != 1:
            raise PassError(
                f"{where} has {len(sized) or 'no'} axes of size {features}, the number of features that the front "
                "end makes",
                hint="set the number of bands to the model's, or name the axis, as in `feature_axis: 2`",
            )
        feature_axis = sized[0]
    feature_axis %= rank
    if not isinstance(dims[feature_axis], int) and features in dims:
        raise PassError(
            f"{where} has its {features} features on another axis than {feature_axis}",
            hint="correct feature_axis, or leave it out",
        )
    size = dims[feature_axis]
    if isinstance(size, int) and size != features:
        raise PassError(
            f"{where} takes {size} features, but the front end makes {features}",
            hint=f"set its number of bands or cepstra to {size}",
        )
    rest = [a for a in range(rank) if a != feature_axis]
    if time is None:
        wide = [a for a in rest if dims[a] != 1]
        free = [a for a in wide if not isinstance(dims[a], int)]
        named = [a for a in free if not looks_like_batch(dims[a])]
        later = named if len(named) == 1 or len(free) > 1 else free or wide
        if len(later) != 1:
            raise PassError(
                f"{where} has {len(later) or 'no'} axes that may be time",
                hint="name the time axis, as in `time_axis: 1`",
            )
        time = later[0]
    time %= rank
    others = [a for a in rest if a != time]
    batch = others[0] if others else None
    wide = [a for a in others[1:] if dims[a] != 1]
    if wide:
        raise PassError(
            f"{where} has axis {wide[0]} of size {dims[wide[0]]} besides batch, time and features, but a front end "
            "makes one channel"
        )
    return Layout(rank, feature_axis, time, batch)


def laid_out(writer: NodeWriter, features: str, layout: Layout) -> str:
    """Adds nodes that move the axes of features [batch, features, frames] to those of an input. Returns the result."""
    kept = [a for a in (layout.batch, layout.features, layout.time) if a is not None]
    value = features if layout.batch is not None else writer.along("Squeeze", features, [0], "one_stream")
    order = sorted(range(len(kept)), key=lambda k: kept[k])
    if order != list(range(len(kept))):
        value = writer.node("Transpose", [value], "laid_out", perm=order)
    ones = [a for a in range(layout.rank) if a not in kept]
    return writer.along("Unsqueeze", value, ones, "with_channels") if ones else value


def counted(writer: NodeWriter, model: onnx.ModelProto, names: Sequence[str], features: str) -> None:
    """Adds nodes that replace inputs that count frames: they compute the number of frames, for each stream of a batch.

    Args:
        names: the inputs that count frames.
        features: the tensor with the features, whose frames are counted.
    """
    for name in names:
        port = next(p for p in model.graph.input if p.name == name)
        rank, dtype = len(dims_of(port)), port.type.tensor_type.elem_type
        shape = writer.node("Shape", [features], f"{name}/shape")
        frames = writer.node(
            "Gather", [shape, writer.weight(np.array([2], np.int64), f"{name}/time")], f"{name}/frames"
        )
        if rank == 1:
            first = writer.weight(np.array([0], np.int64), f"{name}/batch")
            frames = writer.node(
                "Expand", [frames, writer.node("Gather", [shape, first], f"{name}/streams")], f"{name}/each"
            )
        else:
            frames = writer.along("Squeeze", frames, [0], f"{name}/one")
        writer.nodes.append(helper.make_node("Cast", [frames], [name], f"{writer.prefix}/{name}/cast", to=dtype))


def counting_inputs(model: onnx.ModelProto, taken: str, told: Sequence[str] | None) -> list[str]:
    """The names of the inputs that count frames.

    Args:
        taken: the input that takes features.
        told: the names given in the options; None for all integer inputs with at most a batch axis.

    Errors:
        PassError: a given name is not such an integer input.
    """
    weights = {w.name for w in model.graph.initializer}
    counters = [
        p.name
        for p in model.graph.input
        if p.name not in weights
        and p.name != taken
        and p.type.tensor_type.elem_type in INTEGERS
        and len(dims_of(p)) <= 1
    ]
    for name in told or ():
        if name not in counters:
            raise PassError(
                f"attach_front_end.counts: '{name}' is not an integer input with at most a batch axis",
                hint=nearest(name, counters),
            )
    return counters if told is None else list(told)
