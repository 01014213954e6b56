"""A pipeline on a stream: samples in, decisions out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.errors import ModelError
from graphc_runtime.pipeline.manifest import read_pipeline
from graphc_runtime.pipeline.trigger import Trigger
from graphc_runtime.session import StreamSession
from graphc_runtime.stream_buffer import Arrays, values_of


@dataclass(frozen=True)
class Event:
    """Something that was heard: seconds from the begin of the stream, and the score there."""

    seconds: float
    score: float


class Pipeline:
    """Runs a compiled pipeline: buffers samples, runs the joined model, and decides.

    Args:
        path: the folder that ``graphc compile`` wrote, or its pipeline.manifest.json.
        threads: onnxruntime's.

    Attributes:
        name: of the joined model.
        session: the joined model's.
        outputs: what it gave with the last push.

    Errors:
        ModelError: no pipeline, or one whose manifest does not fit its model.

    Example:
        pipeline = Pipeline("out/alexa")
        for samples in microphone:                   # float32 [1, any number]
            for event in pipeline.push(samples):
                print(f"heard at {event.seconds:.2f} s")
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self.manifest, model = read_pipeline(Path(path))
        self.name = model.stem
        self.session = StreamSession(model, threads=threads)
        self.outputs: Arrays = {}
        self.trigger: Trigger | None = None
        entry = self.manifest.decoder
        if entry is not None:
            frame_ms = self.session.manifest.frame_ms
            if entry.score not in self.session.outputs or frame_ms is None:
                raise ModelError(
                    f"the model gives no '{entry.score}'" if frame_ms else "nothing says how long a frame lasts",
                    where=str(path),
                    hint="set stream.frame_ms in the first stage's spec, and compile again",
                )
            self.trigger = Trigger(entry, self.session.chunk * frame_ms / 1000)

    def reset(self) -> None:
        """Begins another stream."""
        self.session.reset()
        if self.trigger is not None:
            self.trigger.reset()

    def push(self, samples: NDArray[Any]) -> list[Event]:
        """Takes samples, any number of them; gives what was heard.

        Errors:
            InputError: samples that do not fit.
        """
        self.outputs = self.session.push(samples)
        return self.decided(self.outputs)

    def flush(self) -> list[Event]:
        """Ends the stream."""
        self.outputs = self.session.flush()
        return self.decided(self.outputs)

    def decided(self, outputs: Arrays) -> list[Event]:
        if self.trigger is None:
            return []
        entry = self.trigger.entry
        found = []
        for value in values_of(outputs[entry.score], self.session.outputs[entry.score]):
            scores = np.ravel(value)
            if not scores.size:
                continue
            if entry.place >= scores.size:
                raise ModelError(f"a call gives {scores.size} scores, none at place {entry.place}")
            score = float(scores[entry.place])
            if self.trigger.heard(score):
                found.append(Event(self.trigger.seconds, score))
        return found
