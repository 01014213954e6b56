"""The builder with which rules write the nodes of one call, including caches, windows and delay lines."""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor
from graphc.stream.facts.stream import Edge, Head, Span, Stream
from graphc.stream.lowering.learned_scale_cache import cache_scale_of
from graphc.stream.lowering.mask_missing_frames import FrameMasks
from graphc_runtime.contract.manifest import StateKind

INT64_MAX = np.iinfo(np.int64).max


class Builder(FrameMasks):
    """Builds the graph of one call. Equal caches, delay lines and masks are built once."""

    def cached(
        self, x: Tensor, stream: Stream, length: int, fill: float | Head, kind: StateKind, hint: str = ""
    ) -> Tensor:
        """The last ``length`` frames before the chunk, followed by the chunk.

        If ``length`` is negative, the first frames of the chunk are dropped instead. If a DequantizeLinear with one
        scale makes the frames, the cache stores the integers that this node reads.

        Args:
            fill: the first value of the cache: a number, one frame, or ``Edge.FIRST_FRAME`` for the stream's own first
                frame.
        """
        if length == 0:
            return x
        if length < 0:
            return self.slice(x, stream.axis, -length, INT64_MAX, hint="dropped")
        frame = np.zeros(stream.one_frame(), stream.dtype)
        if isinstance(fill, np.ndarray):
            frame = (
                frame + fill.astype(stream.dtype) if stream.dtype.kind != "b" else np.broadcast_to(fill, frame.shape)
            )
        elif not isinstance(fill, Edge) and fill is not None:
            frame = np.full_like(frame, fill)
        init = np.repeat(frame, length, axis=stream.axis).astype(stream.dtype)
        key = ("cached", x.name, length, isinstance(fill, Edge), init.tobytes())
        if key not in self.memo:
            grid = None if isinstance(fill, Edge) else cache_scale_of(x, init)
            if grid is None:
                port, frames = self.state(init, kind, hint), x
            else:
                port, frames = self.state(grid.init, kind, hint, grid.scale), grid.integers
            past: Tensor = port
            if isinstance(fill, Edge):
                first = self.slice(x, stream.axis, 0, 1, hint="first_frame")
                past = self.one("Where", self.at_start(), first, past, hint="edge")
            both = self.one("Concat", past, frames, axis=stream.axis, hint="with_past")
            self.keep(port, self.slice(both, stream.axis, -length, INT64_MAX, hint="next_past"))
            self.memo[key] = both if grid is None else self.copy(grid.node, [both, *grid.node.inputs[1:]])[0]
        found: Tensor = self.memo[key]
        return found

    def window(self, x: Tensor, stream: Stream, span: Span, kind: StateKind) -> Tensor:
        """The frames of a span. Frames that are not in the chunk come from a cache."""
        if stream.delay < 0:
            x, stream = self.delayed(x, stream, 0), stream.at(0)
        past = span.offset - stream.delay
        both = self.cached(x, stream, past, 0.0, kind)
        if span.extra == past:
            return both
        key = ("window", both.name, span.extra)
        if key not in self.memo:
            self.memo[key] = self.slice(both, stream.axis, 0, self.frames(stream) + span.extra, hint="window")
        found: Tensor = self.memo[key]
        return found

    def delayed(self, x: Tensor, stream: Stream, delay: int) -> Tensor:
        """The chunk of the stream at a larger delay, after a delay line if one is needed."""
        gap = delay - stream.delay
        if gap == 0:
            return x
        both = self.cached(x, stream, gap, stream.head if stream.delay < 0 else 0.0, "delay_line")
        key = ("delayed", both.name)
        if key not in self.memo:
            self.memo[key] = self.slice(both, stream.axis, 0, self.frames(stream), hint="delayed")
        found: Tensor = self.memo[key]
        return found


def finished(builder: Builder, graph: Graph) -> None:
    """Adds the builder's nodes and ports to a graph, with the states in the order in which they were created."""
    graph.nodes = builder.nodes
    if builder.valid_frames is not None:
        graph.inputs.append(builder.valid_frames)
    for port in builder.states:
        state, output = builder.ports[port.input]
        graph.inputs.append(state)
        value = builder.next_values[output.name]
        graph.nodes.append(Node("Identity", f"{output.name}/kept", inputs=[value], outputs=[output]))
        graph.outputs.append(output)
