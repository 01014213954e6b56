"""Quantizes weights, activations and states, within a stated loss of accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from graphc_passes._front_ends.front_end import makes_features
from graphc_passes._quantize.blocks.products import BlockedWeights, check_blocks, products_of
from graphc_passes._quantize.calibration import ranges_seen, streams_of
from graphc_passes._quantize.chunk_dependence import chunk_dependence
from graphc_passes._quantize.decompose_gemm import is_scaled, named, plain_products, products_and_sums, unfused_products
from graphc_passes._quantize.dynamic import dynamic
from graphc_passes._quantize.mixed.mixed_bits import raised_for_budget
from graphc_passes._quantize.mixed.mixed_precision import left_for_budget
from graphc_passes._quantize.onnxruntime_tools import with_ports_of
from graphc_passes._quantize.options import QuantizeOptions
from graphc_passes._quantize.quantize_states import narrow_states, states_to_see
from graphc_passes._quantize.static import observed, static
from graphc_passes._quantize.unquantized_report import INTEGER_LSTM, left_in_float
from graphc_passes._quantize.weight_only import by_channel

from graphc.api import (
    Constant,
    Model,
    OpSet,
    Pass,
    PassContext,
    PassError,
    PassResult,
    ToleranceSpec,
    nearest,
    recording_files,
    register_pass,
    second_moments,
    sorted_nodes,
)

if TYPE_CHECKING:
    from graphc.api import Seen

INTEGER_GEMM = "com.microsoft::QGemm"
INTEGER_WEIGHTS = ("int8", "uint8", "int4", "uint4")


@register_pass
class Quantize(Pass[QuantizeOptions]):
    """Stores weights as integers of 8 or 4 bits and, where it is faster, multiplies in integers.

    What it does:
        ``mode: dynamic`` runs onnxruntime's dynamic quantizer on MatMul, Gemm, LSTM and Attention: activations are
        quantized in each call. ``mode: static`` first streams the calibration sequences, chunk by chunk with states
        carried, and quantizes activations with the ranges observed there. ``mode: weight_only`` stores weights in fewer
        bits and computes in float. A weight of any op gets one scale per channel and a DequantizeLinear. With
        ``block``, a weight of MatMul or Gemm gets one scale per block of a channel, and may also be int4. ``states``
        stores caches in fewer bits too, with the ranges observed in calibration, one per head or channel.
        ``budget: {snr_db: 30}`` measures the error of each node on the calibration streams, first alone, then together
        with others. It leaves in float the nodes that have to stay there to reach this signal-to-noise ratio. The
        report lists everything that stays in float, with the reason.

    Why:
        A quarter of the size, and less time if the weights did not fit into the CPU's cache.

    Example:
        passes:
          - quantize:
              mode: static
              calibration: {paths: [recordings/], method: percentile}
              exclude_nodes: [/head/MatMul]
              tolerance: {snr_db: 20}

    Limits:
        Not exact: give the pass a tolerance of its own. Dynamic scales of activations are computed for each call, so
        they depend on the chunk, and batches of streams with their own clocks are refused. Static scales do not depend
        on the chunk. Random calibration streams are no substitute for recordings. Conv stays in float unless ``ops``
        names it: onnxruntime's ConvInteger is several times slower than its float Conv. onnxruntime has no integer form
        of GRU and RNN, and only a dynamic one of LSTM. weight_only makes all three smaller.
    """

    name = "quantize"
    Config = QuantizeOptions
    tolerance = ToleranceSpec(snr_db=20.0)

    def reads(self, config: QuantizeOptions) -> list[str]:
        return config.calibration.paths

    def run(self, model: Model, config: QuantizeOptions, context: PassContext) -> PassResult:
        before = integer_weights(model)
        names = {n.name for n in model.graph.nodes}
        missing = [n for n in config.exclude_nodes if n not in names]
        if missing:
            near = (
                nearest(missing[0], sorted(names))
                or "an earlier pass may have renamed it; the output model has the current names"
            )
            raise PassError(f"quantize.exclude_nodes: there is no node '{missing[0]}'", hint=near)
        if config.mode == "dynamic" and model.signature is not None and (model.signature.streams or 1) > 1:
            raise PassError(
                "quantize.mode: dynamic uses one scale for a whole call, so each stream of the batch would change "
                "the others",
                hint="use mode: static or weight_only, or a batch of one",
            )
        if context.offline is not None:
            recording_files(config.calibration.paths, context.folder)
        if config.block is not None:
            check_blocks(model, config, context.target)
        named(model)
        unfused_products(model)
        excluded = [*config.exclude_nodes, *unfit(model, config, context.target)]
        prepare(model, config, excluded, context.target)
        notes: list[str] = []
        tensors = states_to_see(model, config)
        tensors += observed(model, config.chosen_ops) if config.mode == "static" else []
        calibrated = config.block is not None and config.rounding == "calibrated"
        needed = tensors or config.budget or calibrated
        streams = streams_of(model, config.calibration, context, notes) if needed else None
        products = products_of(model, excluded) if config.block is not None else []
        blocks = BlockedWeights(config, context.target, frozenset(n.name for n in products))
        if calibrated and streams is not None:
            draft = model.with_proto(model.proto())
            moments = partial(second_moments, streams=streams, progress=context.progress)
            blocks.calibrate(draft, moments)
        seen = ranges_seen(model, tensors, config.calibration, streams, context) if tensors and streams else {}
        by_budget: list[str] = []
        raised: frozenset[str] = frozenset()
        if config.budget is not None and streams is not None and blocks.has_more_bits:

            def with_raised(names: frozenset[str]) -> Model:
                return quantized(model, config, excluded, seen, context.target, blocks, names)

            chosen = raised_for_budget(products, model, config, with_raised, streams, context)
            raised = chosen.nodes
            notes += chosen.notes
        elif config.budget is not None and streams is not None:

            def tried(left: list[str]) -> Model:
                made = quantized(model, config, left, seen, context.target, blocks)
                narrow_states(made, config, seen, context.target)
                made.graph.nodes = sorted_nodes(made.graph)
                return made

            found = left_for_budget(model, config, excluded, tried, streams, context)
            by_budget = found.excluded
            notes += found.notes
        result = quantized(model, config, [*excluded, *by_budget], seen, context.target, blocks, raised)
        if config.mode == "dynamic":
            notes += chunk_dependence(result, config, context)
        notes += narrow_states(result, config, seen, context.target)
        result.graph.nodes = sorted_nodes(result.graph)
        left = left_in_float(result, config, by_budget, context.target)
        counts = {"weights in float": len(left), "weights in integers": integer_weights(result)}
        made = PassResult(result, [*notes, *left], counts)
        if counts["weights in integers"] == before and config.states is None:
            why = f": {left[0]}" if left else ": it has no weights of two axes"
            made.warnings.append(f"nothing was quantized{why}{' (-v lists the others)' if len(left) > 1 else ''}")
        return made


def quantized(
    model: Model,
    config: QuantizeOptions,
    excluded: list[str],
    seen: Mapping[str, Seen],
    target: OpSet,
    blocks: BlockedWeights,
    raised: frozenset[str] = frozenset(),
) -> Model:
    """The model with its weights in integers, except those of excluded nodes."""
    before = model.proto()
    if config.mode == "dynamic":
        made = dynamic(before, config, excluded)
    elif config.mode == "static":
        made = static(before, config, excluded, seen, target)
    else:
        result = model.with_proto(before)
        if config.block is not None:
            blocks.put_in(result, [n for n in result.graph.nodes if n.name not in excluded], raised)
        else:
            by_channel(result, config, excluded)
        result.graph.nodes = sorted_nodes(result.graph)
        return result
    return model.with_proto(with_ports_of(made, before))


def prepare(model: Model, config: QuantizeOptions, excluded: list[str], target: OpSet) -> None:
    """Rewrites products into the form that onnxruntime's quantizers support. Changes the model in place."""
    if config.mode == "weight_only" and config.block is None:
        return
    plain_products(model, excluded)
    if makes_products(config, target) and "Gemm" in config.chosen_ops:
        products_and_sums(model)
    model.graph.nodes = sorted_nodes(model.graph)


def makes_products(config: QuantizeOptions, target: OpSet) -> bool:
    """Whether only MatMul, and not Gemm, can be quantized with these options on this target."""
    operators = config.mode == "static" and config.form == "operator" and not target.has(INTEGER_GEMM)
    return config.mode == "dynamic" or config.block is not None or operators


def unfit(model: Model, config: QuantizeOptions, target: OpSet) -> list[str]:
    """The names of the nodes that must not be quantized.

    These are nodes with a constant that is not finite float32; MatMuls by a constant of more than two axes, for which
    the quantizers make nodes that do not run; all MatMuls, if only Gemm is to be quantized; LSTMs, if the target does
    not run their integer form; and front ends, whose powers span more decades than integers.
    """
    floats = ["LSTM"] if config.mode == "dynamic" and not target.has(INTEGER_LSTM) else []
    every = makes_products(config, target) and "MatMul" not in config.chosen_ops
    found: list[str] = []
    for node in model.graph.nodes:
        weight = node.inputs[1] if len(node.inputs) > 1 and isinstance(node.inputs[1], Constant) else None
        other = weight is not None and (weight.dtype != np.float32 or not np.isfinite(weight.values).all())
        other = other or (weight is None and node.op == "Gemm" and is_scaled(node))
        deep = node.op == "MatMul" and weight is not None and len(weight.shape) > 2
        if config.mode == "weight_only":
            other = deep = False
        unfitting = node.op in config.chosen_ops and (other or deep)
        kept = node.op in floats or (every and node.op == "MatMul") or makes_features(node.name)
        if kept or unfitting:
            found.append(node.name)
    return found


def integer_weights(model: Model) -> int:
    """The number of integer weights of a model with at least two axes, which excludes scales and zero points."""
    weights = {t.name: t for n in model.graph.nodes for t in n.inputs if isinstance(t, Constant)}
    return sum(str(np.dtype(t.dtype)) in INTEGER_WEIGHTS and len(t.shape) >= 2 for t in weights.values())
