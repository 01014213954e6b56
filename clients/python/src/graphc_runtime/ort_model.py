"""Opens model files in onnxruntime, and runs them call by call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from graphc_runtime.errors import ModelError, RunError, first_line

Array = NDArray[Any]
OP_LIBRARIES: list[Path] = []
PROVIDERS = ["CPUExecutionProvider"]

ort.set_default_logger_severity(4)


class Runs(Protocol):
    """A model that runs call by call, in onnxruntime or in another runtime with the same interface."""

    input_names: list[str]
    output_names: list[str]
    shapes: dict[str, list[int | str | None]]

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Any]: ...


class OrtModel:
    """A model opened in onnxruntime."""

    def __init__(self, session: Any):
        self.ort = session
        self.input_names = [i.name for i in session.get_inputs()]
        self.output_names = [o.name for o in session.get_outputs()]
        self.shapes = {p.name: list(p.shape or []) for p in [*session.get_inputs(), *session.get_outputs()]}

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """Runs one call. Returns the outputs by name.

        Errors:
            RunError: the run failed.
        """
        wanted = list(self.output_names if outputs is None else outputs)
        try:
            return dict(zip(wanted, self.ort.run(wanted, dict(feeds)), strict=True))
        except Exception as err:
            raise RunError(first_line(err)) from err

    def metadata(self, key: str) -> str | None:
        """An entry of the model's ``metadata_props``; None if there is none."""
        found = self.ort.get_modelmeta().custom_metadata_map.get(key)
        return None if found is None else str(found)


def session_options(threads: int, exact: bool) -> Any:
    """Options of a session that logs nothing and runs on a given number of threads.

    Args:
        exact: compute ops between DequantizeLinear and QuantizeLinear in float, as ONNX defines them, not with integer
            kernels. The integer kernels overflow on CPUs without VNNI if weights use all of their 8 bits.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if exact:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    for library in OP_LIBRARIES:
        options.register_custom_ops_library(str(library))
    return options


def open_file(path: Path, threads: int = 1, exact: bool = False) -> OrtModel:
    """Opens a model file.

    Errors:
        ModelError: the file cannot be read, or onnxruntime cannot load it.
    """
    try:
        with path.open("rb"):
            pass
    except OSError as err:
        raise ModelError(f"the model cannot be read: {err.strerror}", where=str(path)) from err
    try:
        return OrtModel(ort.InferenceSession(str(path), session_options(threads, exact), providers=PROVIDERS))
    except Exception as err:
        if "Protobuf parsing failed" in str(err):
            raise ModelError("not an ONNX file, or truncated", where=str(path)) from err
        failed = RunError(first_line(err))
        raise ModelError(f"onnxruntime cannot run this model: {failed}", where=str(path), hint=failed.hint) from err


def load_op_library(path: str | Path) -> None:
    """Registers the custom ops of a library for all sessions opened later. The library runs in this process.

    Args:
        path: a shared object that exports onnxruntime's ``RegisterCustomOps``.

    Errors:
        ModelError: the file does not exist, or onnxruntime cannot load it.
    """
    library = Path(path).resolve()
    if not library.is_file():
        raise ModelError("there is no such library of custom ops", where=str(path))
    try:
        ort.SessionOptions().register_custom_ops_library(str(library))
    except Exception as err:
        raise ModelError(
            f"onnxruntime cannot load this library of custom ops: {first_line(err)}", where=str(path)
        ) from err
    if library not in OP_LIBRARIES:
        OP_LIBRARIES.append(library)


def value_over(array: Array) -> Any:
    """An OrtValue that shares the memory of a contiguous array."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
