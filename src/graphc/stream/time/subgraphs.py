"""Runs the body of a Scan or a Loop over the frames of a chunk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.errors import RandomError
from graphc.ir.graph import Graph, Node, Tensor, label
from graphc.stream.evaluation.dependence import draws
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving
from graphc.stream.time.recurrence import Carry, Warmup


def refilled(warmup: Warmup, results: Sequence[Tensor | None], outputs: Sequence[Fact | None]) -> list[Tensor | None]:
    """The outputs of a node, with zeros at the start of scanned outputs for the frames that the body skipped."""
    return [
        warmup.refilled(r, f) if r is not None and isinstance(f, Stream) else r
        for r, f in zip(results, outputs, strict=True)
    ]


def run_body(
    b: Builder,
    node: Node,
    carries: list[Carry],
    given: list[Tensor | None],
    offset: int,
    body: Graph,
    outer: dict[str, Tensor],
) -> list[Tensor | None]:
    """Adds the node for one chunk, with its carried values in state ports, and returns the node's outputs.

    Args:
        given: the node's inputs in one call; the carried values start at index ``offset``.
        outer: the tensors of the streaming model that replace those that the body reads from outside, by offline name.
    """
    firsts = [given[offset + i] for i in range(len(carries))]
    ports: list[Tensor | None] = []
    for index, (carry, first) in enumerate(zip(carries, firsts, strict=True)):
        given[offset + index], port = carry.previous(b, first)
        ports.append(port)
    attrs = {**node.attrs, "body": body.copy(tensor_map=outer)}
    results: list[Tensor | None] = list(b.add(node.op, given, attrs, "recurrence", len(node.outputs)))
    for index, (carry, port, first) in enumerate(zip(carries, ports, firsts, strict=True)):
        value = results[index]
        assert value is not None
        results[index] = carry.next(b, port, first, value)
    return results


def tensors_outside(b: Builder, facts: Facts) -> dict[str, Tensor]:
    """The tensors of one call that bodies may read from outside, by offline name; time-only tensors are constants."""
    known = {n: f for n, f in facts.captured.items() if isinstance(f, TimeConstant) and n not in b.tensors}
    return b.tensors | {n: b.constant(np.asarray(f.steady), f"{n}/value") for n, f in known.items()}


def check_captured(facts: Facts, streams_too: bool = True) -> None:
    if draws(facts.node):
        raise RandomError(label(facts.node), of_body=True)
    for name, fact in facts.captured.items():
        if isinstance(fact, Stream) and streams_too:
            facts.refuse(f"its body reads the whole stream '{name}'", "make it a scan input of the body")
        if isinstance(fact, TimeConstant) and fact.steady is None:
            facts.refuse(
                f"its body reads '{name}', which depends on the length of the stream",
                "pass it as a scan input, so that each iteration reads one value of it",
            )
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
