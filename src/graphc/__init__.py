"""graphc compiles ONNX speech models exported for whole utterances into equal models that run on a stream.

report = graphc.compile("spec.yaml")                 # what `graphc compile` does
session = graphc.StreamSession("model.stream.onnx")  # the client
smaller = graphc.transform(model, ["fold_constants", "fuse"])

onnxruntime reports on models and machines to its makers and stores a device id, unless the environment says otherwise
when it is first imported; importing graphc says so (``ORT_DISABLE_TELEMETRY=1``) where nobody has set that variable.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.build.compiler import Options
    from graphc.build.report import Report
    from graphc.client.batch_session import BatchSession
    from graphc.client.session import StreamSession
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
    from graphc.ir.runtime import load_op_library
    from graphc.passes.transform import transform

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
    "load_op_library",
    "transform",
]


os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def compile(spec_path: str | Path, options: Options | None = None) -> Report:  # noqa: A001
    """Compiles a spec and writes its outputs; what ``graphc compile`` calls.

    Errors:
        GraphcError: every kind, with ``.node``, ``.reason``, ``.hint`` and ``.exit_code``.
    """
    from graphc.spec.spec_file import load_spec

    spec_file = load_spec(spec_path)
    from graphc.build.compiler import compile_spec

    return compile_spec(spec_file, options)


HOMES = {
    "BatchSession": "client.batch_session",
    "Options": "build.compiler",
    "Report": "build.report",
    "StreamSession": "client.session",
    "load_op_library": "ir.runtime",
    "transform": "passes.transform",
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: the command forks before onnxruntime is there, whose threads would not come along."""
    if name not in __all__:
        raise AttributeError(f"module 'graphc' has no attribute '{name}'")
    found = getattr(import_module(f"graphc.{HOMES.get(name, 'errors')}"), name)
    globals()[name] = found
    return found
