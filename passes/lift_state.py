"""Lifts an offline model: turns its states into ports."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import onnx
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

import graphc.api as api
from graphc.api import (
    AttentionLimit,
    LiftOptions,
    Model,
    Pass,
    PassConfig,
    PassContext,
    PassError,
    PassResult,
    Signature,
    StreamError,
    opset_of,
    register_pass,
)

if TYPE_CHECKING:
    from graphc.api import Offline

OLDEST_OPSET = 11
FEW_CALLS = 4
SHORT_S = 60.0
PORT_FIELDS = ("node", "kind", "layer", "number")


class AttentionOptions(PassConfig):
    """A limit for an attention: the frames of its layer that a query sees, or the longest stream in input frames."""

    left: int | None = Field(default=None, ge=0, description="frames before a query's own that it may see")
    right: int | None = Field(default=None, ge=0, description="frames after it")
    max_frames: int | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="keep an unlimited past in full, for streams of at most this many input frames",
    )

    @model_validator(mode="after")
    def one_way(self) -> AttentionOptions:
        if (self.left is None and self.right is None) == (self.max_frames is None):
            raise ValueError("give left and right, or max_frames")
        return self


def for_every(limits: object) -> object:
    """The limits, keyed by pattern of node names. A single limit gets the pattern ``*``, for every attention."""
    alone = isinstance(limits, dict) and any(not isinstance(v, dict) for v in limits.values())
    return {"*": limits} if alone else limits


def port_template(text: str) -> str:
    """Returns the template ``text`` unchanged. Refuses fields outside ``PORT_FIELDS``, and unmatched braces."""
    plain = re.sub(r"\{(" + "|".join(PORT_FIELDS) + r")\}", "", text)
    if "{" in plain or "}" in plain:
        raise ValueError(f"a template may use the fields {', '.join('{' + f + '}' for f in PORT_FIELDS)}")
    return text


class LiftStateOptions(PassConfig):
    """Limits for attention, what attention caches, and how state ports are named and packed."""

    attention: Annotated[dict[str, AttentionOptions], BeforeValidator(for_every)] = Field(
        default={}, description="a limit for every attention, or one for each shell pattern of node names"
    )

    cache: Literal["keys_values", "inputs"] = Field(
        default="keys_values",
        description="what attention keeps: keys and values, or the layer's input (fewer bytes, more arithmetic)",
    )
    ports: Annotated[str, AfterValidator(port_template)] = Field(
        default="{node}_{kind}",
        max_length=200,
        description="names of state ports, of {node}, {kind}, {layer} (the first number in the node's name), {number}",
    )

    pack: bool = Field(
        default=False, description="pack states of one kind and shape into one port, after all other passes"
    )

    def settings(self) -> LiftOptions:
        limits = ((pattern, AttentionLimit(o.left, o.right, o.max_frames)) for pattern, o in self.attention.items())
        return LiftOptions(tuple(limits), ports=self.ports)


@register_pass
class LiftState(Pass[LiftStateOptions]):
    """Makes every memory of an offline model an explicit input and output port.

    What it does:
        Follows the stream axis through the graph. Every op that needs earlier frames (convolution, pooling,
        recurrence, running sum, join of streams with different delays) gets a state port. Everything that depends on
        the length of the utterance is reduced to one chunk. With ``stream.window: N`` the model instead keeps the last
        N input frames and runs as a whole on them.

    Why:
        A device receives a stream. The lifted model gives, chunk by chunk, the outputs that the offline model gives for
        the whole utterance.

    Example:
        passes:
          - lift_state: {attention: {left: 64, right: 0}}

    Limits:
        Attention without a limit is refused. The option ``attention`` limits attention to a band, in the model and in
        its reference, or keeps the whole past of streams of up to ``max_frames``. What cannot be streamed at all (a
        recurrence that runs backwards, statistics over all time) is refused with the node, the reason and the way out.
    """

    name = "lift_state"
    Config = LiftStateOptions
    requires = "offline"
    gives = "streaming"

    def run(self, model: Model, config: LiftStateOptions, context: PassContext) -> PassResult:
        if context.offline is None or context.stream is None:
            raise PassError("lift_state needs a stream section", hint="add one to the spec, as `stream: {chunk: 16}`")
        stream = context.stream
        if config.cache == "inputs" and stream.chunk == "dynamic":
            raise StreamError("cache: inputs needs calls of one size", hint="give stream.chunk a number")
        offline = context.offline.over(modern(model.proto(), context.opset))
        stays: list[str] = []
        if stream.window is not None:
            if stream.chunk == "dynamic":
                raise StreamError(
                    "stream.window needs calls of a fixed number of frames", hint="set stream.chunk to a number"
                )
            if config.attention or config.cache == "inputs":
                key = "attention" if config.attention else "cache"
                raise PassError(
                    f"lift_state.{key} changes how a model is lifted, but with stream.window nothing is lifted",
                    hint=f"leave out window, or lift_state.{key}",
                )
            whole = (offline, stream.window, stream.chunk, stream.frame_ms)
            lifted = api.slide_by_lift(*whole) or api.slide(*whole)
        else:
            settings = config.settings()
            offline = api.limit_attention(offline, settings) or offline
            if stream.chunk == "dynamic":
                lifted = api.lift_dynamic(offline, settings, stream.frame_ms)
            else:
                lifted = api.lift(api.analyse(offline, stream.chunk, None, settings), stream.frame_ms)
        if config.cache == "inputs":
            stays = api.cache_inputs(lifted)
        if stream.clocks == "own":
            api.per_stream_clocks(lifted, offline)
        signature = lifted.signature
        assert signature is not None
        size = sum(s.nbytes for s in signature.states)
        stays += api.port_changes(signature.renamed, signature.dropped)
        stays.append(promised(signature) if stream.window is None else of_a_window(signature))
        notes = [f"{s.kind} of {list(s.init.shape)} {s.init.dtype} out of {s.node}" for s in signature.states]
        told = [f"{len(signature.states)} states, {size} bytes", *notes, *stays]
        warnings = short_streams(signature) if stream.window is None else other_clips(offline, stream.window)
        return PassResult(lifted, told, warnings=warnings)

    def closing(self, config: LiftStateOptions) -> list[str]:
        return ["pack_states"] if config.pack else []

    def reference(self, config: LiftStateOptions, offline: Offline) -> Offline | None:
        return api.limit_attention(offline.over(modern(offline.model, opset_of(offline.model))), config.settings())


def promised(signature: Signature) -> str:
    """One line that says for which stream lengths the streaming model equals the offline one."""
    least, most = signature.min_frames, signature.max_frames
    if signature.tried:
        names = ", ".join(signature.tried[:3])
        return f"equal at the lengths tried, {least} to {most} frames; no formula proves it for {names}"
    if most is None:
        return "proved equal for every length" + (f" from {least} frames on" if least > 1 else "")
    beyond = "longer streams go on" if signature.continues else "longer streams are refused"
    return f"proved equal for every length from {least} to {most} frames; {beyond} (`graphc inspect` says what ends it)"


def short_streams(signature: Signature) -> list[str]:
    """A list with a warning if clients will refuse streams after a few calls, a minute, or what was tried; or empty."""
    most, chunk = signature.max_frames, signature.smallest
    if most is None or signature.continues:
        return []
    seconds = most * signature.frame_ms / 1000 if signature.frame_ms else None
    if most >= FEW_CALLS * chunk and not signature.tried and (seconds is None or seconds >= SHORT_S):
        return []
    long = f"{most / chunk:.1f} calls" if seconds is None else f"{seconds:.1f} s"
    why = "the longest that was tried" if signature.tried else "`graphc inspect` says what ends them"
    return [f"streams can last only {most} frames, which is {long}; {why}"]


def other_clips(offline: Offline, window: int) -> list[str]:
    """A list with a warning if the model was exported for clips that are not as long as the window; otherwise empty."""
    if offline.declared in (None, window):
        return []
    return [f"the model was exported for clips of {offline.declared} frames, but stream.window is {window}"]


def of_a_window(signature: Signature) -> str:
    kept = any(s.kind == "window" for s in signature.states)
    how = "" if kept else ", but computes only the new ones: nothing in the model depends on where the window ends"
    return (
        f"each call gives what the offline model gives for the last {signature.window} frames{how}; "
        "if the last call has fewer frames, zeros fill it up"
    )


def modern(proto: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The model, converted to ``OLDEST_OPSET`` if its opset is older.

    From that opset on, Slice and Pad take the values that the lift sets as inputs, not as attributes.

    Errors:
        StreamError: onnx cannot convert the model.
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
