"""graphc compiles ONNX speech models exported for whole utterances into equivalent models that run on a stream.

report = graphc.compile("spec.yaml")                 # what `graphc compile` does
session = graphc.StreamSession("model.stream.onnx")  # the client
smaller = graphc.transform(model, ["fold_constants", "fuse"])

onnxruntime sends telemetry on models and machines, and stores a device id, unless ``ORT_DISABLE_TELEMETRY`` is set
when onnxruntime is first imported. Importing graphc sets the variable to 1 if it is not set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from graphc_runtime.lazy_names import loaded_when_asked

if TYPE_CHECKING:
    from graphc.build.compiler import Options
    from graphc.build.report import Report
    from graphc.errors import OutputError, PassError, SpecError, ValidationError
    from graphc.passes.transform import transform
    from graphc_runtime.batch_session import BatchSession
    from graphc_runtime.errors import GraphcError, InputError, ModelError, StreamError
    from graphc_runtime.ort_model import load_op_library
    from graphc_runtime.session import ResetInSilence, StreamSession

__all__ = [
    "BatchSession",
    "GraphcError",
    "InputError",
    "ModelError",
    "Options",
    "OutputError",
    "PassError",
    "Report",
    "ResetInSilence",
    "SpecError",
    "StreamError",
    "StreamSession",
    "ValidationError",
    "compile",
    "load_op_library",
    "transform",
]


def compile(spec_path: str | Path, options: Options | None = None) -> Report:  # noqa: A001
    """Compiles a spec, or a pipeline of several specs, and writes the outputs. ``graphc compile`` calls this function.

    Errors:
        GraphcError: the compilation failed; has ``.node``, ``.reason``, ``.hint`` and ``.exit_code``.
    """
    from graphc.spec.spec_file import PipelineFile, load_any_spec

    spec_file = load_any_spec(spec_path)
    if isinstance(spec_file, PipelineFile):
        from graphc.build.report import Report
        from graphc.pipelines.compile_pipeline import compile_pipeline

        return Report(compile_pipeline(spec_file, options))
    from graphc.build.compiler import compile_spec

    return compile_spec(spec_file, options)


HOMES = {
    "BatchSession": "graphc_runtime.batch_session",
    "Options": "graphc.build.compiler",
    "Report": "graphc.build.report",
    "ResetInSilence": "graphc_runtime.session",
    "StreamSession": "graphc_runtime.session",
    "load_op_library": "graphc_runtime.ort_model",
    "transform": "graphc.passes.transform",
}
ERRORS = dict.fromkeys(("OutputError", "PassError", "SpecError", "ValidationError"), "graphc.errors")
ERRORS |= dict.fromkeys(("GraphcError", "InputError", "ModelError", "StreamError"), "graphc_runtime.errors")

# The command forks before it imports onnxruntime, because threads do not survive a fork.
__getattr__ = loaded_when_asked(__name__, HOMES | ERRORS)
