"""The manifest: all that a client needs to know of a compiled model. ``make_manifest`` derives it."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError

from graphc.contract.signature import StateKind
from graphc.errors import ModelError

FORMAT = "graphc.manifest/1"
METADATA_KEY = "graphc.manifest"
Frames = Annotated[int, Field(ge=0)] | None
BatchAxis = Annotated[int, Field(ge=0)] | None
Fill = float | Literal["inf", "-inf", "nan"]


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class LengthStep(Part):
    """floor((mul * T + add) / div), never below 0."""

    mul: int
    add: int
    div: Annotated[int, Field(ge=1)]


class PortEntry(Part):
    name: str
    axis: Annotated[int, Field(ge=0)] | None
    frames: Frames
    shape: list[int | str | None]
    dtype: str
    rate: tuple[int, int] | None = Field(default=None, strict=False)
    batch_axis: BatchAxis = None

    @property
    def is_step(self) -> bool:
        """Whether each call takes or gives one frame, in the port's own shape."""
        return self.axis is None and self.frames == 1

    @property
    def is_stream(self) -> bool:
        return self.axis is not None or self.is_step

    @property
    def along(self) -> int | None:
        """The axis of its frames in a client's arrays: those of a step port are stacked along a new first axis."""
        return 0 if self.is_step else self.axis

    @property
    def pace(self) -> Fraction:
        """Frames of this port for each frame of the first stream input."""
        return Fraction(*(self.rate or (1, 1)))


class InputEntry(PortEntry):
    pass


class OutputEntry(PortEntry):
    delay: Annotated[int, Field(ge=0, le=1_000_000)]
    length: list[LengthStep] | None = None

    def length_of(self, frames: int) -> int:
        """Offline frames of this output for so many input frames."""
        for step in self.length or []:
            frames = max(0, (step.mul * frames + step.add) // step.div)
        return frames


class FillInit(Part):
    fill: Fill


class FileInit(Part):
    file: str
    key: str


class Scale(Part):
    """What the integers of a state stand for: scale * (value - zero_point), by the place on ``axis``."""

    axis: Annotated[int, Field(ge=0)] | None
    scale: list[float]
    zero_point: list[int]


class PackedState(Part):
    """One of several states in a port: what its own ports were named, and its entries on the pack's axis."""

    input: str
    output: str
    node: str = ""
    size: Annotated[int, Field(ge=0)]
    scale: Scale | None = None


class Pack(Part):
    axis: Annotated[int, Field(ge=0)]
    parts: list[PackedState]


class StateEntry(Part):
    input: str
    output: str
    shape: list[Annotated[int, Field(ge=0)]]
    dtype: str
    init: Literal["zeros"] | FillInit | FileInit
    kind: StateKind
    node: str = ""
    batch_axis: BatchAxis = None
    pack: Pack | None = None
    scale: Scale | None = None


class NativePortEntry(Part):
    """A port as a target's runtime has it; docs/targets/index.md says how a value becomes a native one."""

    name: str | None
    index: Annotated[int, Field(ge=0)] | None
    dtype: str
    shape: list[Annotated[int, Field(ge=0)]]
    permutation: list[Annotated[int, Field(ge=0)]] | None = None


class TargetEntry(Part):
    """The model as it was converted for a runtime, and what came of running it there."""

    file: str
    runtime: str
    ran: bool
    snr_db: float | None = None
    max_abs: float | None = None
    stateful: bool = False
    ports: dict[str, NativePortEntry] = Field(default={})


class Manifest(Part):
    """The ports of a compiled model (docs/manifest.md says what each field means)."""

    format: Literal["graphc.manifest/1"]
    chunk: Annotated[int, Field(ge=1)] | None
    chunk_multiple: Annotated[int, Field(ge=1)]
    max_frames: Frames
    inputs: list[InputEntry]
    outputs: list[OutputEntry]
    states: list[StateEntry]
    valid_frames: str | None
    frame_ms: float | int | None = None
    window: int | None = None
    min_frames: int = 1
    lengths: Literal["proved", "tried"] = "proved"
    beyond: Literal["continues", "stops"] = "stops"
    reset_s: float | int | None = None
    streams: Annotated[int, Field(ge=1, le=4096)] | None = None
    init_sha256: str | None = None
    renamed: dict[str, str] = Field(default={})
    dropped: dict[str, str] = Field(default={})
    targets: dict[str, TargetEntry] = Field(default={})

    @property
    def longest(self) -> int | None:
        """The longest stream that a client may feed; None for any."""
        return None if self.beyond == "continues" else self.max_frames

    def of_one(self) -> Manifest:
        """The manifest as one of the streams of a batch sees it."""

        def one(entry: Any) -> Any:
            if entry.batch_axis is None or self.streams is None:
                return entry
            shape = [
                d // self.streams if a == entry.batch_axis and isinstance(d, int) else d
                for a, d in enumerate(entry.shape)
            ]
            return entry.model_copy(update={"shape": shape})

        parts = {"inputs": [one(i) for i in self.inputs], "outputs": [one(o) for o in self.outputs]}
        return self.model_copy(update={**parts, "states": [one(s) for s in self.states]})


def to_json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """A manifest from JSON.

    Errors:
        ModelError: not JSON, another format, or a field that lies about its type.
    """
    try:
        return Manifest.model_validate_json(text)
    except PydanticError as err:
        first = err.errors(include_url=False)[0]
        place = ".".join(str(k) for k in first["loc"])
        raise ModelError(f"not a manifest of graphc: {place}: {first['msg']}", where=where) from None
