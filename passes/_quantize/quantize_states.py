"""Converts state ports from float32 to integers or float16. The manifest contains the scales of the integers.

If a model has learned scales, its caches already are integers (graphc/stream/lowering/learned_scale_cache.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from graphc_passes._quantize.contrib import CONTRIB_LINEAR, other_target
from graphc_passes._quantize.options import QuantizeOptions, StateType
from numpy.typing import NDArray
from onnx import TensorProto

from graphc.api import (
    Constant,
    Model,
    Node,
    OpSet,
    PassError,
    StatePort,
    StateScale,
    Tensor,
    Variable,
    names_in,
    op_of,
    unused_name,
)

if TYPE_CHECKING:
    from graphc.api import Seen

CARRIES = ("rnn_hidden", "rnn_cell", "scan_carry", "running_sum", "overlap_add", "given")
PAST_OPS = {"com.microsoft::MultiHeadAttention": 2}
FIRST_PER_AXIS = 13
FIRST_INT16 = 21
HEADED_RANK = 4


@dataclass(frozen=True)
class StateIntegers:
    """How a state becomes integers: one scale and zero point for each index on ``axis``, or one for all if None."""

    axis: int | None
    scale: NDArray[np.float32]
    zero_point: NDArray[Any]

    def integers(self, value: NDArray[Any]) -> NDArray[Any]:
        scale, zero = self.scale, self.zero_point.astype(np.float64)
        if self.axis is not None:
            shape = [-1 if a == self.axis else 1 for a in range(value.ndim)]
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        limits = np.iinfo(self.zero_point.dtype)
        return np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(self.zero_point.dtype)


def wanted_type(state: StatePort, config: QuantizeOptions) -> StateType | str:
    """The type that the options give a state, or a sentence that says why the state keeps its type."""
    asked = config.states
    if state.init.dtype != np.float32:
        return f"it is {state.init.dtype}"
    if isinstance(asked, dict):
        return asked.get(state.kind) or f"quantize.states does not name {state.kind}"
    if state.kind in CARRIES:
        return (
            f"its kind is {state.kind}, whose errors add up; quantize.states: {{{state.kind}: {asked}}} "
            "narrows it anyway"
        )
    return asked or "quantize.states does not ask for it"


def states_to_see(model: Model, config: QuantizeOptions) -> list[str]:
    """The input ports of the states whose ranges calibration has to observe."""
    signature = model.signature
    if signature is None or config.states is None:
        return []
    return [s.input for s in signature.states if wanted_type(s, config) in ("int8", "int16")]


def narrow_states(model: Model, config: QuantizeOptions, seen: Mapping[str, Seen], target: OpSet) -> list[str]:
    """Gives the chosen states fewer bits. Returns a note on every state. Changes the model in place.

    Errors:
        PassError: the opset lacks a type, or the model has no state of a kind that the options name.
    """
    signature = model.signature
    if config.states is None:
        return []
    if signature is None:
        raise PassError("quantize.states: the model has no states", hint="put lift_state before quantize")
    kinds = {s.kind for s in signature.states}
    if isinstance(config.states, dict) and (absent := [k for k in config.states if k not in kinds]):
        raise PassError(
            f"quantize.states: the model has no state of kind '{absent[0]}'",
            hint=f"its kinds: {', '.join(sorted(kinds))}",
        )
    notes: list[str] = []
    states: list[StatePort] = []
    for state in signature.states:
        kind = wanted_type(state, config)
        narrowed: StatePort | str
        if kind == "float16":
            narrowed = as_half(model, state)
        elif kind in ("int8", "int16"):
            narrowed = as_integers(model, state, kind, seen, target)
        else:
            narrowed = kind
        if isinstance(narrowed, str):
            notes.append(f"the state {state.input} keeps its type: {narrowed}")
        else:
            notes.append(
                f"the state {state.input} is now {narrowed.init.dtype}: {narrowed.nbytes} bytes instead of "
                f"{state.nbytes}"
            )
        states.append(state if isinstance(narrowed, str) else narrowed)
    model.signature = replace(signature, states=tuple(states))
    return notes


def as_half(model: Model, state: StatePort) -> StatePort | str:
    half = np.float16
    with np.errstate(over="ignore"):
        init = state.init.astype(half)
    if np.any(np.isinf(init) & np.isfinite(state.init)):
        return "its first value is too large for float16"
    ports = Ports(model, state)
    ports.enter(half, "Cast", [], {"to": TensorProto.FLOAT})
    ports.leave(half, "Cast", [], {"to": TensorProto.FLOAT16})
    return replace(state, init=init)


def as_integers(model: Model, state: StatePort, kind: str, seen: Mapping[str, Seen], target: OpSet) -> StatePort | str:
    dtype = np.dtype(kind)
    domain = None
    if kind == "int16" and model.graph.opset < FIRST_INT16:
        if not target.has(*CONTRIB_LINEAR):
            raise PassError(
                f"quantize.states: int16 needs opset {FIRST_INT16}, but the model has opset {model.graph.opset}",
                hint=f"{other_target(*CONTRIB_LINEAR)}set states: float16, or export with a newer opset",
            )
        domain = "com.microsoft"
    if not np.isfinite(state.init).all():
        return "its first value is not finite"
    grid = integers_of(model, state, seen[state.input], dtype)
    ports = Ports(model, state)
    held = [ports.constant("scale", grid.scale), ports.constant("zero_point", grid.zero_point)]
    attrs = {} if grid.axis is None else {"axis": grid.axis}
    ports.enter(dtype, "DequantizeLinear", held, attrs, domain)
    ports.leave(dtype, "QuantizeLinear", held, attrs, domain)
    scale = StateScale(grid.axis, tuple(map(float, grid.scale.ravel())), tuple(map(int, grid.zero_point.ravel())))
    return replace(state, init=grid.integers(state.init), scale=scale)


def integers_of(model: Model, state: StatePort, seen: Seen, dtype: np.dtype[Any]) -> StateIntegers:
    """The scales and zero points for the observed range of a state, for each head or channel.

    The range is extended to include 0 and the first value of the state.
    """
    low = np.minimum(np.minimum(seen.low, state.init), 0).astype(np.float64)
    high = np.maximum(np.maximum(seen.high, state.init), 0).astype(np.float64)
    axis = scale_axis(model, state)
    others = None if axis is None else tuple(a for a in range(low.ndim) if a != axis)
    low, high = low.min(axis=others), high.max(axis=others)
    limits = np.iinfo(dtype)
    scale = np.where(high > low, (high - low) / (float(limits.max) - float(limits.min)), 1.0).astype(np.float32)
    zero = np.clip(np.round(limits.min - low / scale), limits.min, limits.max).astype(dtype)
    return StateIntegers(axis, np.asarray(scale), np.asarray(zero))


def scale_axis(model: Model, state: StatePort) -> int | None:
    """The axis of a state with one scale per index: heads, or else channels. None if the time axis is not known.

    All frames need the same scale. Frames move along the time axis from call to call, and with a scale per index they
    would be rounded again in each call.
    """
    rank, time = state.init.ndim, time_axis(model, state)
    if time is None or model.graph.opset < FIRST_PER_AXIS:
        return None
    free = [a for a in range(rank) if a != time and state.init.shape[a] > 1]
    if rank == HEADED_RANK and state.kind.startswith("attention"):
        free = [a for a in free if a in (1, 2)]
    return free[-1] if free else None


def time_axis(model: Model, state: StatePort) -> int | None:
    """The axis along which nodes append new frames to a cache. None if the axis is not known."""
    port = next(t for t in model.graph.inputs if t.name == state.input)
    found = {
        int(r.attrs["axis"]) % state.init.ndim if r.op == "Concat" else PAST_OPS.get(op_of(r)) for r in port.outputs
    }
    return found.pop() if len(found) == 1 else None


class Ports:
    """Adds conversions of type between the two ports of a state and the rest of the graph."""

    def __init__(self, model: Model, state: StatePort):
        self.graph, self.state = model.graph, state
        self.taken = names_in(model.graph)

    def constant(self, what: str, value: NDArray[Any]) -> Constant:
        return Constant(unused_name(f"{self.state.input}/{what}", self.taken), value)

    def enter(
        self, dtype: Any, op: str, more: list[Constant], attrs: dict[str, Any], domain: str | None = None
    ) -> None:
        old = next(t for t in self.graph.inputs if t.name == self.state.input)
        inner: Tensor = Variable(unused_name(f"{old.name}/float", self.taken), old.dtype, old.shape)
        for reader in list(old.outputs):
            reader.inputs = [inner if t is old else t for t in reader.inputs]
        old.dtype = dtype
        self.graph.nodes.insert(0, Node(op, f"{old.name}/widened", attrs, [old, *more], [inner], domain))

    def leave(
        self, dtype: Any, op: str, more: list[Constant], attrs: dict[str, Any], domain: str | None = None
    ) -> None:
        old = next(t for t in self.graph.outputs if t.name == self.state.output)
        inner = Variable(unused_name(f"{old.name}/float", self.taken), old.dtype, old.shape)
        for maker in list(old.inputs):
            maker.outputs = [inner if t is old else t for t in maker.outputs]
        for reader in list(old.outputs):
            reader.inputs = [inner if t is old else t for t in reader.inputs]
        old.dtype = dtype
        self.graph.nodes.append(Node(op, f"{old.name}/narrowed", attrs, [inner, *more], [old], domain))
