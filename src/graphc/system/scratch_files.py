"""Temporary files that go with the process that made them, also where it is killed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PREFIX = "graphc-weights-"


def new_scratch() -> Path:
    """An empty file for this process; what dead processes left is removed.

    Errors:
        OSError: the folder for temporary files cannot be written to.
    """
    remove_left_behind()
    handle, name = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-")
    os.close(handle)
    return Path(name).resolve()


def remove_scratch_of(process: int) -> None:
    """Removes the files of a process that has ended."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}{process}-*"):
        left.unlink(missing_ok=True)


def remove_left_behind() -> None:
    """Removes the files of this user's processes that have ended."""
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        number = left.name.removeprefix(PREFIX).split("-")[0]
        if number.isdecimal() and left.stat().st_uid == os.getuid() and not runs(int(number)):
            left.unlink(missing_ok=True)


def runs(process: int) -> bool:
    """Whether a process of this number runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
