"""The results of running a graph at a few lengths, and the session that runs it at more lengths."""

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
    """A graph and the results of running it at a few lengths.

    Args:
        graph: the graph with its time-only conditions resolved and its local functions inlined.
        lengths: the number of frames of the first stream input, for each run.
        known: the values of constants, and of the time-only tensors that are read to compute data tensors or are
            outputs.
        shapes: the shapes of every data tensor, one for each run.
        dtypes: the dtype of every data tensor.
        time_shapes: the shapes of every time-only tensor that a node makes, one for each run.
        data: names of the tensors that depend on a stream input's values.
        static: names of the tensors that depend on static inputs or given states only.
        probe: runs the graph at more lengths.
        conditions: the names of the time-only tensors that decided which branches were taken, and how many iterations
            loops were unrolled to.
        patterns: the names of time-only tensors on which rewrites of the graph rely. The rewrites are right at each
            length at which these tensors have the same values as at the evaluated lengths.
        source: the model that was evaluated, with its functions inlined.
        feeds: the inputs of each run.
        memo: the results of rules about constants, which are computed only once.
        shared: the formulas that all walks over the graph have built, and the answers to questions about these
            formulas.
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
    """The result of one run at one length: the inputs, the values of some tensors, and the shapes of all dense ones."""

    feed: dict[str, Array]
    values: dict[str, Array]
    shapes: dict[str, tuple[int, ...]]


@dataclass
class Probe:
    """Runs a graph at given lengths, once each.

    Args:
        wanted: the names of the tensors whose values are returned.
        shaped: the names of the tensors whose shapes are returned.
        outputs: the names of the model's outputs.
        draw: draws random inputs of a length.
    """

    session: Session
    wanted: tuple[str, ...]
    shaped: tuple[str, ...]
    outputs: tuple[str, ...]
    draw: Callable[[int], dict[str, Array]]
    held: dict[int, Run] = field(default_factory=dict)

    def at(self, frames: int) -> Run:
        """Runs the graph at a length, or returns the earlier run if the probe still stores one.

        Errors:
            ModelError: onnxruntime does not run the graph.
            ValueError: an input of this length would have a fraction of a frame.
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
        """The runs at some lengths. The probe forgets all its runs afterwards."""
        runs = side_by_side(self.at, lengths)
        self.held.clear()
        return runs

    def gives_something(self, frames: int) -> bool:
        """Whether no output of the model is empty at a length.

        Errors:
            RunError: the model does not run at this length.
            ValueError: an input of this length would have a fraction of a frame.
        """
        try:
            shapes = self.at(frames).shapes
        except ModelError as err:
            raise RunError(str(err)) from err
        return all(0 not in shapes[name] for name in self.outputs if name in shapes)


def shape_name(name: str) -> str:
    return f"{name}//shape"
