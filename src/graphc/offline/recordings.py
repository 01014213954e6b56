"""Reads recordings and saved features as whole streams of a model."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.offline.feeds import Feeds
from graphc.offline.reference import Offline
from graphc.spec.input_roles import StepRole, StreamRole
from graphc.system.files import files_in
from graphc_runtime.errors import InputError

Array = NDArray[Any]

SOUND = (".wav", ".flac")
ARRAYS = (".npy", ".npz")
ARCHIVE = b"PK"
LARGEST_FILE = 2**31


def recording_files(paths: Sequence[str], folder: Path) -> list[Path]:
    """The files at some paths, relative to a folder. A folder stands for all recordings and arrays in it, in order.

    Errors:
        InputError: there is nothing at a path, or an unsupported kind of file.
    """
    found: list[Path] = []
    for text in paths:
        path = folder / text
        if path.is_dir():
            inside = [p for p in files_in(path) if p.suffix.lower() in (*SOUND, *ARRAYS)]
            if not inside:
                raise InputError(f"it contains no {', '.join((*SOUND, *ARRAYS))} file", where=str(path))
            found += inside
        elif not path.is_file():
            raise InputError("there is no such file", where=str(path))
        elif path.suffix.lower() not in (*SOUND, *ARRAYS):
            raise InputError(f"unsupported kind of file; supported: {', '.join((*SOUND, *ARRAYS))}", where=str(path))
        else:
            found.append(path)
    return found


def recorded_stream(path: Path, offline: Offline, frame_ms: float | None) -> Feeds:
    """The inputs in a file: sound for a model of samples, .npy for a model with one stream input, .npz by input name.

    Errors:
        InputError: the file cannot be read, or does not fit the model's inputs.
    """
    given = sound(path, offline, frame_ms) if path.suffix.lower() in SOUND else arrays(path, offline)
    return completed(given, offline, path)


def sound(path: Path, offline: Offline, frame_ms: float | None) -> Feeds:
    name = only_stream(offline, path)
    role, port = offline.streams()[name], offline.ports[name]
    others = [d for a, d in enumerate(port.dims) if a != role.axis]
    if isinstance(role, StepRole) or any(isinstance(d, int) and d != 1 for d in others):
        raise InputError(
            f"the input '{name}' takes frames of {others}, not samples of sound",
            where=str(path),
            hint="save the features of the recordings as .npy",
        )
    import soundfile

    try:
        about = soundfile.info(str(path))
        check_size(about.frames * about.channels * 4, path)
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError) as err:
        raise InputError(f"the recording cannot be read: {err}", where=str(path)) from err
    if frame_ms is not None and abs(rate * frame_ms / 1000 - 1) > 1e-6:
        raise InputError(
            f"it has {rate} samples a second, the stream {1000 / frame_ms:g} (stream.frame_ms)",
            where=str(path),
            hint="resample the recording",
        )
    shape = [1] * len(port.dims)
    shape[role.axis] = -1
    return {name: samples.mean(axis=1).reshape(shape)}


def arrays(path: Path, offline: Offline) -> Feeds:
    given = array_file(path)
    return given if isinstance(given, dict) else {only_stream(offline, path): given}


def array_file(path: Path) -> Array | dict[str, Array]:
    """The array in an .npy file, or the arrays in an .npz file by name.

    Errors:
        InputError: the file is too large, or zipfile or numpy fails; they do not document their errors.
    """
    try:
        count = unpacked_size(path)
    except Exception as err:
        raise unreadable(path, err) from err
    check_size(count, path)
    try:
        held = np.load(path, allow_pickle=False)
        if isinstance(held, np.ndarray):
            return held
        with held:
            return {str(n): np.asarray(held[n]) for n in held}
    except Exception as err:
        raise unreadable(path, err) from err


def unreadable(path: Path, err: Exception) -> InputError:
    return InputError(f"the arrays cannot be read: {err or type(err).__name__}", where=str(path))


def unpacked_size(path: Path) -> int:
    """The size in bytes of a file's arrays. For an archive, whatever its name, the size in its directory."""
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())


def check_size(count: int, path: Path) -> None:
    """Refuses a file that is too large for memory.

    Errors:
        InputError: names the limit.
    """
    if count > LARGEST_FILE:
        raise InputError(f"it holds more than {LARGEST_FILE} bytes", where=str(path), hint="split it into several")


def only_stream(offline: Offline, path: Path) -> str:
    streams = offline.streams()
    if len(streams) != 1:
        raise InputError(
            f"the model has {len(streams)} stream inputs: {', '.join(streams)}",
            where=str(path),
            hint="save one .npz with one array per input",
        )
    return next(iter(streams))


def completed(given: Feeds, offline: Offline, path: Path) -> Feeds:
    """The feeds of a file in the form that the model expects. Missing inputs that are not streams are drawn."""
    streams = offline.streams()
    unknown = [n for n in given if n not in offline.roles]
    absent = [n for n in streams if n not in given]
    if unknown or absent:
        name, said = (unknown[0], "is not an input of the model") if unknown else (absent[0], "is missing")
        raise InputError(f"'{name}' {said}", where=str(path), hint=f"the inputs are {', '.join(offline.roles)}")
    fitted = {name: fitting(name, value, offline, path) for name, value in given.items()}
    first = next(iter(streams))
    counts = {name: fitted[name].shape[role.axis] for name, role in streams.items()}
    frames = int(counts[first] / streams[first].rate)
    for name, role in streams.items():
        if counts[name] != frames * role.rate:
            raise InputError(f"'{name}' has {counts[name]} frames, and '{first}' has {counts[first]}", where=str(path))
    return offline.completed(fitted, frames)


def fitting(name: str, value: Array, offline: Offline, path: Path) -> Array:
    """An array in the shape and dtype of an input. Its batch axis may be missing."""
    port, role = offline.ports[name], offline.roles[name]
    stacked = int(isinstance(role, StepRole))
    dims = (None,) * stacked + port.dims
    free = role.axis if isinstance(role, StreamRole | StepRole) else None
    if value.ndim == len(dims) - 1:
        value = np.expand_dims(value, 1 if free == 0 else 0)
    batch = offline.batch_axes.get(name)
    if batch is not None and value.ndim == len(dims) and value.shape[stacked + batch] == 1:
        value = np.repeat(value, offline.batch, axis=stacked + batch)
    wanted = [None if a == free else d if isinstance(d, int) else offline.batch for a, d in enumerate(dims)]
    if len(wanted) != value.ndim or any(w not in (None, d) for w, d in zip(wanted, value.shape, strict=True)):
        shown = ["frames" if w is None else w for w in wanted]
        raise InputError(f"'{name}' has the shape {list(value.shape)}, the model takes {shown}", where=str(path))
    if value.dtype.kind not in "fiub":
        raise InputError(f"'{name}' holds {value.dtype}, not numbers", where=str(path))
    if not value.size:
        raise InputError(f"'{name}' is empty", where=str(path))
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(port.elem_type))
    with np.errstate(over="ignore"):
        taken = np.array(value, dtype, order="C") if np.isfinite(value).all() else value
    if not np.isfinite(taken).all():
        raise InputError(f"'{name}' holds values that are not finite in {dtype}", where=str(path))
    return taken
