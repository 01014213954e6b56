"""Time limits for work. Work that reaches its limit ends with the results that it has by then."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

AGAIN_S = 0.5


class TimeOverError(BaseException):
    """A time limit was reached. ``except Exception`` does not catch it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises TimeOverError in the main thread when the body has run for ``seconds``. Other threads have no limit.

    The error is raised repeatedly until the body ends, because native code may swallow it. A timer that was set
    earlier, such as that of ``--max-minutes``, keeps running.

    Errors:
        TimeOverError: the body reached the time limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    if seconds <= 0:
        signal.setitimer(signal.ITIMER_REAL, left)
        raise TimeOverError
    if left and left <= seconds:
        signal.setitimer(signal.ITIMER_REAL, left)
        yield
        return
    signal.signal(signal.SIGALRM, time_over)
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - started)))


def time_over(number: int, frame: FrameType | None) -> NoReturn:
    raise TimeOverError


class Clock:
    """The time limit of a command. Each part of the command may use the time that earlier parts left."""

    def __init__(self, seconds: float):
        self.ends = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()

    def least(self, seconds: float) -> float:
        """The seconds left, but at least ``seconds``, for a part of the command that cannot be skipped."""
        return max(self.left, seconds)
