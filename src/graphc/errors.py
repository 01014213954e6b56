"""Every way in which graphc says no, and the exit status that goes with it."""

from __future__ import annotations


class GraphcError(Exception):
    """A refusal that a person can act on.

    Args:
        reason: what is wrong and why.
        node: the ONNX node concerned, as ``name (OpType)``.
        hint: what to do about it.
        where: a file, with line and column where known.
    """

    exit_code = 2

    def __init__(self, reason: str, *, node: str | None = None, hint: str | None = None, where: str | None = None):
        super().__init__(reason)
        self.reason = reason
        self.node = node
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        place = "".join(f"{part}: " for part in (self.where, self.node and f"node {self.node}") if part)
        return f"{place}{self.reason}" + (f"; {self.hint}" if self.hint else "")


class SpecError(GraphcError):
    """A spec that cannot be read or does not fit its model or its passes."""


class ModelError(GraphcError):
    """A model file that cannot be read, is not valid ONNX, or does not run in onnxruntime."""


class PassError(GraphcError):
    """A pass that failed, or left an invalid graph behind."""


class DefectError(PassError):
    """A pass of graphc's own that failed, or left an invalid graph behind."""

    exit_code = 4


class OutputError(GraphcError):
    """A result that could not be written."""


class InstallError(GraphcError):
    """A package that is needed and not installed."""


class InputError(GraphcError):
    """Arrays that do not fit a compiled model's ports."""


class StreamError(GraphcError):
    """A model that cannot be streamed as asked."""

    exit_code = 3


class TargetError(StreamError):
    """A runtime that does not take a model."""


class LengthError(StreamError):
    """What a node does follows the length of the whole stream, which may end at a length, as padding to a least one."""


class ChunkMisfitError(StreamError):
    """A chunk of which some tensor would get a fraction of a frame.

    Args:
        multiple: the chunk has to be a multiple of this many input frames.
    """

    def __init__(self, multiple: int, reason: str, **details: str | None):
        super().__init__(reason, **details)
        self.multiple = multiple


class TooShortError(StreamError):
    """The lengths evaluated are too short to show what the model does; a refusal where it takes no longer ones.

    Args:
        frames: the longest time axis that was seen.
    """

    def __init__(self, reason: str, frames: int, node: str | None, hint: str | None = None):
        super().__init__(reason, node=node, hint=hint)
        self.frames = frames


class AbsoluteError(StreamError):
    """A constant that changes with the frame's place meets a stream.

    Args:
        index: the input of the node that holds it.
        from_right: its time axis, counted from the last.
        time: the stream that it meets.
    """

    def __init__(self, index: int, from_right: int, time: object, reason: str, **details: str | None):
        super().__init__(reason, **details)
        self.index, self.from_right, self.time = index, from_right, time


class AbsoluteTableError(StreamError):
    """A constant score matrix does not shift along with the stream.

    Args:
        name: of the table.
        times: its two times.
    """

    def __init__(self, name: str, times: object, reason: str, **details: str | None):
        super().__init__(reason, **details)
        self.name, self.times = name, times


class ValidationError(GraphcError):
    """Numbers that do not hold: the compiled model differs from the offline one, or misses its budget."""

    exit_code = 1
