"""Reshape and Flatten: the time axis keeps its frames, or frames are stacked or unstacked, which changes the rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphc.errors import TooShortError
from graphc.ir.graph import Node, Tensor, label
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import WINDOW_HINT
from graphc.stream.lowering.rule import stream_rule
from graphc_runtime.errors import StreamError


@stream_rule("Reshape", "Flatten")
def reshape(node: Node, facts: Facts) -> Lowering:
    """The new time axis is found from the offline shapes before and after."""
    x = facts.only_stream()
    befores, afters = facts.input_shapes[0], facts.output_shapes[0]
    axis, mul, div = place_of_time(facts, x, befores, afters)
    if x.delay < 0 and (mul, div) != (1, 1):
        x = x.at(0)
    delay = x.delay
    if div > 1 and delay % div:
        delay = math.ceil(delay / div) * div
    aligned = x.at(delay)
    frames = facts.frames(x)
    if frames * mul % div:
        facts.misfit(div, x, f"stacks {div} frames into one, but a chunk has {frames} frames here")
    out = facts.out(aligned, axis, delay=delay * mul // div, length=x.length.then(mul, 0, div))
    source = facts.stream()
    shape = [frames * mul // div if a == axis else size for a, size in enumerate(out.shape)]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, delay)
        return [b.one("Reshape", chunk, b.constant(shape), hint="reshaped")]

    return Lowering((out,), emit, local=True)


def place_of_time(
    facts: Facts, x: Stream, befores: Sequence[tuple[int, ...]], afters: Sequence[tuple[int, ...]]
) -> tuple[int, int, int]:
    """The output's stream axis, and the output frames for each input frame as mul / div: (axis, mul, div).

    Elements of one input frame lie ``inner`` apart from those of the next. An output axis is time if its stride is a
    divisor or a multiple of ``inner``, if the axes before it have the same total size as the axes before the input's
    time axis, and if its size is in the same proportion to the frames at every length.
    """
    candidates: list[tuple[int, int, int]] = []
    before = befores[0]
    outer, inner = math.prod(before[: x.axis]), math.prod(before[x.axis + 1 :])
    for axis in range(len(afters[0])):
        ratios = {ratio_at(axis, new, outer, inner, old[x.axis]) for old, new in zip(befores, afters, strict=True)}
        if len(ratios) == 1 and (ratio := ratios.pop()) is not None:
            candidates.append((axis, *ratio))
    varying = [c for c in candidates if len({s[c[0]] for s in afters}) > 1]
    plain = [c for c in candidates if c[1:] == (1, 1)]
    if len(set(candidates)) > len(varying) == 0 and len(befores) > 1 and not facts.longest:
        raise TooShortError(
            f"reshapes {list(before)} to {list(afters[0])}: at the lengths evaluated, several axes could be time",
            max(facts.lengths),
            label(facts.node),
            "keep time on an axis of its own",
        )
    found = varying or plain or candidates
    if len(set(found)) != 1:
        fit = [c for c in found if c[1:] == (1, 1)]
        if len(fit) != 1:
            refuse_folded_statistics(facts)
            what = "in which several axes could be time" if found else "which folds time into another axis"
            facts.refuse(
                f"reshapes {list(before)} to {list(afters[0])}, {what}",
                "keep time on an axis of its own; if the model has a batch axis, set stream.batch to 1",
            )
        found = fit
    axis, mul, div = found[0]
    if not varying and (mul, div) != (1, 1) and before[x.axis] in (s for a, s in enumerate(afters[0]) if a != axis):
        facts.refuse(
            f"reshapes {list(before)} to {list(afters[0])}: at the one length evaluated, it may move or stack frames",
            "export the model so that it runs at more than one length",
        )
    return found[0]


def ratio_at(axis: int, shape: tuple[int, ...], outer: int, inner: int, frames: int) -> tuple[int, int] | None:
    """Frames of an output axis for each input frame as (mul, div); None if the axis is not time."""
    stride = math.prod(shape[axis + 1 :])
    if math.prod(shape[:axis]) != outer or stride == 0 or inner == 0 or (stride % inner and inner % stride):
        return None
    mul, div = (1, stride // inner) if stride >= inner else (inner // stride, 1)
    return (mul, div) if shape[axis] * div == frames * mul else None


STATISTICS = ("InstanceNormalization", "LayerNormalization", "GroupNormalization", "MeanVarianceNormalization")


def refuse_folded_statistics(facts: Facts) -> None:
    """Refuses a normalisation that reads the folded tensor, as in exported group normalisation; names its node."""
    for reader in facts.node.outputs[0].outputs:
        if reader.op in STATISTICS or reader.op.startswith("Reduce"):
            raise StreamError(
                "takes its statistics over all time, which the Reshape in front folds together with the channels",
                node=label(reader),
                hint=WINDOW_HINT,
            )
