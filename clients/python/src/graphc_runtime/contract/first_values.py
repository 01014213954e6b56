"""Reads the first values of states from an .npz file, which is untrusted until checked."""

from __future__ import annotations

import hashlib
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.contract.manifest import FileInit, FillInit, Manifest, StateEntry
from graphc_runtime.errors import ModelError

MAX_STATE_ELEMENTS = 2**31
LARGEST_NPY_HEADER = 2**16


def first_values_in(manifest: Manifest, folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays that all states start from, by the name of the state's input.

    Errors:
        ModelError: a file lies outside the manifest's folder, is not the file that was written with the manifest, or
            does not contain what the manifest says.
    """
    files = {s.init.file for s in manifest.states if isinstance(s.init, FileInit)}
    values = {s.input: first_value(s, folder) for s in manifest.states}
    for name in files if manifest.init_sha256 is not None else ():
        if file_digest(folder / name) != manifest.init_sha256:
            raise ModelError(
                "it is not the file that was written with this model",
                where=str(folder / name),
                hint="compile again",
            )
    return values


def first_value(state: StateEntry, folder: Path | None) -> NDArray[Any]:
    """The array that a state starts from.

    Errors:
        ModelError: the file is outside the manifest's folder, does not contain what the manifest says, or cannot be
            read. Every exception is caught, because zipfile and numpy do not document theirs.
    """
    shape, dtype = tuple(state.shape), np.dtype(numpy_dtype(state.dtype))
    if math.prod(shape) > MAX_STATE_ELEMENTS:
        raise ModelError(f"the state '{state.input}' has {math.prod(shape)} elements")
    if isinstance(state.init, str):
        return np.zeros(shape, dtype)
    if isinstance(state.init, FillInit):
        return np.full(shape, float(state.init.fill), dtype)
    name = state.init.file
    if folder is None or Path(name).name != name or name in ("", ".", ".."):
        raise ModelError(f"the first value of '{state.input}' is in '{name}', which is not a file beside the manifest")
    path = folder / name
    if path.is_symlink():
        raise ModelError(f"'{name}' is a link, which is not allowed for first values", where=str(path))
    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = packed.getinfo(f"{state.init.key}.npy").file_size
        if unpacked > math.prod(shape) * dtype.itemsize + LARGEST_NPY_HEADER:
            raise ValueError(f"it unpacks to {unpacked} bytes, but the manifest says {list(shape)} of {dtype}")
        with np.load(path, allow_pickle=False) as archive:
            held: object = archive[state.init.key]
        if not isinstance(held, np.ndarray):
            raise ValueError("it is not an array")
        value: NDArray[Any] = held
    except Exception as err:
        raise ModelError(f"the first value of '{state.input}' cannot be read: {err}", where=str(path)) from err
    if value.shape != shape or value.dtype != dtype:
        raise ModelError(
            f"the first value of '{state.input}' is {value.dtype}{list(value.shape)}, "
            f"but the manifest says {dtype}{list(shape)}",
            where=str(path),
        )
    return value


def file_digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def numpy_dtype(name: str) -> Any:
    """The numpy dtype for a dtype name in a manifest.

    Errors:
        ModelError: no such dtype.
    """
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        return bfloat16
    known = (
        "float16",
        "float32",
        "float64",
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    )
    if name not in known:
        raise ModelError(f"'{name}' is not a dtype of a port")
    return name
