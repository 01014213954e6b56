"""Finds files, and writes a set of files completely or not at all."""

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
    """The content of a file as ordered parts, which need not all be in memory at once."""

    parts: tuple[Buffer, ...]

    def __len__(self) -> int:
        return sum(memoryview(part).nbytes for part in self.parts)


Content = bytes | Pieces


def parts_of(content: Content) -> tuple[Buffer, ...]:
    return content.parts if isinstance(content, Pieces) else (content,)


def read(content: Content) -> bytes:
    """The whole content as one bytes object."""
    return b"".join(parts_of(content))


def digest(content: Content) -> str:
    """The SHA-256 of a content, as hexadecimal digits."""
    found = hashlib.sha256()
    for part in parts_of(content):
        found.update(part)
    return found.hexdigest()


def files_in(path: Path) -> list[Path]:
    """The regular files in a folder and in its subfolders, sorted. For a file, only that file."""
    return sorted(p for p in (path.rglob("*") if path.is_dir() else [path]) if p.is_file())


@interruptions_raised()
def write_all(files: Mapping[Path, Content]) -> None:
    """Writes every file under a temporary name in its folder, and then renames all of them in the order given.

    Meanwhile, other writers into the same folders wait. If this process is killed, either all files are old or all are
    new: a separate process renames the files, and signals to this process or its group do not reach it.

    Errors:
        OutputError: a folder or file cannot be written, or the disk is full. Nothing has changed then.
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
    """Locks folders for one writer, and yields their descriptors. On a file system without locks, nothing is locked."""
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
    """Removes temporary files that a killed writer left. The caller holds the lock, so none of them is in use."""
    for path in files:
        for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
            left.unlink(missing_ok=True)


def move(moves: Mapping[Path, Path], locks: list[int]) -> None:
    """Renames files one by one in a separate process, which holds the locks until all are renamed.

    Errors:
        OSError: a file could not be renamed.
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
