"""The first frame of a stream as a tensor without time: the first call reads it, and later calls carry it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering

FIRST = Length.fixed(1)


def is_held(x: Stream) -> bool:
    """Whether the first call has frame 0 of a stream, and onnxruntime's Where supports the stream's dtype."""
    return x.delay <= 0 and x.is_choosable


def is_alone(x: Stream) -> bool:
    """Whether a stream has no frame except frame 0, and ``first_frame`` can lower it."""
    return x.length == FIRST and is_held(x)


def first_frame(x: Stream, keeps_axis: bool = True) -> Lowering:
    """The lowering to frame 0 of a stream without delay: the first call reads it, and later calls carry it as a state.

    Args:
        keeps_axis: whether the output keeps the time axis, with size 1.
    """
    shape = tuple(1 if a == x.axis else size for a, size in enumerate(x.shape))
    value = shape if keeps_axis else (*shape[: x.axis], *shape[x.axis + 1 :])

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], x, 0)
        frame = b.slice(chunk, x.axis, 0, 1, hint="first_frame")
        port = b.state(np.zeros(shape, x.dtype), "scan_carry", "first_frame")
        held = b.one("Where", b.at_start(), frame, port, hint="held")
        b.keep(port, held)
        return [held if keeps_axis else b.one("Reshape", held, b.constant(list(value)), hint="squeezed")]

    return Lowering((Untimed(value, x.dtype, UntimedOrigin.FIRST),), emit)
