"""A stream that an audio callback feeds, while a worker thread makes the calls."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.errors import GraphcError, InputError, ModelError
from graphc_runtime.session import StreamSession
from graphc_runtime.stream_buffer import Arrays, cut

Array = NDArray[Any]
Behind = Literal["wait", "drop", "stop"]


class Live:
    """Runs a session with one stream input in its own thread.

    Args:
        session: the session that runs the frames.
        heard: a function that the worker thread calls with the new outputs.
        most: the largest number of frames that may wait.
        behind: what to do if more frames wait: run all of them (at once, if calls may have any size), drop the oldest,
            or stop.

    Attributes:
        dropped: the number of frames that were dropped.
        error: why the worker has stopped; None while it runs.

    Example:
        live = Live(session, show, most=32_000)
        sounddevice.InputStream(callback=lambda samples, *_: live.feed(samples.T[None].copy())).start()
        …
        live.finish()
    """

    def __init__(self, session: StreamSession, heard: Callable[[Arrays], object], most: int, behind: Behind = "drop"):
        if len(session.streams) != 1:
            raise InputError(f"a live stream has one input, and the model has {len(session.streams)}")
        (self.name,) = session.streams
        self.session, self.heard, self.most, self.policy = session, heard, most, behind
        self.axis = session.streams[self.name].along or 0
        self.waiting: deque[Array] = deque()
        self.change = threading.Condition()
        self.frames = self.dropped = 0
        self.finished = False
        self.error: GraphcError | None = None
        self.worker = threading.Thread(target=self.work, name="graphc", daemon=True)
        self.worker.start()

    @property
    def behind(self) -> int:
        """The number of frames that wait for the worker."""
        return self.frames

    def feed(self, frames: Array) -> None:
        """Queues frames, with the axes of the offline model's input. The array is not copied."""
        with self.change:
            self.waiting.append(frames)
            self.frames += frames.shape[self.axis]
            self.change.notify()

    def finish(self) -> None:
        """Ends the stream: waits until the worker has passed the tail to ``heard``.

        Errors:
            GraphcError: the worker has stopped.
        """
        with self.change:
            self.finished = True
            self.change.notify()
        self.worker.join()
        if self.error is not None:
            raise self.error

    def work(self) -> None:
        try:
            while (frames := self.next_frames()) is not None:
                self.heard(self.session.push(frames))
            self.heard(self.session.flush())
        except GraphcError as err:
            self.error = err

    def next_frames(self) -> Array | None:
        """Waits for frames and returns all that wait; None at the end of the stream.

        Errors:
            ModelError: the device does not keep up, and ``behind`` is "stop".
        """
        with self.change:
            self.change.wait_for(lambda: self.waiting or self.finished)
            if not self.waiting:
                return None
            parts, over = list(self.waiting), 0 if self.finished else self.frames - self.most
            self.waiting.clear()
            seconds = self.frames * (self.session.manifest.frame_ms or 0) / 1000
            self.frames = 0
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=self.axis)
        if over > 0 and self.policy == "stop":
            raise ModelError(
                f"the device does not keep up: {over + self.most} frames waited" + f", {seconds:.2f} s" * (seconds > 0),
                hint="take a larger chunk, a faster target, or behind='drop'",
            )
        if over > 0 and self.policy == "drop":
            self.dropped += over
            _, whole = cut(whole, over, self.axis)
        return whole
