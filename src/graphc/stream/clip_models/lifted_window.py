"""Lifts a clip model: each call computes only the new frames, and its outputs equal those for the whole window."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
from onnx import numpy_helper

from graphc.contract.signature import StreamOutput
from graphc.ir.graph import Node
from graphc.ir.model import Model
from graphc.offline.reference import Offline
from graphc.spec.input_roles import StateRole, StreamRole
from graphc.stream.clip_models.free_clip_length import free_clip_length
from graphc.stream.facts.stream import Stream
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import Analysis, analyse
from graphc_runtime.errors import GraphcError

SLIDING = ("Conv", "MaxPool", "AveragePool", "LpPool")
CACHES = ("conv_context", "pool_context", "delay_line")
FRONT = "window/front"


def slide_by_lift(offline: Offline, window: int, chunk: int, frame_ms: float | None) -> Model | None:
    """The exact lift of a model that runs on a window of frames; None if lift and model might differ.

    Lift and model are equal if a call makes one output frame, and if every op works on single frames or is a window
    without padding. An output frame is then a function of the ``window`` frames at its own position. A Pad supplies
    zeros for the frames before the first call.
    """
    streams = [(n, r) for n, r in offline.roles.items() if isinstance(r, StreamRole)]
    if len(streams) != 1 or chunk >= window or any(isinstance(r, StateRole) for r in offline.roles.values()):
        return None
    ((name, role),) = streams
    free = free_clip_length(offline.model, name, role.axis, window)
    if free is None:
        return None
    try:
        clip = offline.draw(window, np.random.default_rng(0))
        whole, again = offline.run(clip), offline.over(free).run(clip)
        if any(not np.array_equal(whole[n], again[n]) for n in whole):
            return None
        analysis = analyse(offline.over(with_front(free, name, role.axis, window - chunk)), chunk)
        if not all(slides(placed.node, placed.step.local, analysis) for placed in analysis.steps):
            return None
        model = lift(analysis, frame_ms)
    except GraphcError:
        return None
    signature = model.signature
    assert signature is not None
    one_each = all(o.delay == 0 and o.axis is not None and o.rate * chunk == 1 for o in signature.outputs)
    if not one_each or signature.valid_frames or any(s.kind not in CACHES for s in signature.states):
        return None
    shapes = {n: np.shape(value) for n, value in whole.items()}
    taken = {
        t.name: tuple(chunk if a == role.axis else int(d) for a, d in enumerate(clip[name].shape))
        for t in model.graph.inputs
        if t.name == name
    }
    model.signature = replace(
        signature,
        chunk_multiple=1,
        outputs=tuple(StreamOutput(o.name) for o in signature.outputs),
        window=window,
        min_frames=1,
        max_frames=None,
        shapes={**signature.shapes, **shapes, **taken},
    )
    return model


def with_front(model: onnx.ModelProto, name: str, axis: int, frames: int) -> onnx.ModelProto:
    """The model with ``frames`` frames of zeros padded before the first frame of its stream input ``name``."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    (port,) = (p for p in made.graph.input if p.name == name)
    rank = len(port.type.tensor_type.shape.dim)
    for node in made.graph.node:
        for place, read in enumerate(node.input):
            if read == name:
                node.input[place] = FRONT
    amounts = np.zeros(2 * rank, np.int64)
    amounts[axis] = frames
    made.graph.initializer.append(numpy_helper.from_array(amounts, f"{FRONT}/amounts"))
    made.graph.node.insert(0, onnx.helper.make_node("Pad", [name, f"{FRONT}/amounts"], [FRONT], FRONT))
    return made


def slides(node: Node, local: bool, analysis: Analysis) -> bool:
    """Whether a node computes every output frame in the same way from the input frames at the output's own position.

    Args:
        local: whether the node's lowering is local (``Lowering.local``).
    """
    if local or node.name == FRONT:
        return True
    fact = analysis.facts.get(node.inputs[0].name)
    if node.op not in SLIDING or not isinstance(fact, Stream):
        return False
    if str(node.attrs.get("auto_pad", "NOTSET")) not in ("NOTSET", "VALID") or node.attrs.get("ceil_mode", 0):
        return False
    pads = [int(p) for p in node.attrs.get("pads", [])]
    sides = len(pads) // 2
    return not pads or (pads[fact.axis - 2], pads[fact.axis - 2 + sides]) == (0, 0)
