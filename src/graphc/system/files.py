"""Finds files, and writes files whole or not at all."""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from graphc.errors import OutputError
from graphc.system.signals import interruptions_raised, uninterrupted

Buffer = bytes | memoryview
MOVER = "import json, os, sys\nfor old, new in json.load(sys.stdin): os.replace(old, new)\n"


@dataclass(frozen=True)
class Pieces:
    """The content of a file that memory need not hold: its parts, one after the other."""

    parts: tuple[Buffer, ...]

    def __len__(self) -> int:
        return sum(memoryview(part).nbytes for part in self.parts)


Content = bytes | Pieces


def parts_of(content: Content) -> tuple[Buffer, ...]:
    return content.parts if isinstance(content, Pieces) else (content,)


def read(content: Content) -> bytes:
    """All of a content, in memory."""
    return b"".join(parts_of(content))


def digest(content: Content) -> str:
    """The SHA-256 of a content, as hexadecimal digits."""
    found = hashlib.sha256()
    for part in parts_of(content):
        found.update(part)
    return found.hexdigest()


def files_in(path: Path) -> list[Path]:
    """The regular files of a folder and all folders in it, in order; for a file, that file alone."""
    return sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())


@interruptions_raised()
def write_all(files: Mapping[Path, Content]) -> None:
    """Writes every file beside its place first, and only then puts all of them there, in the order given.

    Other writers into the same folders wait meanwhile. A process that is killed leaves the old files or the new ones,
    never some of each: another one moves them, which signals to this one or to its group do not reach.

    Errors:
        OutputError: a folder or file that cannot be written, a full disk; nothing is changed then.
    """
    waiting: dict[Path, Path] = {}
    absent = [p for path in files for p in path.parents if not p.exists()]
    try:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
        with locked({p.parent for p in files}) as locks:
            remove_left_over(files)
            try:
                for path, content in files.items():
                    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
                    waiting[temporary] = path
                    with temporary.open("xb") as file:
                        for part in parts_of(content):
                            file.write(part)
                        file.flush()
                        os.fsync(file.fileno())
                for path in files:
                    if path.is_dir():
                        raise OutputError("an output would replace a folder", where=str(path))
                move(waiting, locks)
                for lock in locks:
                    os.fsync(lock)
            finally:
                for temporary in waiting:
                    temporary.unlink(missing_ok=True)
    except OSError as err:
        place = waiting.get(Path(err.filename), err.filename) if err.filename else next(iter(files))
        raise OutputError(f"the outputs cannot be written: {err.strerror or err}", where=str(place)) from err
    finally:
        for folder in absent:
            with suppress(OSError):
                folder.rmdir()


@contextmanager
def locked(folders: Iterable[Path]) -> Iterator[list[int]]:
    """Holds folders for one writer; gives their descriptors. Where a file system has no locks, all may write."""
    held: list[int] = []
    try:
        for folder in sorted(folders):
            held.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
            try:
                fcntl.flock(held[-1], fcntl.LOCK_EX)
            except OSError:
                continue
        yield held
    finally:
        for lock in held:
            os.close(lock)


def remove_left_over(files: Iterable[Path]) -> None:
    """Removes what a writer of these files left that was killed; it held the lock, so that none writes it now."""
    for path in files:
        for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
            left.unlink(missing_ok=True)


def move(moves: Mapping[Path, Path], locks: list[int]) -> None:
    """Renames files, one after the other, in a process of its own that keeps the locks until all are done.

    Errors:
        OSError: a file could not be put in its place.
    """
    pairs = json.dumps([(str(old.absolute()), str(new.absolute())) for old, new in moves.items()])
    with uninterrupted():
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", MOVER],
            input=pairs,
            capture_output=True,
            text=True,
            pass_fds=locks,
            start_new_session=True,
            check=False,
        )
    if done.returncode:
        raise OSError(f"the files could not be put in their places: {done.stderr.strip().splitlines()[-1:]}")
