"""Sessions of onnxruntime, and runs of whole graphs. Only this module of graphc imports onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from graphc.ir.weights.weight_files import ROOT, beside_root, has_kept
from graphc.system.freed_memory import trim_freed_memory
from graphc_runtime.errors import ModelError, RunError, first_line
from graphc_runtime.ort_model import PROVIDERS, OrtModel, Runs, session_options

Array = NDArray[Any]
FOLDER_OF_WEIGHTS = "session.model_external_initializers_file_folder_path"  # onnxruntime_session_options_config_keys.h

ORT_DTYPES: dict[str, np.dtype[Any]] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(bfloat16),
    "bool": np.dtype(np.bool_),
    **{name: np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}


def save_in_ort_format(model: onnx.ModelProto, path: Path) -> None:
    """Writes a model in onnxruntime's own format, with the rewrites that hold on every machine.

    Errors:
        RunError: onnxruntime does not accept the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as err:
        raise RunError(first_line(err)) from err


class Session(OrtModel):
    """An onnxruntime session over a model in memory or on disk.

    Args:
        model: the model, or its path.
        threads: intra-op threads; results depend on them only in rounding.
        optimize: let onnxruntime rewrite the graph when the model is loaded.
        prepack: let onnxruntime make a second copy of weights in a faster layout; None means as ``optimize``.
        varied: inputs come in many sizes, so memory is not planned for each size. A model with weights in files is
            always opened this way, and also holds no memory between runs.
        exact: compute between DequantizeLinear and QuantizeLinear in float, as ONNX defines it, and not in the integer
            kernels of this machine, which overflow on CPUs without VNNI if weights use all of their 8 bits.

    Errors:
        RunError: onnxruntime does not accept the model.
    """

    def __init__(
        self,
        model: onnx.ModelProto | Path,
        threads: int = 1,
        optimize: bool = True,
        prepack: bool | None = None,
        exact: bool = False,
        varied: bool = False,
    ):
        options = session_options(threads, exact)
        options.enable_mem_pattern = not varied
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
        if not (optimize if prepack is None else prepack):
            options.add_session_config_entry("session.disable_prepacking", "1")
        try:
            super().__init__(self.open(model, options))
        except Exception as err:
            raise RunError(first_line(err)) from err

    @staticmethod
    def open(model: onnx.ModelProto | Path, options: Any) -> Any:
        if isinstance(model, Path):
            return ort.InferenceSession(str(model), options, providers=PROVIDERS)
        if has_kept(model):
            trim_freed_memory()
            options.add_session_config_entry(FOLDER_OF_WEIGHTS, ROOT)
            options.enable_cpu_mem_arena = options.enable_mem_pattern = False
            model = beside_root(model)
        return ort.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)

    def output_types(self) -> dict[str, tuple[np.dtype[Any] | None, list[int | str | None]]]:
        """The dtype and shape of each output as onnxruntime infers them; None as dtype if it is not a dense tensor."""
        return {o.name: (ort_dtype(o.type), list(o.shape or [])) for o in self.ort.get_outputs()}


class Watched:
    """A session whose calls can be observed.

    Args:
        session: the session that runs.
        see: is called with the feeds and the results of each call.
        instead: feeds that replace those of each call.
    """

    def __init__(
        self,
        session: Runs,
        see: Callable[[Mapping[str, Array], Mapping[str, Array]], None],
        instead: Mapping[str, Array] | None = None,
    ):
        self.session, self.see, self.instead = session, see, instead or {}
        self.input_names, self.output_names, self.shapes = session.input_names, session.output_names, session.shapes

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        given = {**feeds, **self.instead}
        results = self.session.run(given, outputs)
        self.see(given, results)
        return results


def ort_dtype(text: str) -> np.dtype[Any] | None:
    return ORT_DTYPES.get(text.removeprefix("tensor(").removesuffix(")")) if text.startswith("tensor(") else None


def open_model(model: onnx.ModelProto | Path, where: str, threads: int = 1, exact: bool = False) -> Session:
    """A session over a model. Errors are worded for the model's owner.

    Errors:
        ModelError: onnxruntime does not accept the model.
    """
    try:
        return Session(model, threads, exact=exact)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run this model: {err}", where=where, hint=err.hint) from err


def versions() -> dict[str, str]:
    return {"onnxruntime": ort.__version__, "onnx": onnx.__version__, "numpy": np.__version__}
