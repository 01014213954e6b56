"""A graph run at a few lengths: the results, and the session that runs it at more lengths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import onnx

from graphc.ir.graph import Graph
from graphc.ir.ort_session import Session
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.symbolic.formulas import Shared
from graphc.system.parallel import side_by_side
from graphc_runtime.errors import ModelError, RunError


@dataclass(frozen=True)
class Evaluation:
    """A graph run at a few lengths.

    Args:
        graph: the graph with its time-only conditions resolved and its local functions inlined.
        lengths: frames of the first stream input, for each run.
        known: the time-only tensors that nodes of data read, or that are outputs.
        shapes: the shape of every tensor of data, one for each run.
        dtypes: the dtype of every tensor of data.
        time_shapes: the shape of every time-only tensor that a node makes, one for each run.
        data: names of the tensors that depend on a stream input's values.
        static: names of the tensors that depend on static inputs or given states only.
        probe: runs the graph at more lengths.
        conditions: the time-only tensors that decided which branches were taken, and how often loops turn.
        patterns: the time-only tensors that are the same at every length where the rewrites of the graph are right.
        source: the model that was evaluated, with its functions inlined.
        feeds: the inputs of each run.
        memo: what rules found out about constants.
        shared: the formulas of all walks over the model, and the answers to questions about them.
    """

    graph: Graph
    lengths: tuple[int, ...]
    known: Mapping[str, TimeConstant]
    shapes: Mapping[str, tuple[tuple[int, ...], ...]]
    dtypes: Mapping[str, np.dtype[np.generic]]
    data: frozenset[str]
    static: frozenset[str]
    probe: Probe = field(repr=False)
    conditions: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    source: onnx.ModelProto = field(default_factory=onnx.ModelProto, repr=False)
    feeds: tuple[dict[str, Array], ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict)
    time_shapes: Mapping[str, tuple[tuple[int, ...], ...]] = field(default_factory=dict)
    shared: Shared = field(default_factory=Shared, repr=False)

    @cached_property
    def carried(self) -> frozenset[str]:
        """Names of all tensors that are not time-only."""
        return self.data | self.static


@dataclass(frozen=True)
class Run:
    """A graph at one length: its inputs, values of some tensors, and the shapes of all dense ones."""

    feed: dict[str, Array]
    values: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]


@dataclass
class Probe:
    """Runs a graph at given lengths, once each.

    Args:
        wanted: the tensors whose values are returned.
        shaped: the tensors whose shapes are returned.
        outputs: the outputs of the model.
        draw: makes the inputs for a length.
    """

    session: Session
    wanted: tuple[str, ...]
    shaped: tuple[str, ...]
    outputs: tuple[str, ...]
    draw: Callable[[int], dict[str, Array]]
    held: dict[int, Run] = field(default_factory=dict)

    def at(self, frames: int) -> Run:
        """The run at a length.

        Errors:
            ModelError: onnxruntime does not run the graph.
            ValueError: an input would have a fraction of a frame.
        """
        if frames not in self.held:
            names, feed = set(self.session.input_names), self.draw(frames)
            try:
                run = self.session.run({k: v for k, v in feed.items() if k in names})
            except RunError as err:
                raise ModelError(f"onnxruntime cannot run the offline model: {err}") from err
            values = {name: np.asarray(run[name]) for name in self.wanted}
            shapes = {name: tuple(int(d) for d in run[shape_name(name)]) for name in self.shaped}
            self.held[frames] = Run(feed, values, shapes)
        return self.held[frames]

    def all_at(self, lengths: Sequence[int]) -> list[Run]:
        """The runs at some lengths. Afterwards the probe holds no runs."""
        runs = side_by_side(self.at, lengths)
        self.held.clear()
        return runs

    def gives_something(self, frames: int) -> bool:
        """Whether no output of the model is empty at a length.

        Errors:
            RunError: the model does not run there.
            ValueError: an input would have a fraction of a frame.
        """
        try:
            shapes = self.at(frames).shapes
        except ModelError as err:
            raise RunError(str(err)) from err
        return all(0 not in shapes[name] for name in self.outputs if name in shapes)


def shape_name(name: str) -> str:
    return f"{name}//shape"
