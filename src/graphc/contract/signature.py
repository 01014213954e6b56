"""The stream signature of a model: its ports, and how many frames one call takes or returns at each port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from typing import Any

from numpy.typing import NDArray

from graphc.contract.length import Length
from graphc_runtime.contract.manifest import StateKind


@dataclass(frozen=True)
class StateScale:
    """The quantization of a state of integers. The real values are scale * (value - zero_point).

    There is one scale and one zero point for each index on ``axis``, or a single pair if ``axis`` is None.
    """

    axis: int | None
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]


@dataclass(frozen=True)
class StatePart:
    """One of the states in a packed port, with the names of its own ports. ``size`` is its size on the pack's axis."""

    input: str
    output: str
    node: str
    size: int
    scale: StateScale | None = None


@dataclass(frozen=True)
class StatePack:
    """Several states in one port, side by side along ``axis`` in the order of ``parts``."""

    axis: int
    parts: tuple[StatePart, ...]

    def slices(self) -> list[tuple[slice, ...]]:
        """For each part, the slices that select it from the port."""
        ends = list(accumulate(p.size for p in self.parts))
        whole = (slice(None),) * self.axis
        return [(*whole, slice(end - p.size, end)) for p, end in zip(self.parts, ends, strict=True)]


@dataclass(frozen=True)
class StatePort:
    """A state as a pair of input and output. ``init`` is its first value, in the port's shape and dtype.

    ``pack`` describes a port that holds several states. ``scale`` is the quantization of a state of integers.
    """

    input: str
    output: str
    init: NDArray[Any]
    kind: StateKind
    node: str
    pack: StatePack | None = None
    scale: StateScale | None = None

    @property
    def nbytes(self) -> int:
        return int(self.init.nbytes)

    def as_dict(self) -> dict[str, Any]:
        """The state in the form of reports and inspections."""
        return {
            "name": self.input,
            "kind": self.kind,
            "shape": list(self.init.shape),
            "dtype": str(self.init.dtype),
            "bytes": self.nbytes,
            "node": self.node,
        }


@dataclass(frozen=True)
class StreamInput:
    """An input. ``axis`` is None if it has one value for the whole stream or, with ``step``, one frame per call."""

    name: str
    axis: int | None = None
    rate: Fraction = Fraction(1)
    step: bool = False


@dataclass(frozen=True)
class StreamOutput:
    """An output. ``axis`` is None if each call returns one value, which with ``step`` is one frame of the stream."""

    name: str
    axis: int | None = None
    rate: Fraction = Fraction(1)
    delay: int = 0
    length: Length = field(default_factory=Length)
    step: bool = False


def port_changes(renamed: Mapping[str, str], dropped: Mapping[str, str]) -> list[str]:
    """A line for each port of the offline model that was renamed or removed."""
    states = [f"'{name}' is a state now: '{port}'" for name, port in renamed.items()]
    return [*states, *(f"'{name}' is gone: {why}" for name, why in dropped.items())]


@dataclass(frozen=True)
class Signature:
    """Everything about a streaming model that its graph does not contain.

    ``chunk`` is None if a call takes any multiple of ``chunk_multiple``.

    ``continues`` is whether streams may be longer than ``max_frames``. The offline model cannot run on such streams,
    but the streaming model does not need the part of it that ends there. ``tried`` names the tensors with a property
    that is not proved for every length up to ``max_frames``.

    ``shapes`` holds the shapes of ports whose dims stay symbolic in the graph: the graph may have branches that only
    fit other shapes, and onnxruntime infers types in both branches of an If.

    ``renamed`` maps outputs of the offline model to the states that they became. ``dropped`` maps ports of the offline
    model that were removed to the reasons.

    ``reset_s`` is the real time after which a reset of all states is recommended.

    ``streams`` is how many streams a call takes, if each has its own clock. ``batch_axes`` then gives, for
    every port, the axis along which the streams are concatenated.
    """

    chunk: int | None
    chunk_multiple: int
    inputs: tuple[StreamInput, ...]
    outputs: tuple[StreamOutput, ...]
    states: tuple[StatePort, ...]
    valid_frames: str | None = None
    max_frames: int | None = None
    min_frames: int = 1
    continues: bool = True
    tried: tuple[str, ...] = ()
    window: int | None = None
    frame_ms: float | None = None
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    streams: int | None = None
    reset_s: float | None = None
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)

    @property
    def ports(self) -> tuple[Any, ...]:
        """The parts that two signatures of one model must have in common."""
        states = tuple((s.input, s.init.shape, s.init.tobytes()) for s in self.states)
        return self.outputs, states, self.valid_frames

    @property
    def smallest(self) -> int:
        """The number of frames of the shortest call."""
        return self.chunk or self.chunk_multiple

    @property
    def state_bytes(self) -> int:
        return sum(state.nbytes for state in self.states)

    @property
    def delay_frames(self) -> Fraction:
        """The largest delay of an output, in input frames."""
        return max((o.delay / o.rate for o in self.outputs if o.axis is not None), default=Fraction(0))
