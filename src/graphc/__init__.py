"""graphc compiles ONNX speech models exported for whole utterances into equal models that run on a stream.

report = graphc.compile("spec.yaml")                 # what `graphc compile` does
session = graphc.StreamSession("model.stream.onnx")  # the client
smaller = graphc.transform(model, ["fold_constants", "fuse"])
"""

from __future__ import annotations

from pathlib import Path

from graphc.batch_session import BatchSession
from graphc.compiler import Options, compile_spec
from graphc.errors import (
    GraphcError,
    InputError,
    ModelError,
    OutputError,
    PassError,
    SpecError,
    StreamError,
    ValidationError,
)
from graphc.report import Report
from graphc.session import StreamSession
from graphc.transform import transform

__all__ = [
    "BatchSession",
    "GraphcError",
    "InputError",
    "ModelError",
    "Options",
    "OutputError",
    "PassError",
    "Report",
    "SpecError",
    "StreamError",
    "StreamSession",
    "ValidationError",
    "compile",
    "transform",
]


def compile(spec_path: str | Path, options: Options | None = None) -> Report:  # noqa: A001
    """Compiles a spec and writes its outputs; what ``graphc compile`` calls.

    Errors:
        GraphcError: every kind, with ``.node``, ``.reason``, ``.hint`` and ``.exit_code``.
    """
    return compile_spec(spec_path, options)
