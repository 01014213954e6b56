"""Handles interruptions of a command, and ignores them once it is too late to stop.

The process that the user started passes SIGINT on to its child, the command, as INTERRUPT. The child ignores SIGINT, so
it is interrupted only once, even if a terminal signals several processes of its group. INTERRUPT ends the child at
once, even in native code. KeyboardInterrupt, which libraries swallow or turn into other errors, is raised only while
the command holds something that it must clean up.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

PROGRESS_ENDED = "\r\x1b[2K\x1b[?25h"  # the line of the bar is erased, and the cursor shown (ECMA-48; DECTCEM)
INTERRUPT = signal.SIGUSR1
INTERRUPTIONS = (signal.SIGINT, INTERRUPT)


def hear_the_parent_only() -> None:
    """From now on, INTERRUPT ends this process and SIGINT is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(INTERRUPT, signal.SIG_DFL)


def ignore_interruptions() -> None:
    """Ignores interruptions from now on."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interruptions_raised() -> Iterator[None]:
    """Inside the body, INTERRUPT raises KeyboardInterrupt, as SIGINT does by default."""
    with handled({INTERRUPT: signal.default_int_handler}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignores interruptions inside the body."""
    with handled(dict.fromkeys(INTERRUPTIONS, signal.SIG_IGN)):
        yield


@contextmanager
def handled(by: Mapping[signal.Signals, Callable[[int, FrameType | None], Any] | int]) -> Iterator[None]:
    """Sets signal handlers inside the body. Does nothing outside the main thread, where Python allows no handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in by.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_interrupted() -> None:
    say("interrupted; no output is half written")


def say(message: str) -> None:
    """Prints a line on stderr, and erases a progress bar that may be on that line."""
    with suppress(OSError):
        os.write(2, f"{PROGRESS_ENDED if os.isatty(2) else ''}graphc: {message}\n".encode())
