"""Finds which weights need 8 bits while the others have 4, so that the stream keeps its signal-to-noise ratio."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING

from graphc_passes._quantize.mixed.measurements import Measurements, Outputs, least_snr, noise_of
from graphc_passes._quantize.mixed.weight_groups import WeightGroup
from graphc_passes._quantize.options import QuantizeOptions

import graphc.api as api
from graphc.api import Model, Node, PassContext, PassError

if TYPE_CHECKING:
    from graphc.api import Streams

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Raised:
    """The names of the products whose weights get 8 bits, and lines for the report."""

    nodes: frozenset[str]
    notes: list[str]


def groups_of(nodes: Sequence[Node]) -> list[WeightGroup]:
    by_weight: dict[str, list[Node]] = {}
    for node in nodes:
        by_weight.setdefault(node.inputs[1].name, []).append(node)
    return [
        WeightGroup(tuple(n.name for n in held), int(held[0].inputs[1].shape[0]) * int(held[0].inputs[1].shape[1]))
        for held in by_weight.values()
    ]


def chosen(
    groups: Sequence[WeightGroup], measured: Callable[[Sequence[WeightGroup]], float], snr_db: float, progress: Progress
) -> tuple[list[WeightGroup], dict[WeightGroup, float]]:
    """The groups that need 8 bits to reach ``snr_db``, and the SNR in dB with each group alone in 8 bits.

    Groups are chosen in the order of the noise that 8 bits remove per weight. The SNRs are empty if no group needs 8
    bits.

    Args:
        measured: returns the SNR in dB of the model with these groups in 8 bits and all others in 4.

    Errors:
        PassError: 8 bits everywhere are not enough.
    """
    lowest = measured([])
    if lowest >= snr_db:
        return [], {}
    highest = measured(groups)
    if highest < snr_db:
        raise PassError(
            f"quantize.budget: even with every weight in 8 bits the SNR is {highest:.1f} dB, below {snr_db:g} dB",
            hint="lower snr_db, or set weights: int8, with which the budget may leave weights in float",
        )
    total = len(groups) + max(len(groups) - 1, 1).bit_length()
    done = itertools.count(1)

    def measured_alone(group: WeightGroup) -> float:
        found = measured([group])
        progress(next(done), total)
        return found

    alone = dict(zip(groups, api.side_by_side(measured_alone, groups), strict=True))
    order = sorted(groups, key=lambda g: (noise_of(alone[g]) - noise_of(lowest)) / g.elements)
    low, high = 0, len(order)
    while low < high - 1:
        middle = (low + high) // 2
        low, high = (low, middle) if measured(order[:middle]) >= snr_db else (middle, high)
        progress(total, total)
    return order[:high], alone


def raised_for_budget(
    nodes: Sequence[Node],
    model: Model,
    config: QuantizeOptions,
    quantized: Callable[[frozenset[str]], Model],
    streams: Streams,
    context: PassContext,
) -> Raised:
    """The products that need 8 bits for ``quantize.budget``.

    Args:
        nodes: the products whose weights are to be in blocks.
        quantized: returns the model with the weights of the named products in 8 bits and all others in 4.
        streams: the streams on which the SNR against the float model is measured.

    Errors:
        PassError: 8 bits everywhere are not enough.
    """
    budget = config.budget
    assert budget is not None
    few = replace(streams, feeds=streams.feeds[: budget.sequences])
    everywhere = api.outputs_on(model, streams)
    want = everywhere[: budget.sequences]
    table = Measurements.opened(model.proto(), config, context)
    groups = groups_of(nodes)

    def ratio(raised: Sequence[WeightGroup], on: Streams, exact: Outputs) -> float:
        return least_snr(exact, api.outputs_on(quantized(names_of(raised)), on))

    def measured(raised: Sequence[WeightGroup]) -> float:
        key = sha256("\n".join(sorted(names_of(raised))).encode()).hexdigest()
        return table.value(f"8 bits: {key}", lambda: ratio(raised, few, want))

    found, alone = chosen(groups, measured, budget.snr_db, context.progress)
    rest = [g for g in groups if g not in found]
    while (together := ratio(found, streams, everywhere)) < budget.snr_db and rest:
        found.append(rest.pop())
    inside = sum(g.elements for g in found) / max(sum(g.elements for g in groups), 1)
    notes = [
        f"{inside:.1%} of the weights in 8 bits, the others in 4, for {budget.snr_db:g} dB; together {together:.1f} dB "
        f"on all {len(streams.feeds)} calibration streams"
    ]
    notes += [
        f"{group.nodes[0]}: {snr:.2f} dB with it alone in 8 bits: {8 if group in found else 4} bits"
        for group, snr in sorted(alone.items(), key=lambda entry: -entry[1])
    ]
    return Raised(names_of(found), notes)


def names_of(groups: Sequence[WeightGroup]) -> frozenset[str]:
    return frozenset(name for group in groups for name in group.nodes)
