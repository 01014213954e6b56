"""Limits the context of attention to the band that the user asks for."""

from __future__ import annotations

from graphc.ir.graph import Graph, Variable, label, name_of
from graphc.ir.import_export import export_model
from graphc.ir.node_writer import Writer
from graphc.offline.reference import Offline
from graphc.stream.facts.scores import SoftmaxSite
from graphc.stream.lowering.options import AttentionLimit, LiftOptions
from graphc.stream.propagation.analysis import analyse
from graphc.stream.scores.constant_scores import lowest_of
from graphc_runtime.errors import StreamError


def limit_attention(offline: Offline, settings: LiftOptions) -> Offline | None:
    """The model with the limits of the settings as masks before its softmaxes; None if there are no limits.

    Errors:
        StreamError: no attention node matches a limit's pattern, or its scores go through no softmax.
    """
    if all(limit.left is None and limit.right is None for _, limit in settings.limits):
        return None
    found = analyse(offline, settings=LiftOptions(survey=True))
    evaluation = found.evaluation
    done: set[str] = set()
    used: set[str] = set()
    nodes = [placed for placed in found.steps if placed.step.attention is not None]
    for placed in nodes:
        name = name_of(placed.node)
        limit = settings.limit(name)
        if limit.left is None and limit.right is None:
            continue
        used |= {pattern for pattern, other in settings.limits if other is limit}
        assert placed.step.attention is not None
        sites = placed.step.attention.sites
        if not sites:
            raise StreamError(
                "its attention weights do not come from a Softmax, so its context cannot be limited",
                node=label(placed.node),
                hint="limit the attention in the model, by a mask, or set `max_frames: N` instead of left and right",
            )
        for site in sites:
            if site.weights not in done:
                done.add(site.weights)
                put_band(evaluation.graph, site, limit)
    unused = [p for p, limit in settings.limits if p not in used and limit.max_frames is None]
    if unused:
        names = ", ".join(name_of(p.node) for p in nodes[:4]) or "none"
        raise StreamError(
            f"no attention node matches the pattern '{unused[0]}'",
            hint=f"attention nodes: {names}{', …' * (len(nodes) > 4)}",
        )
    return offline.over(export_model(evaluation.graph, evaluation.source))


def put_band(graph: Graph, site: SoftmaxSite, limit: AttentionLimit) -> None:
    """Sets the scores outside the band to the lowest number before one softmax."""
    softmax = next(n for n in graph.nodes if any(t.name == site.weights for t in n.outputs))
    scores = next(t for t in softmax.inputs if t.name == site.scores)
    write = Writer(f"{name_of(softmax)}/band")
    query, key = (write.span(write.size(scores, -right), right - 1) for right in (site.query, site.key))
    distance = write.one("Sub", key, query)
    outside: list[Variable] = []
    if limit.left is not None:
        outside.append(write.one("Less", distance, -limit.left))
    if limit.right is not None:
        outside.append(write.one("Greater", distance, limit.right))
    masked = outside[0] if len(outside) == 1 else write.one("Or", *outside)
    limited = write.one("Where", masked, lowest_of(site.dtype), scores)
    softmax.inputs = [limited if t is scores else t for t in softmax.inputs]
    graph.nodes.extend(write.nodes)
