"""What all ops that slide a window along time share: convolution, pooling, strided slices, framing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Tensor
from graphc.stream.boundary.run_constants import Core, run_core
from graphc.stream.facts.stream import Edge, Head, Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.node_facts import Facts
from graphc_runtime.contract.manifest import StateKind


@dataclass(frozen=True)
class Window:
    """Output frame o reads the input frames ``o * stride - before ... o * stride - before + extent - 1``.

    Args:
        extent: (kernel - 1) * dilation + 1.
        before: frames of padding before the first input frame; negative if input frames are skipped.
        after: frames of padding after the last input frame.
        length: the step (mul, add, div) from the number of input frames to the number of output frames.
        fill: the value of padding frames, a number or an array that broadcasts.
    """

    extent: int
    stride: int
    before: int
    after: int
    length: tuple[int, int, int]
    fill: float | Array = 0.0

    def delay(self, delay: int) -> int:
        """The output's delay if the input has ``delay``: output frame o waits for the last input frame that it reads.

        docs/calculus.md, "Rules", derives the formula.
        """
        return math.ceil((delay - self.before + self.extent) / self.stride) - 1

    @property
    def is_single(self) -> bool:
        """Whether each output frame reads one input frame, and the next reads the next."""
        return self.extent == 1 and self.stride == 1

    def reads_past_end(self) -> bool:
        """Whether there is a length at which the last output frame reads frames past the end."""
        mul, add, div = self.length
        for frames in range(4 * self.extent, 4 * self.extent + self.stride * div):
            last = (mul * frames + add) // div - 1
            if last * self.stride - self.before + self.extent > frames:
                return True
        return False


@dataclass(frozen=True)
class Windowed:
    """A window placed on a stream, with all that a rule needs for the output's fact and for the nodes.

    Args:
        x: the input as the window reads it, after a delay line if one was needed.
        source: the input as it arrives.
        delay: the delay of the output, before any further delay line.
        cache: the number of frames kept from call to call; negative if the chunk's first frames are dropped.
        fill: the initial value of the cache.
        mask_before: whether leftovers before frame 0 are replaced by the window's fill.
        mask_after: whether leftovers past the end are replaced by the window's fill.
    """

    source: Stream
    x: Stream
    window: Window
    delay: int
    cache: int
    fill: float | Head
    length: Length
    mask_before: bool
    mask_after: bool

    def chunk(self, b: Builder, tensor: Tensor, kind: StateKind) -> Tensor:
        """The frames that one call of the op reads."""
        tensor = b.delayed(tensor, self.source, self.x.delay)
        tensor = b.masked(tensor, self.x, self.window.fill, self.mask_before, self.mask_after)
        return b.cached(tensor, self.x, self.cache, self.fill, kind)


def window_over(facts: Facts, x: Stream, window: Window, settled: bool = False) -> Windowed:
    """Places a window on a stream.

    Leftovers before frame 0 and past the end are masked if the window reads them. If leftovers past the end must be
    masked, the input is delayed until the end is known.

    Args:
        settled: whether the input is also delayed until its first frames are carried and, if the window reads past the
            end, until the end is known.

    Errors:
        ChunkMisfitError: the chunk is not a multiple of the stride.
    """
    frames = facts.frames(x)
    if frames % window.stride:
        facts.misfit(window.stride, x, f"a chunk of {frames} frames is not a multiple of the stride {window.stride}")
    source = x
    if settled:
        x = x.at(max(x.delay, 0))
    reads_past_end = window.reads_past_end()
    mask_after = reads_past_end and not same_value(x.tail, window.fill)
    if window.before > 0 and x.delay < 0 and not same_value(x.head, window.fill):
        x = x.at(0)
    if x.delay < 0 and window.delay(x.delay) < 0 and isinstance(x.head, Edge) and not window.is_single:
        x = x.at(0)
    if mask_after or (settled and reads_past_end):
        x = x.at(max(x.delay, x.length.lag(facts.grid)))
    mask_before = window.before > 0 and x.delay > 0
    fill: float | Head = x.head if x.delay < 0 else window.fill
    delay = window.delay(x.delay)
    cache = delay * window.stride + window.before - x.delay
    length = x.length.then(*window.length)
    return Windowed(source, x, window, delay, cache, fill, length, mask_before, mask_after)


def windowed_fact(facts: Facts, w: Windowed, axis: int, core: Core, index: int = 0) -> Stream:
    """The fact of a window op's output. If the delay is negative, the head is the output of ``core`` for padding."""
    out = facts.out(w.x, axis, index, delay=w.delay, length=w.length)
    if w.delay >= 0:
        return out
    if isinstance(w.fill, Edge):
        return replace(out, head=Edge.FIRST_FRAME)
    frame = np.zeros(w.x.one_frame(), w.x.dtype)
    fill = w.fill if isinstance(w.fill, np.ndarray) else np.asarray(w.fill)
    filled = np.repeat((frame + fill).astype(w.x.dtype), w.window.extent, axis=w.x.axis)
    return replace(out, head=run_core(core, filled, facts))


def same_value(frame: Head, fill: float | Array) -> bool:
    """Whether every entry of a frame equals the fill; 0.0 and -0.0 are different."""
    if not isinstance(frame, np.ndarray):
        return False
    return bool(frame.tobytes() == np.broadcast_to(np.asarray(fill).astype(frame.dtype), frame.shape).tobytes())
