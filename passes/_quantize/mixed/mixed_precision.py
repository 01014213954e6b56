"""Finds by measurement which nodes stay in float, so that the stream keeps its signal-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from graphc_passes._quantize.mixed.measurements import Measurements, Outputs, least_snr, noise_of
from graphc_passes._quantize.mixed.weight_groups import WeightGroup
from graphc_passes._quantize.options import QuantizeOptions
from graphc_passes._quantize.weight_only import WEIGHT_INPUTS

import graphc.api as api
from graphc.api import Constant, Model, PassContext, PassError, is_float, static_shapes

if TYPE_CHECKING:
    from graphc.api import Streams

MOST_SINGLE_TRIES = 24
HOPELESS = 2.0


def groups_of(model: Model, config: QuantizeOptions, excluded: Sequence[str]) -> list[WeightGroup]:
    """The nodes that ``config.mode`` could quantize, grouped by the weight that they share."""
    by_weight: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    shapes = static_shapes(model)
    rows: dict[str, int] = {}
    for node in model.graph.nodes:
        if node.op not in config.chosen_ops or node.name in excluded:
            continue
        held = [node.inputs[i] for i in WEIGHT_INPUTS.get(node.op, (1,)) if i < len(node.inputs)]
        weights = [t for t in held if isinstance(t, Constant) and is_float(t) and len(t.shape) > 1]
        if not weights:
            continue
        key = weights[0].name
        by_weight.setdefault(key, []).append(node.name)
        sizes[key] = sum(math.prod(t.shape) for t in weights)
        shape = [d for d in shapes.get(node.outputs[0].name) or [] if isinstance(d, int)]
        rows[key] = rows.get(key, 0) + math.prod(shape[:-1] or [1])
    return [WeightGroup(tuple(names), sizes[key], sizes[key] * rows[key]) for key, names in by_weight.items()]


class Search:
    """Searches for the groups that become integers: measures each group alone, then greedily several together.

    Args:
        groups: the nodes that may be quantized, by group.
        measured: returns the SNR in dB of the model with these groups in integers.
    """

    def __init__(self, groups: Sequence[WeightGroup], measured: Callable[[Sequence[WeightGroup]], float]):
        self.groups, self.measured = groups, measured
        self.alone: dict[str, float] = {}

    def chosen(self, snr_db: float, prefer: str, progress: Callable[[int, int], None]) -> list[WeightGroup]:
        """The groups that can be in integers while the SNR stays at least ``snr_db``.

        If not all of them can, the groups are sorted by the noise of each group alone, divided by what it saves:
        weights, or multiply-adds in a call. As many groups as possible are taken from the start of this order, then
        single groups from the rest.
        """
        if self.measured(self.groups) >= snr_db:
            return list(self.groups)
        total = len(self.groups) + math.ceil(math.log2(len(self.groups) + 1)) + MOST_SINGLE_TRIES
        for done, group in enumerate(self.groups):
            self.alone[group.name] = self.measured([group])
            progress(done + 1, total)

        def harm(group: WeightGroup) -> float:
            saved = group.elements if prefer == "size" else group.products
            return noise_of(self.alone[group.name]) / max(saved, 1)

        order = sorted(self.groups, key=harm)
        low, high = 0, len(order)
        while low < high - 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.measured(order[:middle]) >= snr_db else (low, middle)
            progress(len(self.groups) + 1, total)
        kept = list(order[:low])
        allowed = HOPELESS * noise_of(snr_db)
        candidates = [g for g in order[low:] if noise_of(self.alone[g.name]) <= allowed][:MOST_SINGLE_TRIES]
        for done, group in enumerate(candidates):
            if self.measured([*kept, group]) >= snr_db:
                kept.append(group)
            progress(total - len(candidates) + done + 1, total)
        return kept


@dataclass(frozen=True)
class Found:
    """The names of the nodes that stay in float, and lines for the report."""

    excluded: list[str]
    notes: list[str]


def left_for_budget(
    model: Model,
    config: QuantizeOptions,
    excluded: Sequence[str],
    quantized: Callable[[list[str]], Model],
    streams: Streams,
    context: PassContext,
) -> Found:
    """The nodes that have to stay in float for ``quantize.budget``.

    Args:
        quantized: returns the quantized model with the named nodes left in float.
        streams: the streams on which the SNR against the float model is measured.
    """
    budget = config.budget
    assert budget is not None
    whole_streams, streams = streams, replace(streams, feeds=streams.feeds[: budget.sequences])
    groups = groups_of(model, config, excluded)
    names = [n for g in groups for n in g.nodes]
    whole_want = api.outputs_on(model, whole_streams)
    want = whole_want[: budget.sequences]
    table = Measurements.opened(model.proto(), config, context)

    def kept_by(inside: Set[str], on: Streams, exact: Outputs) -> float:
        left = [*excluded, *(n for n in names if n not in inside)]
        return least_snr(exact, api.outputs_on(quantized(left), on))

    def measured(chosen: Sequence[WeightGroup]) -> float:
        inside = {n for g in chosen for n in g.nodes}
        key = sha256("\n".join(sorted(inside)).encode()).hexdigest()

        def measure() -> float:
            return kept_by(inside, streams, want)

        return table.value(key, measure)

    def everywhere(chosen: Sequence[WeightGroup]) -> float:
        return kept_by({n for g in chosen for n in g.nodes}, whole_streams, whole_want)

    search = Search(groups, measured)
    chosen = search.chosen(budget.snr_db, budget.prefer, context.progress)
    while (together := everywhere(chosen)) < budget.snr_db and chosen:
        chosen.pop()
    if together < budget.snr_db:
        raise PassError(
            f"quantize.budget: even with every weight in float the SNR is {together:.1f} dB, below {budget.snr_db:g} "
            "dB",
            hint="leave quantize.states out, name only ops with weights in quantize.ops, or lower snr_db",
        )
    kept = {g.name for g in chosen}
    inside = sum(g.elements for g in groups if g.name in kept)
    whole = sum(g.elements for g in groups)
    notes = [
        f"{inside / max(whole, 1):.1%} of the weights in integers for {budget.snr_db:g} dB, {budget.prefer} first; "
        f"together {together:.1f} dB on all {len(whole_streams.feeds)} calibration streams"
    ]
    if not search.alone:
        notes.append("with all of them in integers the SNR is high enough, so none was measured alone")
    for group in sorted((g for g in groups if g.name in search.alone), key=lambda g: search.alone[g.name]):
        state = "integers" if group.name in kept else "float"
        notes.append(f"{group.name}: {search.alone[group.name]:.1f} dB alone, {group.elements} weights: {state}")
    left = [n for g in groups if g.name not in kept for n in g.nodes]
    return Found(left, notes)
