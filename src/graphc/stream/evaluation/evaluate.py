"""Simplifies a graph and runs it at a few lengths, to record all shapes and the values of time-only tensors.

docs/calculus.md, "Partial evaluation": shapes, masks and positions are judged by their values, never by the nodes that
computed them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from graphc.ir.graph import Constant, Graph, Node, is_sparse, label, sorted_nodes
from graphc.ir.import_export import import_model
from graphc.ir.weights.made_weights import MadeWeights
from graphc.offline.reference import Offline
from graphc.stream.canonical.canonicalize import flatten_picks, make_plainer
from graphc.stream.canonical.decompose_attention import expand_contrib, inlined
from graphc.stream.canonical.edge_padding import pad_by_edges, pad_by_last_frames
from graphc.stream.canonical.interpolation import interpolate_by_sums
from graphc.stream.canonical.loops.frames_to_scan import stack_frames
from graphc.stream.canonical.loops.inline_subgraph import inline_branch, inline_turns
from graphc.stream.canonical.loops.loop_slices import gather_picks
from graphc.stream.canonical.loops.plain_loops import plain_loops, without_conditions
from graphc.stream.canonical.loops.sequence_to_scan import stack_sequences
from graphc.stream.canonical.loops.shifted_picks import cut_picked_frames
from graphc.stream.canonical.masked_writes import choose_by_mask
from graphc.stream.canonical.overlap_add.column_images import spread_columns
from graphc.stream.canonical.overlap_add.scatters import spread_scatters
from graphc.stream.canonical.overlap_add.single_frames import choose_frames
from graphc.stream.canonical.products import plain_products
from graphc.stream.canonical.split_sequences import slice_sequences
from graphc.stream.canonical.undo_row_fold import unfold_rows
from graphc.stream.evaluation.dependence import frontier, reachable
from graphc.stream.evaluation.probe import probe_of
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.evaluation.time_only import TimeOnly, time_only_nodes
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array, GraphConstant, TimeConstant
from graphc_runtime.errors import StreamError

LONGEST_TRIED = 100_000
MOST_DOUBLINGS = 6


def evaluate(offline: Offline, at_least: int = 1) -> Evaluation:
    """Evaluates a model at some lengths that it accepts, long enough that no data tensor is empty.

    Tensors that stay empty while lengths are doubled several times are assumed to be empty at every length.

    Args:
        at_least: the smallest number of frames that most of the lengths should have.

    Errors:
        ModelError: the graph cannot be inlined or run.
        StreamError: a condition changes with the length, or a time-only value is random.
    """
    start = Start(offline)
    first, before = start.at(offline.some_lengths(at_least)), None
    evaluation, doublings = first, 0
    while (empty := empty_in(evaluation)) and evaluation.lengths[0] <= LONGEST_TRIED:
        doublings = doublings + 1 if empty == before else 0
        if doublings == MOST_DOUBLINGS:
            return start.at(first.lengths)
        wanted, before = 2 * evaluation.lengths[0], empty
        found = offline.some_lengths(wanted)
        if found[0] < wanted:
            break
        evaluation = start.at(found)
    return evaluation


def empty_in(evaluation: Evaluation) -> set[str]:
    """The data tensors that are empty at some length."""
    return {name for name, shapes in evaluation.shapes.items() if any(0 in shape for shape in shapes)}


def evaluate_also(evaluation: Evaluation, more: tuple[int, ...]) -> Evaluation:
    """The evaluation, extended by more lengths.

    Errors:
        ModelError: the graph cannot be run.
    """
    runs = evaluation.probe.all_at(more)
    lengths = (*evaluation.lengths, *more)
    known: dict[str, TimeConstant] = {}
    for name, held in evaluation.known.items():
        if isinstance(held, GraphConstant):
            known[name] = GraphConstant(held.load, len(lengths))
        else:
            known[name] = TimeConstant((*held.values, *(run.values[name] for run in runs)), name)

    def longer(shapes: Mapping[str, tuple[tuple[int, ...], ...]]) -> dict[str, tuple[tuple[int, ...], ...]]:
        return {name: (*sizes, *(run.shapes[name] for run in runs)) for name, sizes in shapes.items()}

    return replace(
        evaluation,
        lengths=lengths,
        known=known,
        shapes=longer(evaluation.shapes),
        time_shapes=longer(evaluation.time_shapes),
        feeds=(*evaluation.feeds, *(run.feed for run in runs)),
        memo={key: held for key, held in evaluation.memo.items() if key[0] == "mover"},
    )


class Start:
    """A model's graph, which is simplified as far as the shapes at the evaluated lengths allow."""

    def __init__(self, offline: Offline):
        self.offline = offline
        offline.release_session()
        self.model = inlined(offline.model)
        self.graph = import_model(self.model)
        self.conditions: list[str] = []
        self.patterns: list[str] = []
        self.made = MadeWeights(known=offline.made_weights)
        self.prepare()

    def prepare(self) -> None:
        """Creates the session that runs the graph in its current form.

        The offline model also uses this session, to test which lengths work.
        """
        graph = self.graph
        graph.nodes = sorted_nodes(graph)
        self.data, self.static = reachable(graph, self.offline)
        carried = self.data | self.static
        self.branches = {n.inputs[0].name: n for n in graph.nodes if n.op == "If" and n.inputs[0].name not in carried}
        self.made.work_out(graph, self.model, self.offline.is_large)
        wanted = (frontier(graph, carried) | set(self.branches)) - set(self.made.values)
        self.probe, self.dtypes = probe_of(graph, self.model, wanted, carried, self.made, self.offline)
        self.offline.tester = self.probe.gives_something

    def at(self, lengths: tuple[int, ...]) -> Evaluation:
        graph = self.graph
        while True:
            carried = self.data | self.static
            runs = self.probe.all_at(lengths)
            found = {name: tuple(run.shapes[name] for run in runs) for name in self.probe.shaped}
            shapes = {name: sizes for name, sizes in found.items() if name in carried}
            values = [run.values for run in runs]
            known: dict[str, TimeConstant] = {
                name: TimeConstant(tuple(run[name] for run in values), name) for name in self.probe.wanted
            }
            known |= {
                n: GraphConstant(partial(self.made.values.__getitem__, n), len(lengths)) for n in self.made.values
            }
            all_shapes = {**shapes, **{name: tuple(run[name].shape for run in values) for name in self.probe.wanted}}
            all_shapes |= {name: (value.shape,) * len(lengths) for name, value in self.made.values.items()}
            rewritten = (
                make_plainer(graph, all_shapes)
                or choose_by_mask(graph, all_shapes, self.dtypes)
                or slice_sequences(graph, shapes)
                or unfold_rows(graph, shapes)
                or stack_sequences(graph, shapes, values)
                or plain_loops(graph)
                or self.relying(without_conditions(graph, values))
                or self.without_short_loop(shapes, carried)
                or flatten_picks(graph, shapes, values)
                or self.by_pattern(shapes, found, all_shapes, values)
                or gather_picks(graph)
                or expand_contrib(graph, shapes, values[0])
                or plain_products(graph, shapes, values[0], self.dtypes)
            )
            if not self.branches and not rewritten:
                break
            self.conditions += self.branches
            for name, node in self.branches.items():
                inline_branch(graph, node, bool(condition_of(node, graph, known, name)))
            self.prepare()
        known |= {t.name: known_constant(t, len(lengths)) for t in dense_constants(graph)}
        return Evaluation(
            graph,
            lengths,
            known,
            shapes,
            {name: dtype for name, dtype in self.dtypes.items() if name in shapes},
            frozenset(self.data),
            frozenset(self.static),
            self.probe,
            conditions=tuple(self.conditions),
            patterns=tuple(self.patterns),
            source=self.model,
            feeds=tuple(run.feed for run in runs),
            time_shapes={name: sizes for name, sizes in found.items() if name not in shapes},
        )

    def without_short_loop(self, shapes: Shapes, carried: set[str]) -> bool:
        """Unrolls the first Loop with few iterations, such as one over the batch; returns whether there was one."""
        decides = inline_turns(self.graph, shapes, carried)
        self.conditions += decides or ()
        return decides is not None

    def by_pattern(
        self, shapes: Shapes, found: Shapes, all_shapes: Shapes, values: Sequence[Mapping[str, Array]]
    ) -> bool:
        """Rewrites a node that writes, repeats or interpolates frames in a known pattern; returns whether it did."""
        graph, dtypes = self.graph, self.dtypes
        rewrites: list[Callable[[], list[str] | None]] = [
            lambda: pad_by_edges(graph, shapes),
            lambda: spread_scatters(graph, shapes, values, dtypes),
            lambda: choose_frames(graph, shapes, values, dtypes),
            lambda: spread_columns(graph, found),
            lambda: pad_by_last_frames(graph, shapes, values),
            lambda: interpolate_by_sums(graph, shapes, dtypes),
            lambda: stack_frames(graph, all_shapes, values, dtypes),
            lambda: cut_picked_frames(graph, shapes, values),
        ]
        return any(self.relying(rewrite()) for rewrite in rewrites)

    def relying(self, names: list[str] | None) -> bool:
        """Notes what a rewrite relies on; returns whether it was made."""
        self.patterns += names or ()
        return names is not None


def values_of(evaluation: Evaluation, *names: str) -> dict[str, TimeConstant]:
    """The values of time-only tensors, and of all time-only tensors from which they are computed, by name.

    Errors:
        ModelError: onnxruntime cannot run the nodes that compute these tensors.
    """
    made = {t.name for n in time_only_nodes(evaluation, names) for t in n.outputs if t.name}
    time = TimeOnly(evaluation, sorted(made))
    return {name: TimeConstant(values, name) for name, values in time.values(list(time.types)).items()}


def condition_of(node: Node, graph: Graph, known: Mapping[str, TimeConstant], name: str) -> Array:
    tensor = node.inputs[0]
    if isinstance(tensor, Constant):
        return np.asarray(tensor.values)
    steady = known[name].steady
    if steady is None:
        raise StreamError(
            "its condition depends on the length of the whole stream",
            node=label(node),
            hint="export the model with only the branch that your streams take",
        )
    return steady


def dense_constants(graph: Graph) -> list[Constant]:
    return [t for t in graph.tensors().values() if isinstance(t, Constant) and not is_sparse(t)]


def known_constant(tensor: Constant, count: int) -> TimeConstant:
    held = tensor._values
    return GraphConstant((lambda: held) if isinstance(held, np.ndarray) else held.load, count)
