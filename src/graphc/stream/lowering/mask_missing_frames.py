"""Masks the frames of a call that lie before the first frame or after the last frame of the stream.

A rule uses such a mask if its op reads these frames, and if their values would not be what the op needs
(``time/window.py``, ``attention/attend.py``).
"""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.clock import ClockWriter


class FrameMasks(ClockWriter):
    """Masks the frames of a call that do not exist: by the clock at the start, and by the valid frames at the end."""

    def missing(self, stream: Stream, before: bool, after: bool, extra: int = 0) -> Tensor:
        """A mask of the frames that do not exist, in the chunk and ``extra`` frames after it: bool [c + extra, 1, ...].

        The first axis of the mask is aligned with the time axis of the stream.

        Args:
            before: whether to include frames before frame 0.
            after: whether to include frames past the end.
        """
        shape = [self.frames(stream) + extra] + [1] * (stream.from_right - 1)
        steps = np.arange(shape[0], dtype=np.int64).reshape(shape)

        def make() -> Tensor:
            index = self.one("Add", self.first_index(stream), self.constant(steps, "frame_steps"), hint="frame_index")
            found: list[Tensor] = []
            if before:
                found.append(self.one("Less", index, self.constant([0]), hint="not_yet"))
            if after:
                last = self.one("Sub", self.length_now(stream.length), self.constant([1]), hint="last_frame")
                found.append(self.one("Less", last, index, hint="no_more"))
            return found[0] if len(found) == 1 else self.one("Or", *found, hint="missing")

        key = ("missing", stream.rate, stream.delay, stream.length if after else None, tuple(shape), before)
        return self.remember(key, make)

    def masked(self, x: Tensor, stream: Stream, value: float | Array, before: bool, after: bool) -> Tensor:
        """The chunk with ``value`` in frames that do not exist.

        Args:
            before: whether to replace frames before frame 0.
            after: whether to replace frames past the end.
        """
        if not (before or after):
            return x
        filler = np.asarray(value).astype(stream.dtype)
        key = ("masked", x.name, before, after, filler.tobytes(), stream.delay)
        if key not in self.memo:
            missing, fill = self.missing(stream, before, after), self.constant(filler, "filler")
            self.memo[key] = self.choice(missing, fill, x, stream.dtype, "masked")
        found: Tensor = self.memo[key]
        return found

    def exists(self, stream: Stream, after: bool) -> Tensor:
        """1 for frames that exist and 0 for others: [c, 1, ...], in the dtype of the stream.

        Args:
            after: whether frames past the end are 0 too. The end is known in time only if the stream is delayed by
                ``Length.lag``.
        """
        one, zero = (self.constant(np.asarray(v, dtype=stream.dtype)) for v in (1, 0))
        missing = self.missing(stream, True, after)
        return self.remember(("exists", missing.name), lambda: self.one("Where", missing, zero, one, hint="exists"))
