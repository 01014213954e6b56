"""The lift: offline to streaming."""

from __future__ import annotations

import onnx

from graphc.api import (
    Model,
    Pass,
    PassConfig,
    PassContext,
    PassError,
    PassResult,
    StreamError,
    analyse,
    lift,
    register_pass,
    slide,
)

OLDEST_OPSET = 11


class LiftOptions(PassConfig):
    """No options yet: the stream section of the spec says all."""


@register_pass
class LiftState(Pass[LiftOptions]):
    """Makes every memory of an offline model an explicit input and output port.

    What it does:
        Follows stream time through the graph, gives every op that remembers (convolution, pooling, recurrence,
        running sum, join of streams with different delays) a state port, and cuts everything that depends on the
        length of the utterance down to a chunk. With ``stream.window: N`` it keeps the last N input frames instead
        and runs the whole model on them.

    Why:
        A device hears a stream. The lifted model gives, chunk by chunk, what the offline model gives for the whole.

    Example:
        passes:
          - lift_state

    Limits:
        Attention is refused in this version. What cannot be streamed at all (a recurrence that runs backwards,
        statistics over all time) is refused with the node, the reason and the way out.
    """

    name = "lift_state"
    Config = LiftOptions
    requires = "offline"
    gives = "streaming"

    def run(self, model: Model, config: LiftOptions, context: PassContext) -> PassResult:
        if context.offline is None or context.stream is None:
            raise PassError("lift_state needs a stream section", hint="say what streams: `stream: {chunk: 16}`")
        stream = context.stream
        if stream.chunk == "dynamic":
            raise StreamError("chunk: dynamic is not supported by this version", hint="give the frames of one call")
        offline = context.offline.over(modern(model.proto(), context.opset))
        if stream.window is not None:
            lifted = slide(offline, stream.window, stream.chunk, stream.frame_ms)
        else:
            lifted = lift(analyse(offline, stream.chunk), stream.frame_ms)
        signature = lifted.signature
        assert signature is not None
        size = sum(s.nbytes for s in signature.states)
        notes = [f"{s.kind} of {list(s.init.shape)} {s.init.dtype} out of {s.node}" for s in signature.states]
        return PassResult(lifted, [f"{len(signature.states)} states, {size} bytes", *notes])


def modern(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model at an opset in which Slice and Pad take inputs, as the lift writes them.

    Errors:
        StreamError: onnx cannot convert it.
    """
    if opset >= OLDEST_OPSET:
        return proto
    try:
        return onnx.version_converter.convert_version(proto, OLDEST_OPSET)
    except Exception as err:
        raise StreamError(
            f"the model is at opset {opset} and cannot be converted: {' '.join(str(err).split())[:200]}",
            hint=f"export it at opset {OLDEST_OPSET} or later",
        ) from err
