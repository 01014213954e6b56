"""Weights that stay in a model's data file until they are read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo
from onnx.numpy_helper import to_array

from graphc.ir.graph import Constant, Graph, is_sparse, nbytes, subgraphs
from graphc.ir.weights.weight_files import (
    PREFIX,
    SCRATCH,
    dtype_of,
    entries_of,
    has_kept,
    keep,
    kept_tensor,
    numbered,
)
from graphc.system.freed_memory import return_freed_memory

SMALLEST_KEPT = 2**20
LARGE_MODEL = 2**28
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


def keep_in_files(proto: onnx.ModelProto, folder: Path) -> None:
    """Leaves the larger external weights of a large model in their files.

    Data outside the folder, outside a regular file, or beyond the end of its file is left to onnx to load or refuse.

    Errors:
        ValueError: a location has the prefix of kept weights, or the length of a weight does not match its shape.
    """
    if has_kept(proto):
        raise ValueError(f"a location begins with '{PREFIX}', which graphc reserves for itself")
    external = [t for t in proto.graph.initializer if t.data_location == TensorProto.EXTERNAL]
    places = [(t, place) for t in external if (place := place_in(t, folder)) is not None]
    if sum(length for _, (_, _, length) in places) < LARGE_MODEL:
        return
    return_freed_memory()
    numbers: dict[Path, int] = {}
    for tensor, (path, offset, length) in places:
        if path not in numbers:
            numbers[path] = numbered(path)
        kept_tensor(tensor, numbers[path], offset, length)


def place_in(tensor: TensorProto, folder: Path) -> tuple[Path, int, int] | None:
    """Path, offset and length of a tensor's data. None unless it is plain, large, and safe to leave in its file.

    Errors:
        ValueError: the stated length does not match the tensor's shape.
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
        raise ValueError(f"'{tensor.name}' takes {length} bytes, and the model says {info.length}")
    if offset < 0 or offset + length > whole.stat().st_size:
        return None
    return whole, offset, length


def move_to_files(proto: onnx.ModelProto) -> None:
    """Moves the larger weights of a large model into a file. External weights are already in files.

    Errors:
        OutputError: the file cannot be written.
    """
    held = [t for t in proto.graph.initializer if t.data_type in PLAIN_TYPES and len(t.raw_data) >= SMALLEST_KEPT]
    if sum(len(t.raw_data) for t in held) < LARGE_MODEL:
        return
    return_freed_memory()
    for tensor in held:
        made = entries_of(SCRATCH.get().keep(to_array(tensor)))
        tensor.ClearField("raw_data")
        for key, value in made.items():
            tensor.external_data.add(key=key, value=value)


def keep_weights(graph: Graph) -> None:
    """Writes the weights of a large model that are in memory to a file, so that they take no memory.

    Errors:
        OutputError: the file cannot be written.
    """
    weights = [t for t in weights_of(graph) if nbytes(t) >= SMALLEST_KEPT]
    if sum(nbytes(t) for t in weights) < LARGE_MODEL:
        return
    for tensor in weights:
        if isinstance(tensor._values, np.ndarray):
            tensor._values = keep(tensor._values)


def weights_of(graph: Graph) -> list[Constant]:
    """The dense constants of a graph whose type can be kept in files and that no subgraph reads."""
    inner = {id(t) for n in graph.nodes for g in subgraphs(n) for t in constants_in(g)}
    found = {id(t): t for n in graph.nodes for t in n.inputs if isinstance(t, Constant)}
    return [t for key, t in found.items() if key not in inner and not is_sparse(t) and is_plain(t)]


def constants_in(graph: Graph) -> Iterator[Constant]:
    """The constants that the nodes of a graph and of its subgraphs read."""
    for node in graph.nodes:
        yield from (t for t in node.inputs if isinstance(t, Constant))
        for inner in subgraphs(node):
            yield from constants_in(inner)


def is_plain(tensor: Constant) -> bool:
    if not isinstance(tensor.dtype, np.dtype | type):
        return False
    return onnx.helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)) in PLAIN_TYPES
