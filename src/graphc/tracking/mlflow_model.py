"""Serves a compiled model in MLflow. This file is stored with the model and graphc_runtime, and needs no graphc."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from graphc_runtime.errors import InputError
from graphc_runtime.open_compiled import opened
from graphc_runtime.session import StreamSession

MOST_STREAMS = 256


class StreamingModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Runs the model on streams, and remembers the states of open streams between calls of ``predict``.

    Params of ``predict``:
        stream: the name of the stream that the frames belong to. If empty, they are a whole stream; no state is kept.
        end: whether these are the stream's last frames. The result then includes the tail.
    """

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["compiled"])
        (model,) = folder.glob("*.onnx")
        self.compiled = opened(model, threads=1)
        self.streams: dict[str, StreamSession] = {}
        self.lock = threading.Lock()

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow would check hints
        told = dict(params or {})
        frames = {name: np.asarray(value) for name, value in dict(model_input).items()}
        with self.lock:
            return self.answer(frames, str(told.get("stream", "")), bool(told.get("end", False)))

    def answer(self, frames: dict[str, Any], name: str, end: bool) -> dict[str, Any]:
        """The new outputs of a stream.

        Errors:
            InputError: too many streams are open, or frames do not fit.
        """
        if not name:
            return dict(StreamSession(self.compiled).run(frames))
        if name not in self.streams and len(self.streams) >= MOST_STREAMS:
            raise InputError(f"{MOST_STREAMS} streams are open; close one with end: true")
        session = self.streams.setdefault(name, StreamSession(self.compiled))
        try:
            new = dict(session.push(frames))
            if end:
                tail = session.flush()
                axes = {port.name: port.axis or 0 for port in self.compiled.manifest.outputs}
                new = {n: np.concatenate([value, tail[n]], axis=axes[n]) for n, value in new.items()}
        except Exception:
            del self.streams[name]
            raise
        if end:
            del self.streams[name]
        return new


mlflow.models.set_model(StreamingModel())
