"""How an interruption ends a command, and when it comes too late.

The process that the user started passes SIGINT on to the command, its child, as INTERRUPT, and the child hears no
SIGINT: so that it is interrupted once, however many processes of its group a terminal reaches. INTERRUPT ends it on the
spot, in native code too. KeyboardInterrupt, which libraries swallow or turn into errors of their own, is raised only
where something is held that must be put away.
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
    """From now on INTERRUPT ends this process, and SIGINT does not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(INTERRUPT, signal.SIG_DFL)


def ignore_interruptions() -> None:
    """Ignores interruptions from now on."""
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interruptions_raised() -> Iterator[None]:
    """INTERRUPT raises KeyboardInterrupt, as SIGINT does where nothing else is told."""
    with handled({INTERRUPT: signal.default_int_handler}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignores interruptions in the body."""
    with handled(dict.fromkeys(INTERRUPTIONS, signal.SIG_IGN)):
        yield


@contextmanager
def handled(by: Mapping[signal.Signals, Callable[[int, FrameType | None], Any] | int]) -> Iterator[None]:
    """Handlers of signals for a while; only the main thread may set any."""
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
    """One line on stderr, in the place of a progress bar where one may stand there."""
    with suppress(OSError):
        os.write(2, f"{PROGRESS_ENDED if os.isatty(2) else ''}graphc: {message}\n".encode())
