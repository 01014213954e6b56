"""Weights that stay in a model's data file until somebody reads them.

A large model is handled without its weights: its initializers point into files that ``read_model`` found in the model's
folder, by a number that means something in this process only. A model from outside cannot name a file this way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo

SMALLEST_KEPT = 2**20
LARGE_MODEL = 2**28
PREFIX = "graphc-kept:"
PLAIN_TYPES = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.FLOAT16,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.INT16,
    TensorProto.INT32,
    TensorProto.INT64,
)
FILES: list[Path] = []


def keep_in_files(proto: onnx.ModelProto, folder: Path) -> None:
    """Leaves the larger external weights of a large model in their files.

    What does not lie as a regular file inside the folder, or does not fit its file, is left to onnx to load or refuse.

    Errors:
        ValueError: the model claims to have kept weights itself, or weights of another length than their shape's.
    """
    if any(is_kept(t) for t in proto.graph.initializer):
        raise ValueError(f"a location begins with '{PREFIX}'")
    external = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    places = {id(t): place for t in external if (place := place_of(t, folder)) is not None}
    if sum(length for _, _, length in places.values()) < LARGE_MODEL:
        return
    numbers: dict[Path, int] = {}
    for tensor in external:
        place = places.get(id(tensor))
        if place is None:
            continue
        path, offset, length = place
        if path not in numbers:
            numbers[path] = len(FILES)
            FILES.append(path)
        del tensor.external_data[:]
        for key, value in (("location", f"{PREFIX}{numbers[path]}"), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        tensor.data_location = TensorProto.DEFAULT


def place_of(tensor: TensorProto, folder: Path) -> tuple[Path, int, int] | None:
    """Path, offset and length of a tensor's data, where it is plain, large enough and safe to keep there.

    Errors:
        ValueError: the length is not that of the tensor.
    """
    if tensor.data_type not in PLAIN_TYPES:
        return None
    try:
        info = ExternalDataInfo(tensor)
        offset, path = int(info.offset or 0), folder / info.location
        whole = path.resolve(strict=True)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    length = math.prod(tensor.dims) * dtype_of(tensor).itemsize
    outside = Path(info.location).is_absolute() or ".." in Path(info.location).parts or path.is_symlink()
    if outside or not whole.is_relative_to(folder.resolve()) or not whole.is_file() or length < SMALLEST_KEPT:
        return None
    if (info.length or length) != length:
        raise ValueError(f"'{tensor.name}' takes {length} bytes, where the model names {info.length}")
    if offset < 0 or offset + length > whole.stat().st_size:
        return None
    return whole, offset, length


def dtype_of(tensor: TensorProto) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    return found


def entries_of(tensor: TensorProto) -> dict[str, str]:
    return {e.key: e.value for e in tensor.external_data}


def is_kept(tensor: TensorProto) -> bool:
    return entries_of(tensor).get("location", "").startswith(PREFIX)


def kept_bytes(tensors: Iterable[TensorProto]) -> int:
    """What the kept ones among some tensors weigh."""
    return sum(int(entries_of(t)["length"]) for t in tensors if is_kept(t))


def array_of(tensor: TensorProto) -> NDArray[Any]:
    """A kept tensor's values, mapped from its file."""
    entries = entries_of(tensor)
    path = FILES[int(entries["location"].removeprefix(PREFIX))]
    return np.memmap(path, dtype_of(tensor), "r", int(entries["offset"]), tuple(tensor.dims))


def loaded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with all its weights in itself; the same object where none is kept."""
    if not any(is_kept(t) for t in proto.graph.initializer):
        return proto
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    for tensor in whole.graph.initializer:
        if is_kept(tensor):
            tensor.raw_data = array_of(tensor).tobytes()
            del tensor.external_data[:]
    return whole


class KeptValues(gs.ir.tensor.LazyValues):  # type: ignore[misc]
    """Values that onnx-graphsurgeon loads out of a kept tensor's file."""

    def load(self) -> NDArray[Any]:
        return np.array(array_of(self.tensor))
