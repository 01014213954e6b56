"""graphc compiles ONNX speech models exported for whole utterances into equal models that run on a stream.

report = graphc.compile("spec.yaml")                 # what `graphc compile` does
session = graphc.StreamSession("model.stream.onnx")  # the client
smaller = graphc.transform(model, ["fold_constants", "fuse"])

onnxruntime reports on models and machines to its makers and stores a device id, unless the environment says otherwise
when it is first imported; importing graphc says so (``ORT_DISABLE_TELEMETRY=1``) where nobody has set that variable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from graphc.system.lazy_names import loaded_when_asked

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
    "BatchSession": "graphc.client.batch_session",
    "Options": "graphc.build.compiler",
    "Report": "graphc.build.report",
    "StreamSession": "graphc.client.session",
    "load_op_library": "graphc.ir.runtime",
    "transform": "graphc.passes.transform",
}
ERRORS = {name: "graphc.errors" for name in __all__ if name.endswith("Error")}

# The command forks before onnxruntime is there, whose threads would not come along.
__getattr__ = loaded_when_asked(__name__, HOMES | ERRORS)
