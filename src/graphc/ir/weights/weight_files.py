"""The files with the weights of large models: the models' data files, and one file for weights that passes make.

A kept weight is a TensorProto without data. Its location is the number of a file in this process, so a model from
outside cannot name a file this way.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import TensorProto

from graphc.errors import OutputError
from graphc.system.scratch_files import new_scratch

PREFIX = "graphc-kept:"
ALIGNED = 4096
ROOT = "/"
FILES: list[Path] = []


class KeptArray(np.ndarray):
    """A kept weight's values, mapped from its file read-only.

    Args:
        kept: the kept tensor with these values; None for an array computed from a kept one.
    """

    kept: TensorProto | None = None


class KeptValues(gs.ir.tensor.LazyValues):  # type: ignore[misc]
    """Values that onnx-graphsurgeon loads from a kept tensor's file."""

    def load(self) -> NDArray[Any]:
        return array_of(self.tensor)


class Scratch:
    """A growing file of weights, which is removed when it is closed or the process ends."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.path: Path | None = None
        self.size = 0

    def keep(self, array: NDArray[Any]) -> TensorProto:
        """Writes values to the end of the file. Returns a kept tensor for them.

        Errors:
            OutputError: the file cannot be written.
        """
        content = np.ascontiguousarray(array)
        try:
            with self.lock:
                offset = self.append(content)
        except OSError as err:
            where = str(err.filename or self.path)
            hint = "set TMPDIR to a folder with room for three times the model's weights"
            raise OutputError(f"weights cannot be put on disk: {err.strerror or err}", where=where, hint=hint) from err
        kind = onnx.helper.np_dtype_to_tensor_dtype(content.dtype)
        return kept_tensor(TensorProto(data_type=kind, dims=array.shape), self.number, offset, content.nbytes)

    def append(self, content: NDArray[Any]) -> int:
        """Writes values to the end of the file. Returns the offset where they begin."""
        if self.path is None:
            self.path, self.owner = new_scratch(), os.getpid()
            self.number = numbered(self.path)
            atexit.register(self.close)
        offset = -(-self.size // ALIGNED) * ALIGNED
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(content.data if content.size else b"")
        self.size = offset + content.nbytes
        return offset

    def close(self) -> None:
        if self.path is not None and self.owner == os.getpid():
            self.path.unlink(missing_ok=True)
            self.path, self.size = None, 0
            atexit.unregister(self.close)


OF_PROCESS = Scratch()
SCRATCH: ContextVar[Scratch] = ContextVar("SCRATCH", default=OF_PROCESS)


@contextmanager
def scratch_of_its_own() -> Iterator[None]:
    """Keeps weights that are made inside the ``with`` block in a file of their own, which is removed at the end."""
    made = Scratch()
    token = SCRATCH.set(made)
    try:
        yield
    finally:
        SCRATCH.reset(token)
        made.close()


def numbered(path: Path) -> int:
    FILES.append(path)
    return len(FILES) - 1


def number_of(path: Path) -> int:
    """The number of a file; a new one if the file has none yet."""
    return FILES.index(path) if path in FILES else numbered(path)


def kept_tensor(tensor: TensorProto, number: int, offset: int, length: int) -> TensorProto:
    """Makes the tensor refer to a place in a numbered file, and returns it."""
    placed(tensor, f"{PREFIX}{number}", offset, length)
    tensor.data_location = TensorProto.DEFAULT
    return tensor


def placed(tensor: TensorProto, location: str, offset: int, length: int) -> None:
    """Records where a tensor's values are."""
    del tensor.external_data[:]
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def keep(array: NDArray[Any]) -> KeptValues:
    """Writes values to a file, so that they take no memory. Values that are in a file already are not written again.

    Errors:
        OutputError: the file cannot be written.
    """
    known = array.kept if isinstance(array, KeptArray) else None
    return KeptValues(known if known is not None else SCRATCH.get().keep(array))


def dtype_of(tensor: TensorProto) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return found


def entries_of(tensor: TensorProto) -> dict[str, str]:
    return {e.key: e.value for e in tensor.external_data}


def is_kept(tensor: TensorProto) -> bool:
    return entries_of(tensor).get("location", "").startswith(PREFIX)


def has_kept(proto: onnx.ModelProto) -> bool:
    return any(is_kept(t) for t in proto.graph.initializer)


def place_of(tensor: TensorProto) -> tuple[Path, int, int]:
    """Path, offset and length of a kept tensor's values."""
    entries = entries_of(tensor)
    return FILES[int(entries["location"].removeprefix(PREFIX))], int(entries["offset"]), int(entries["length"])


def kept_bytes(tensors: Iterable[TensorProto]) -> int:
    """The bytes of the tensors that are kept in files."""
    return sum(int(entries_of(t)["length"]) for t in tensors if is_kept(t))


def array_of(tensor: TensorProto) -> KeptArray:
    """A kept tensor's values, mapped from its file."""
    path, offset, _ = place_of(tensor)
    mapped = np.memmap(path, dtype_of(tensor), "r", offset, tuple(tensor.dims)).view(KeptArray)
    mapped.kept = tensor
    return mapped


def loaded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all its weights inside. Returns the same object if no weight is in a file."""
    if not has_kept(proto):
        return proto
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    for tensor in whole.graph.initializer:
        if is_kept(tensor):
            tensor.raw_data = array_of(tensor).tobytes()
            del tensor.external_data[:]
    return whole


def beside_root(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its kept weights as external data below ROOT. onnxruntime maps such data without a copy."""
    marked = onnx.ModelProto()
    marked.CopyFrom(proto)
    for tensor in marked.graph.initializer:
        if not is_kept(tensor):
            continue
        path, offset, length = place_of(tensor)
        placed(tensor, str(path.relative_to(ROOT)), offset, length)
        tensor.data_location = TensorProto.EXTERNAL
    return marked


def weights_as_inputs(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, TensorProto]]:
    """The model with its kept weights as inputs, for tools that would load them; and those weights."""
    kept = {t.name: t for t in proto.graph.initializer if is_kept(t)}
    fed = onnx.ModelProto()
    fed.CopyFrom(proto)
    rest = [t for t in fed.graph.initializer if t.name not in kept]
    del fed.graph.initializer[:]
    fed.graph.initializer.extend(rest)
    for name, tensor in kept.items():
        fed.graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    return fed, kept


def with_weights_put_back(proto: onnx.ModelProto, kept: Mapping[str, TensorProto]) -> onnx.ModelProto:
    """The inverse of ``weights_as_inputs``."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    ports = [p for p in whole.graph.input if p.name not in kept]
    del whole.graph.input[:]
    whole.graph.input.extend(ports)
    whole.graph.initializer.extend(kept.values())
    return whole
