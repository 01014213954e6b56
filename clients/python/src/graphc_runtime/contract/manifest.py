"""The manifest: all that a client needs to know about a compiled model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Literal

from graphc_runtime.contract.checked_data import Bounds, DataError, checked
from graphc_runtime.errors import ModelError

FORMAT = "graphc.manifest/1"
METADATA_KEY = "graphc.manifest"
MOST = 2**40
Count = Annotated[int, Bounds(0, MOST)]
Positive = Annotated[int, Bounds(1, MOST)]
Number = int | float
Fill = float | Literal["inf", "-inf", "nan"]
StateKind = Literal[
    "rnn_hidden",
    "rnn_cell",
    "scan_carry",
    "conv_context",
    "pool_context",
    "delay_line",
    "overlap_add",
    "attention_key",
    "attention_value",
    "attention_context",
    "running_sum",
    "window",
    "clock",
    "given",
]


@dataclass(frozen=True)
class LengthStep:
    """A step that computes a length from a length T: max(0, floor((mul * T + add) / div))."""

    mul: Annotated[int, Bounds(-MOST, MOST)]
    add: Annotated[int, Bounds(-MOST, MOST)]
    div: Positive


@dataclass(frozen=True)
class PortEntry:
    """A port of a stream, or a static port with one value for the whole stream.

    Args:
        axis: the axis of the frames; None for a static port, or a port with one frame per call and no time axis.
        frames: the number of frames per call; None if calls may have any size.
        rate: the frames of this port for each frame of the first stream input, as numerator and denominator.
    """

    name: str
    axis: Count | None
    frames: Count | None
    shape: list[int | str | None]
    dtype: str
    rate: tuple[Positive, Positive] | None = None
    batch_axis: Count | None = None

    @cached_property
    def is_step(self) -> bool:
        """Whether each call takes or gives one frame, in the port's own shape."""
        return self.axis is None and self.frames == 1

    @cached_property
    def is_stream(self) -> bool:
        return self.axis is not None or self.is_step

    @cached_property
    def along(self) -> int | None:
        """The axis of the frames in a client's arrays. Frames of a step port are stacked along a new first axis."""
        return 0 if self.is_step else self.axis

    @cached_property
    def pace(self) -> Fraction:
        """The number of frames of this port for each frame of the first stream input."""
        return Fraction(*(self.rate or (1, 1)))


@dataclass(frozen=True)
class InputEntry(PortEntry):
    """A stream input that the client feeds, or a static input whose value it sets once."""


@dataclass(frozen=True)
class OutputEntry(PortEntry):
    """An output of the model.

    Args:
        delay: the number of frames that this output gives before frame 0.
        length: the steps that compute the number of frames of the offline output from the number of input frames.
    """

    delay: Annotated[int, Bounds(0, 1_000_000)] = 0
    length: list[LengthStep] | None = None

    def length_of(self, frames: int) -> int:
        """The number of frames that this output of the offline model has for ``frames`` input frames."""
        for step in self.length or []:
            frames = max(0, (step.mul * frames + step.add) // step.div)
        return frames


@dataclass(frozen=True)
class FillInit:
    fill: Fill


@dataclass(frozen=True)
class FileInit:
    file: str
    key: str


@dataclass(frozen=True)
class Scale:
    """How integers of a state become real values: scale * (integer - zero_point), with one scale per index on ``axis``.

    If ``axis`` is None, there is one scale for the whole state.
    """

    axis: Count | None
    scale: list[float]
    zero_point: list[int]


@dataclass(frozen=True)
class PackedState:
    """One of several states packed into one port: the ports that it had before, and its size on the pack's axis."""

    input: str
    output: str
    size: Count
    node: str = ""
    scale: Scale | None = None


@dataclass(frozen=True)
class Pack:
    axis: Count
    parts: list[PackedState]


@dataclass(frozen=True)
class StateEntry:
    """A state: the pair of ports that the client connects from call to call, and the value for the first call."""

    input: str
    output: str
    shape: list[Count]
    dtype: str
    init: Literal["zeros"] | FillInit | FileInit
    kind: StateKind
    node: str = ""
    batch_axis: Count | None = None
    pack: Pack | None = None
    scale: Scale | None = None


@dataclass(frozen=True)
class NativePortEntry:
    """A port as a target's runtime has it. docs/targets/index.md says how values of the ONNX port are converted."""

    name: str | None
    index: Count | None
    dtype: str
    shape: list[Count]
    permutation: list[Count] | None = None


@dataclass(frozen=True)
class TargetEntry:
    """The model converted for a runtime, and the result of running it there."""

    file: str
    runtime: str
    ran: bool
    snr_db: Number | None = None
    max_abs: Number | None = None
    stateful: bool = False
    ports: dict[str, NativePortEntry] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """The ports of a compiled model (docs/manifest.md says what each field means)."""

    format: Literal["graphc.manifest/1"]
    chunk: Positive | None
    chunk_multiple: Positive
    max_frames: Count | None
    inputs: list[InputEntry]
    outputs: list[OutputEntry]
    states: list[StateEntry]
    valid_frames: str | None
    frame_ms: Number | None = None
    window: int | None = None
    min_frames: int = 1
    lengths: Literal["proved", "tried"] = "proved"
    beyond: Literal["continues", "stops"] = "stops"
    reset_s: Number | None = None
    streams: Annotated[int, Bounds(1, 4096)] | None = None
    init_sha256: str | None = None
    renamed: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    targets: dict[str, TargetEntry] = field(default_factory=dict)

    @property
    def longest(self) -> int | None:
        """The longest stream that a client may feed, in frames; None for any length."""
        return None if self.beyond == "continues" else self.max_frames

    def of_one(self) -> Manifest:
        """The manifest for a single stream of a batch: the batch axes have the size that one stream has."""

        def one(entry: Any) -> Any:
            if entry.batch_axis is None or self.streams is None:
                return entry
            shape = [
                d // self.streams if a == entry.batch_axis and isinstance(d, int) else d
                for a, d in enumerate(entry.shape)
            ]
            return replace(entry, shape=shape)

        return replace(
            self,
            inputs=[one(i) for i in self.inputs],
            outputs=[one(o) for o in self.outputs],
            states=[one(s) for s in self.states],
        )


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """Parses the JSON text of a manifest.

    Args:
        where: the file that the text comes from, for messages.

    Errors:
        ModelError: the text is not JSON, has another format, or has a field of the wrong type.
    """
    try:
        return checked(Manifest, json.loads(text, parse_constant=refused))
    except (DataError, ValueError, RecursionError) as err:
        raise ModelError(f"not a manifest of graphc: {err}", where=where) from None


def refused(word: str) -> None:
    raise DataError(f"{word} is not a number in JSON")
