"""A pipeline on a stream: samples in, decisions or text out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.errors import ModelError
from graphc_runtime.pipeline.ctc import GreedyCtc
from graphc_runtime.pipeline.manifest import CtcEntry, TransducerEntry, read_pipeline
from graphc_runtime.pipeline.network import Network
from graphc_runtime.pipeline.text import Transcript, Utterance
from graphc_runtime.pipeline.transducer import GreedyTransducer
from graphc_runtime.pipeline.trigger import Trigger
from graphc_runtime.session import StreamSession
from graphc_runtime.stream_buffer import Arrays, cut, values_of

Array = NDArray[Any]


@dataclass(frozen=True)
class Event:
    """A detection: its time in seconds from the start of the stream, and its score."""

    seconds: float
    score: float


class Pipeline:
    """Runs a compiled pipeline: buffers samples, runs the joined model, and decodes its outputs.

    Args:
        path: the folder that ``graphc compile`` wrote, or its pipeline.manifest.json.
        threads: the number of onnxruntime's intra-op threads.

    Attributes:
        name: the name of the joined model.
        session: the session of the joined model.
        outputs: the outputs of the joined model for the last push or flush.

    Errors:
        ModelError: the path is not a pipeline, or the manifest does not fit the models.

    Example:
        pipeline = Pipeline("out/alexa")
        for samples in microphone:                   # float32 [1, any number]
            for event in pipeline.push(samples):
                print(f"heard at {event.seconds:.2f} s")
    """

    def __init__(self, path: str | Path, threads: int = 1):
        self.manifest, folder = read_pipeline(Path(path))
        self.name = Path(self.manifest.model).stem
        self.session = StreamSession(folder / self.manifest.model, threads=threads)
        self.outputs: Arrays = {}
        self.decoder: TriggerDecoder | TextDecoder | None = None
        if self.manifest.trigger is not None:
            self.decoder = TriggerDecoder(self.session, Trigger(self.manifest.trigger, call_seconds(self.session)))
        elif (ctc := self.manifest.ctc) is not None:
            self.decoder = TextDecoder(self.session, ctc, ctc.scores, GreedyCtc(ctc))
        elif (entry := self.manifest.transducer) is not None:
            names = [entry.joiner.stage, *([entry.predictor.stage] if entry.predictor else [])]
            stages = {s.name: s for s in self.manifest.stages}
            if lost := [name for name in names if name not in stages]:
                raise ModelError(f"the decoder names unknown stages: {', '.join(lost)}", where=str(path))
            networks = {name: Network(stages[name], folder, threads) for name in names}
            self.decoder = TextDecoder(self.session, entry, entry.encoder, GreedyTransducer(entry, networks))

    def reset(self) -> None:
        """Begins another stream."""
        self.session.reset()
        if self.decoder is not None:
            self.decoder.reset()

    def push(self, frames: Array) -> list[Event | Transcript]:
        """Runs any number of samples (or of frames of the pipeline's input). Returns new detections or transcripts.

        When an utterance ends, its last transcript is final and the states are reset.

        Errors:
            InputError: the samples do not fit the input.
        """
        found: list[Event | Transcript] = []
        parts: list[Arrays] = []
        for piece in self.pieces(frames):
            parts.append(self.session.push(piece))
            found += self.decided(parts[-1])
            if isinstance(self.decoder, TextDecoder) and self.decoder.utterance.ended:
                parts.append(self.session.flush())
                found += [*self.decided(parts[-1]), *self.decoder.finish()]
                self.session.reset()
        self.outputs = self.behind_each_other(parts)
        if isinstance(self.decoder, TextDecoder):
            found += self.decoder.utterance.transcript(final=False)
        return found

    def flush(self) -> list[Event | Transcript]:
        """Ends the stream. Returns the last detections or transcripts."""
        self.outputs = self.session.flush()
        found = self.decided(self.outputs)
        return [*found, *self.decoder.finish()] if isinstance(self.decoder, TextDecoder) else found

    def decided(self, outputs: Arrays) -> list[Event | Transcript]:
        return [] if self.decoder is None else list(self.decoder.take(outputs))

    def pieces(self, frames: Array) -> Iterator[Array]:
        """Cuts frames where calls end, so that an utterance can end after any call, not only after a push."""
        (name, *others) = self.session.streams
        axis = self.session.streams[name].along or 0
        if others or not isinstance(frames, np.ndarray) or frames.ndim <= axis:
            yield frames
            return
        while True:
            waiting = self.session.total_frames(partly=True) - self.session.fed
            piece, frames = cut(frames, self.session.chunk - waiting, axis)
            yield piece
            if not frames.shape[axis]:
                return

    def behind_each_other(self, parts: list[Arrays]) -> Arrays:
        """The outputs of several pushes, joined along their time axes."""
        return {
            name: parts[0][name]
            if len(parts) == 1
            else np.concatenate([np.atleast_1d(p[name]) for p in parts], axis=entry.along or 0)
            for name, entry in self.session.outputs.items()
        }


class TriggerDecoder:
    """Turns the scores of all calls into detections."""

    def __init__(self, session: StreamSession, trigger: Trigger):
        self.trigger = trigger
        self.output = output_of(session, trigger.entry.score)

    def reset(self) -> None:
        self.trigger.reset()

    def take(self, outputs: Arrays) -> Iterator[Event]:
        """Yields the detections in the outputs of a push.

        Errors:
            ModelError: a call has too few scores.
        """
        entry = self.trigger.entry
        for value in values_of(outputs[entry.score], self.output):
            scores = np.ravel(value)
            if scores.size and entry.place >= scores.size:
                raise ModelError(f"a call gives {scores.size} scores, but none at index {entry.place}")
            if scores.size and self.trigger.heard(score := float(scores[entry.place])):
                yield Event(self.trigger.seconds, score)


class TextDecoder:
    """Turns the frames of an output into transcripts."""

    def __init__(
        self,
        session: StreamSession,
        entry: CtcEntry | TransducerEntry,
        output: str,
        greedy: GreedyCtc | GreedyTransducer,
    ):
        port = output_of(session, output)
        if port.along is None:
            raise ModelError(f"the output '{output}' has no frames")
        self.name, self.axis, self.greedy = output, port.along, greedy
        frame_s = (session.manifest.frame_ms or 0.0) / 1000 / float(port.pace or Fraction(1))
        if entry.endpoint_s is not None and not frame_s:
            raise ModelError("the duration of a frame is not known", hint="set stream.frame_ms, and compile again")
        self.utterance = Utterance(entry, frame_s)

    def reset(self) -> None:
        self.utterance.frames = 0
        self.begin()

    def begin(self) -> None:
        self.utterance.begin()
        self.greedy.begin()

    def take(self, outputs: Arrays) -> list[Transcript]:
        """Decodes the frames of a push. Returns an empty list: the pipeline asks for the transcript once per push."""
        for frame in np.moveaxis(outputs[self.name], self.axis, 0):
            self.utterance.frame(self.greedy.tokens(frame))
        return []

    def finish(self) -> list[Transcript]:
        """Ends the utterance and begins the next. Returns a list with the last transcript, empty without tokens."""
        found = self.utterance.transcript(final=True)
        self.begin()
        return found


def output_of(session: StreamSession, name: str) -> Any:
    """The manifest's entry of an output.

    Errors:
        ModelError: the model has no such output.
    """
    if name not in session.outputs:
        raise ModelError(f"the model gives no '{name}'")
    return session.outputs[name]


def call_seconds(session: StreamSession) -> float:
    """The duration of a call, in seconds.

    Errors:
        ModelError: the manifest does not give the duration of a frame.
    """
    if session.manifest.frame_ms is None:
        raise ModelError(
            "the duration of a frame is not known",
            hint="set stream.frame_ms in the first stage's spec, and compile again",
        )
    return session.chunk * session.manifest.frame_ms / 1000
