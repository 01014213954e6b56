"""Temporary files that are removed when the process that made them has ended, even if it was killed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PREFIX = "graphc-weights-"


def new_scratch() -> Path:
    """Creates an empty temporary file for this process. Also removes the files of processes that have ended.

    Errors:
        OSError: the folder for temporary files cannot be written to.
    """
    remove_left_behind()
    handle, name = tempfile.mkstemp(prefix=f"{PREFIX}{os.getpid()}-")
    os.close(handle)
    return Path(name).resolve()


def remove_scratch_of(process: int) -> None:
    """Removes the temporary files of a process that has ended."""
    for left in left_in_folders(f"{PREFIX}{process}-*"):
        left.unlink(missing_ok=True)


def remove_left_behind() -> None:
    """Removes the temporary files of this user's processes that have ended."""
    for left in left_in_folders(f"{PREFIX}*-*"):
        number = left.name.removeprefix(PREFIX).split("-")[0]
        if number.isdecimal() and left.stat().st_uid == os.getuid() and not runs(int(number)):
            left.unlink(missing_ok=True)


def left_in_folders(pattern: str) -> list[Path]:
    """The matching files in the folders for temporary files. tempfile.gettempdir() would write a probe file."""
    named = [os.environ[name] for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)]
    return [path for folder in dict.fromkeys([*named, "/tmp", "/var/tmp"]) for path in Path(folder).glob(pattern)]


def runs(process: int) -> bool:
    """Whether a process with this number is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
