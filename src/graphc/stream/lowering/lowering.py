"""What a node becomes in the streaming graph."""

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
    """The frames that the queries of an attention see.

    Args:
        left: the largest number of frames that a query sees before its own.
        right: the largest number of frames that a query sees after its own.
        period: the number of queries after which the pattern of visible frames repeats.
        sites: the softmaxes that turn the scores of the attention into weights.
        max_frames: the longest stream for which this holds, in input frames; None if it holds for any length.
    """

    left: int
    right: int
    period: int
    sites: tuple[SoftmaxSite, ...]
    max_frames: int | None = None


@dataclass(frozen=True)
class Lowering:
    """What a node becomes in the streaming graph.

    Args:
        facts: the fact of each output of the node; None if the output is omitted.
        emit: builds the nodes of one call. Its arguments are the builder and the inputs of one call (None if an input
            is omitted or changes with the length of the stream). It returns the outputs.
        attention: the frames that queries see, if the node is an attention.
        local: whether every output frame is computed in the same way, and only from the input frames at the same
            position. Head and tail are then found by running the op on constants.
        rounded_beyond: a length and a number of frames. If a tensor of that length has more frames than that, the
            offline model rounds the positions of frames, and the stream does not.
    """

    facts: tuple[Fact | None, ...]
    emit: Emit
    local: bool = False
    attention: AttentionSpan | None = None
    rounded_beyond: tuple[Length, int] | None = None
