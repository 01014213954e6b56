"""A folder of the results of slow passes, keyed by everything that they depend on. Its size is bounded.

The folder is safe to delete at any time.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from graphc.contract.signature import Signature
from graphc.ir.weights.weight_files import (
    ALIGNED,
    array_of,
    is_kept,
    kept_tensor,
    number_of,
    place_of,
    placed,
)
from graphc.pass_cache.signature_codec import decoded, encoded

FORMAT = 1
SLOW_S = 5.0
DEFAULT_GB = 20.0
ENTRY, GRAPH, ARRAYS, WEIGHTS = "entry.json", "graph.onnx", "arrays.npz", "weights"
EXPORT = "export/"
PIECE = 2**24


@dataclass(frozen=True)
class Made:
    """The result of a pass."""

    proto: onnx.ModelProto
    signature: Signature | None
    notes: list[str]
    counts: dict[str, int]
    warnings: list[str]


@dataclass
class PassCache:
    """The cache as one compilation uses it.

    Args:
        folder: the folder of all entries.
        most: the largest number of bytes of all entries together.
        content: what all passes depend on besides their options: the export, the stream section, versions.
        export: the folder of the exported model. Its data files are not stored again.
        reads: whether entries are used; if not, they are only written.
    """

    folder: Path
    most: int
    content: str
    export: Path
    reads: bool = True
    held: list[BinaryIO] = field(default_factory=list)

    def key(self, passes: list[tuple[str, str]]) -> str:
        """The name of an entry.

        Args:
            passes: names and options of the passes up to and including the one that made the entry.
        """
        return sha256(json.dumps([FORMAT, self.content, passes]).encode()).hexdigest()[:32]

    def load(self, key: str) -> Made | None:
        """The result of a pass in an earlier compilation. None if there is no valid entry."""
        place = self.folder / key
        if not self.reads or not (place / ENTRY).is_file():
            return None
        try:
            lock = (place / ENTRY).open("rb")
            self.held.append(lock)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            entry = json.loads(lock.read())
            with (place / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as held:
                arrays = [held[f"a{i}"] for i in range(len(held.files))]
            proto = onnx.load_model(place / GRAPH, load_external_data=False)
            for tensor in proto.graph.initializer:
                self.take_back(tensor, place)
            os.utime(place / ENTRY)
            signature = decoded(entry["signature"], arrays)
            return Made(proto, signature, entry["notes"], entry["counts"], entry["warnings"])
        except (OSError, ValueError, KeyError, TypeError, IndexError, DecodeError, BadZipFile):
            return None

    def close(self) -> None:
        """Releases the entries that were used, so that others may remove them."""
        while self.held:
            self.held.pop().close()

    def take_back(self, tensor: onnx.TensorProto, place: Path) -> None:
        """Points a stored tensor at its values.

        Errors:
            ValueError: the values are missing, or outside the export and the entry.
        """
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            return
        told_ = {e.key: e.value for e in tensor.external_data}
        name, offset, length = told_["location"], int(told_["offset"]), int(told_["length"])
        path = self.export / name.removeprefix(EXPORT) if name.startswith(EXPORT) else place / WEIGHTS
        path = path.resolve(strict=True)
        if not path.is_relative_to(self.export.resolve()) and path.parent != place.resolve():
            raise ValueError("weights elsewhere")
        if offset < 0 or offset + length > path.stat().st_size:
            raise ValueError("weights are missing")
        kept_tensor(tensor, number_of(path), offset, length)

    def store(self, key: str, made: Made) -> None:
        """Stores the result of a pass if there is room for it. A full disk is not an error."""
        arrays: list[np.ndarray] = []
        try:
            entry = {"signature": encoded(made.signature, arrays), "notes": made.notes, "counts": made.counts}
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
        except (TypeError, OSError):
            return
        try:
            proto = onnx.ModelProto()
            proto.CopyFrom(made.proto)
            with (temporary / WEIGHTS).open("wb") as file:
                for tensor in proto.graph.initializer:
                    if is_kept(tensor):
                        self.put_aside(tensor, file)
            (temporary / GRAPH).write_bytes(proto.SerializeToString())
            np.savez(temporary / ARRAYS, allow_pickle=False, **{f"a{i}": a for i, a in enumerate(arrays)})
            (temporary / ENTRY).write_text(json.dumps({**entry, "warnings": made.warnings}))
            if size_of_folder(temporary) <= self.most:
                self.make_room(size_of_folder(temporary))
                with suppress(OSError):
                    temporary.rename(self.folder / key)
        except (OSError, ValueError):
            pass
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def put_aside(self, tensor: onnx.TensorProto, file: BinaryIO) -> None:
        """Writes a weight into the entry, or only a reference if the weight is in the exported model's files."""
        path, offset, length = place_of(tensor)
        if path.is_relative_to(self.export.resolve()):
            name = f"{EXPORT}{path.relative_to(self.export.resolve())}"
        else:
            file.write(b"\0" * (-file.tell() % ALIGNED))
            name, start = WEIGHTS, file.tell()
            content = array_of(tensor).reshape(-1).view(np.uint8)
            for begin in range(0, length, PIECE):
                file.write(content[begin : begin + PIECE].data)
            offset = start
        placed(tensor, name, offset, length)
        tensor.data_location = onnx.TensorProto.EXTERNAL

    def make_room(self, needed: int) -> None:
        """Removes the least recently used entries, except those in use."""
        entries = sorted(entries_of(self.folder), key=lambda e: e.used)
        total = sum(e.size for e in entries)
        for entry in entries:
            if total + needed <= self.most:
                return
            if remove(entry.path):
                total -= entry.size


@dataclass(frozen=True)
class Entry:
    """An entry: its folder, its size in bytes, and the time it was last used, in seconds since the epoch."""

    path: Path
    size: int
    used: float


def entries_of(folder: Path) -> list[Entry]:
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with suppress(OSError):
            found.append(Entry(path, size_of_folder(path), (path / ENTRY).stat().st_mtime))
    return found


def size_of_folder(path: Path) -> int:
    return sum(p.stat().st_size for p in path.iterdir())


def remove(path: Path) -> bool:
    """Removes an entry; False if it is in use."""
    try:
        with (path / ENTRY).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
    except OSError:
        return False
    return True


def clear(folder: Path) -> tuple[int, int]:
    """Removes all entries that are not in use. Returns how many were removed, and their bytes."""
    gone = [entry for entry in entries_of(folder) if remove(entry.path)]
    for left in folder.glob(".new-*") if folder.is_dir() else ():
        shutil.rmtree(left, ignore_errors=True)
    return len(gone), sum(entry.size for entry in gone)


def cache_folder() -> Path:
    """GRAPHC_CACHE_DIR, or ``graphc`` in the user's folder for caches (XDG Base Directory Specification)."""
    named = os.environ.get("GRAPHC_CACHE_DIR")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphc"


def cache_limit() -> int:
    """The bytes that GRAPHC_CACHE_GB allows; 20 * 10^9 if it is not set or not a valid number."""
    try:
        wanted = float(os.environ.get("GRAPHC_CACHE_GB", DEFAULT_GB))
    except ValueError:
        wanted = DEFAULT_GB
    return int(max(wanted, 0) * 1e9) if wanted < 1e9 else int(DEFAULT_GB * 1e9)
