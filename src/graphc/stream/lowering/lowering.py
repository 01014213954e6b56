"""What a node becomes in the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.ir.graph import Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import SoftmaxSite
from graphc.stream.lowering.builder import Builder

Emit = Callable[[Builder, Sequence[Tensor | None]], Sequence[Tensor | None]]


@dataclass(frozen=True)
class AttentionSpan:
    """The frames that an attention sees.

    Args:
        left: of its keys, before a query's own frame, at most.
        right: after it, at most.
        period: queries after which what they see repeats.
        sites: where its scores became weights.
        max_frames: the longest stream for which this holds, in input frames; None for any.
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
        emit: builds the nodes of one call. It takes the builder and the inputs of one call (None where an input is
            omitted or changes with the length of the stream) and returns the outputs.
        attention: the frames that it sees, if it is an attention.
        local: each output frame depends on the same input frames at every place, and on no other: head and tail are
            then carried through by evaluation.
    """

    facts: tuple[Fact | None, ...]
    emit: Emit
    local: bool = False
    attention: AttentionSpan | None = None
