"""What a node becomes in the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.contract.length import Length
from graphc.ir.graph import Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import SoftmaxSite
from graphc.stream.lowering.builder import Builder

Emit = Callable[[Builder, Sequence[Tensor | None]], Sequence[Tensor | None]]


@dataclass(frozen=True)
class AttentionSpan:
    """The frames that an attention sees.

    Args:
        left: the most frames that a query sees before its own.
        right: the most frames that a query sees after its own.
        period: the number of queries after which the pattern of visible frames repeats.
        sites: where its scores became weights.
        max_frames: the longest stream for which this holds, in input frames; None if it holds for any length.
    """

    left: int
    right: int
    period: int
    sites: tuple[SoftmaxSite, ...]
    max_frames: int | None = None


@dataclass(frozen=True)
class Lowering:
    """What a node becomes in the stream.

    Args:
        facts: one for each output of the node.
        emit: builds the nodes of one call. It takes the builder and the inputs of one call (None if an input is omitted
            or changes with the length of the stream) and returns the outputs.
        attention: the frames that it sees, if it is an attention.
        local: whether each output frame is made in the same way from the input frames at its place, and from no
            others. Head and tail are then found by evaluation.
        rounded_beyond: a length and a number of frames: where a tensor of that length has more, the offline model
            rounds the places of frames, and the stream does not.
    """

    facts: tuple[Fact | None, ...]
    emit: Emit
    local: bool = False
    attention: AttentionSpan | None = None
    rounded_beyond: tuple[Length, int] | None = None
