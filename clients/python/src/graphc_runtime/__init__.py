"""Runs models compiled by graphc on streams. This package needs only numpy and the model's runtime.

session = graphc_runtime.StreamSession("tagger.onnx")
for frames in microphone:
    print(session.push(frames))
print(session.flush())

onnxruntime sends telemetry on models and machines, and stores a device id, unless ``ORT_DISABLE_TELEMETRY`` is set
when it is first imported. Importing graphc_runtime sets the variable to 1 if it is not set.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from graphc_runtime.lazy_names import loaded_when_asked

if TYPE_CHECKING:
    from graphc_runtime.batch_session import BatchSession
    from graphc_runtime.errors import GraphcError, InputError, InstallError, ModelError, TargetError
    from graphc_runtime.live import Live
    from graphc_runtime.ort_model import load_op_library
    from graphc_runtime.pipeline.pipeline import Event, Pipeline
    from graphc_runtime.pipeline.text import Transcript
    from graphc_runtime.session import ResetInSilence, Snapshot, StreamSession

__all__ = [
    "BatchSession",
    "Event",
    "GraphcError",
    "InputError",
    "InstallError",
    "Live",
    "ModelError",
    "Pipeline",
    "ResetInSilence",
    "Snapshot",
    "StreamSession",
    "TargetError",
    "Transcript",
    "load_op_library",
]

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

HOMES = {
    "BatchSession": "graphc_runtime.batch_session",
    "Event": "graphc_runtime.pipeline.pipeline",
    "Live": "graphc_runtime.live",
    "Pipeline": "graphc_runtime.pipeline.pipeline",
    "ResetInSilence": "graphc_runtime.session",
    "Snapshot": "graphc_runtime.session",
    "StreamSession": "graphc_runtime.session",
    "Transcript": "graphc_runtime.pipeline.text",
    "load_op_library": "graphc_runtime.ort_model",
}
ERRORS = {name: "graphc_runtime.errors" for name in __all__ if name.endswith("Error")}

__getattr__ = loaded_when_asked(__name__, HOMES | ERRORS)
