"""Greedy decoding of an encoder's frames by a predictor and a joiner (recurrent neural network transducer)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.pipeline.manifest import TransducerEntry
from graphc_runtime.pipeline.network import Network

Array = NDArray[Any]


class GreedyTransducer:
    """For each frame, takes the likeliest token given the tokens so far, repeatedly until a blank (Graves, 2012).

    Args:
        entry: the names of the ports, the blank token, and the largest number of tokens per frame.
        networks: the stages by name.

    Errors:
        ModelError: a stage lacks a port, or has an input that nothing fills.
    """

    def __init__(self, entry: TransducerEntry, networks: dict[str, Network]):
        self.entry = entry
        self.joiner = networks[entry.joiner.stage]
        inside = entry.joiner.token
        self.joiner.check([n for n in (entry.joiner.encoder, entry.joiner.predictor, inside) if n], entry.joiner.output)
        self.predictor = None if entry.predictor is None else networks[entry.predictor.stage]
        if self.predictor is not None and entry.predictor is not None:
            self.predictor.check([entry.predictor.token], entry.predictor.output)
            self.context = self.predictor.entries(entry.predictor.token)
        else:
            self.context = self.joiner.entries(str(inside))
        self.begin()

    def begin(self) -> None:
        """Begins another utterance."""
        start = self.entry.blank if self.entry.start is None else self.entry.start
        self.last = [start] * self.context
        self.joined = dict(self.joiner.first)
        self.carried: dict[str, Array] = {} if self.predictor is None else dict(self.predictor.first)
        self.predict()

    def predict(self) -> None:
        """Runs the predictor on the last tokens, and stores its output and its states."""
        if self.predictor is None or self.entry.predictor is None:
            return
        ports = self.entry.predictor
        feeds = {ports.token: self.predictor.filled(ports.token, self.last)}
        self.predicted, self.carried = self.predictor.run(feeds, self.carried, ports.output)

    def tokens(self, frame: Array) -> list[int]:
        """Decodes the next encoder frame. Returns its tokens: none for a blank."""
        ports, found = self.entry.joiner, []
        heard = self.joiner.filled(ports.encoder, frame)
        for _ in range(self.entry.most_symbols):
            feeds = {ports.encoder: heard}
            if ports.predictor is not None:
                feeds[ports.predictor] = self.joiner.filled(ports.predictor, self.predicted)
            if ports.token is not None:
                feeds[ports.token] = self.joiner.filled(ports.token, self.last)
            scores, after = self.joiner.run(feeds, self.joined, ports.output)
            token = int(np.argmax(scores))
            if token == self.entry.blank:
                break
            found.append(token)
            self.joined, self.last = after, [*self.last[1:], token]
            self.predict()
        return found
