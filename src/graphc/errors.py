"""The exceptions of graphc, each with the exit status of the command."""

from __future__ import annotations

from graphc_runtime.errors import GraphcError, StreamError


class SpecError(GraphcError):
    """A spec that cannot be read or does not fit its model or its passes."""


class PassError(GraphcError):
    """A pass that failed, or left an invalid graph behind."""


class DefectError(PassError):
    """A built-in pass that failed, or left an invalid graph behind."""

    exit_code = 4


class OutputError(GraphcError):
    """A result that could not be written."""


class LengthError(StreamError):
    """A node depends on the length of the whole stream, perhaps only if it is short, as for padding to a minimum."""


class RandomError(StreamError):
    """A model that draws random numbers, so that no two runs give the same outputs, over a window or not."""

    def __init__(self, node: str, of_body: bool = False):
        super().__init__(
            "its body draws random numbers" if of_body else "draws random numbers",
            node=node,
            hint="export the model in evaluation mode, or make the random numbers an input",
        )


class ChunkMisfitError(StreamError):
    """A chunk for which some tensor would get a fraction of a frame.

    Args:
        multiple: the chunk has to be a multiple of this many input frames.
    """

    def __init__(self, multiple: int, reason: str, **details: str | None):
        super().__init__(reason, **details)
        self.multiple = multiple


class TooShortError(StreamError):
    """The evaluated lengths are too short to show how the model behaves.

    If the model accepts no longer lengths, this error is the refusal.

    Args:
        frames: the longest time axis that was seen.
    """

    def __init__(self, reason: str, frames: int, node: str | None, hint: str | None = None):
        super().__init__(reason, node=node, hint=hint)
        self.frames = frames


class AbsoluteError(StreamError):
    """A node combines a stream with a constant that varies from frame to frame.

    Args:
        index: the index of the node's input that holds the constant.
        from_right: the time axis of the constant, counted from the last axis.
        time: the time of the stream.
    """

    def __init__(self, index: int, from_right: int, time: object, reason: str, **details: str | None):
        super().__init__(reason, **details)
        self.index, self.from_right, self.time = index, from_right, time


class AbsoluteTableError(StreamError):
    """The entries of a constant score matrix depend on more than the distance between query and key.

    Args:
        name: the name of the constant.
        times: the times of its two axes.
    """

    def __init__(self, name: str, times: object, reason: str, **details: str | None):
        super().__init__(reason, **details)
        self.name, self.times = name, times


class ValidationError(GraphcError):
    """The compiled model differs from the offline one, or misses its budget."""

    exit_code = 1
