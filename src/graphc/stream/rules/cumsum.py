"""Running sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from onnx import TensorProto

from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.lowering.builder import INT64_MAX, Builder
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule


@stream_rule("CumSum")
def cumsum(node: Node, facts: Facts) -> Lowering:
    """The sum so far is a state, concatenated before the chunk: frames are added in the order of the offline model.

    Frames before frame 0 are set to zero, and zeros padded before the stream add nothing. Sums of float16 are carried
    in float32, since onnxruntime adds them in float32.
    """
    x = facts.only_stream()
    axis_value = facts.array(1, "'axis'")
    assert axis_value is not None
    if normalised(int(axis_value.ravel()[0]), x.rank) != x.axis:
        return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)
    if node.attrs.get("reverse", 0):
        facts.refuse("sums backwards from the end of the stream", "export it as a sum forwards")
    exclusive = bool(node.attrs.get("exclusive", 0))
    source, silent = x, isinstance(x.head, np.ndarray) and not any(x.head.tobytes())
    x = x if silent else x.at(max(x.delay, 0))
    out = replace(facts.out(x, x.axis), head=x.head)
    wide = np.dtype(np.float32) if x.dtype == np.float16 else x.dtype

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, x.delay)
        chunk = b.masked(chunk, x, 0.0, x.delay > 0, False)
        if wide != x.dtype:
            chunk = b.one("Cast", chunk, to=TensorProto.FLOAT, hint="wide")
        state = b.state(np.zeros(x.one_frame(), wide), "running_sum")
        behind = b.one("Concat", state, chunk, axis=x.axis, hint="behind_the_sum")
        sums = b.one("CumSum", behind, b.constant(np.asarray(x.axis, np.int64)), hint="sums")
        b.keep(state, b.slice(sums, x.axis, -1, INT64_MAX, hint="last"))
        first, last = (0, b.frames(x)) if exclusive else (1, INT64_MAX)
        found = b.slice(sums, x.axis, first, last, hint="running")
        return [found if wide == x.dtype else b.one("Cast", found, to=TensorProto.FLOAT16, hint="narrow")]

    return Lowering((out,), emit)
