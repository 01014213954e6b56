"""What the lowering of a node relies on, as claims to be proved for every length."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ir.graph import Node, label
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import GraphConstant, TimeConstant
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.symbolic.domain.space import NoFormulaError
from graphc.stream.symbolic.proof import Proof
from graphc.stream.symbolic.queries.questions import Steady
from graphc.stream.symbolic.sources import sizes_of

SIZING = ("Reshape", "Expand", "Tile", "Resize")
RESIZING = (*SIZING, "Slice", "Pad", "Gather", "Concat", "Split")


def claim_step(node: Node, facts: Facts, placed: Mapping[str, Fact], proof: Proof) -> None:
    """Claims what a lowering relies on: the sizes of its outputs, and operands that are the same at every length.

    Nothing is claimed about an index map until it becomes a score matrix.

    Args:
        placed: the facts of all tensors so far, including the node's outputs.
    """
    known = dict(zip(facts.names, facts.inputs, strict=True)) | dict(facts.captured)
    times = {
        n: f for n, f in known.items() if isinstance(f, TimeConstant) and not isinstance(f, GraphConstant) and f.name
    }
    if node.op == "Squeeze" and not node.attrs.get("axes") and len(facts.names) < 2:
        claim_several_frames(facts, proof)
    varying = {name for name, fact in times.items() if fact.steady is None}
    if any(isinstance(placed.get(t.name), IndexMap) for t in node.outputs):
        return
    if varying:
        claim_sizes(node, varying, placed, proof)
    for name in times:
        if name not in varying:
            proof.claim(name, Steady())
        elif name not in proof.claimed:
            proof.doubt(name, f"{label(node)} relies on its value, and graphc has no proof for that")


def claim_several_frames(facts: Facts, proof: Proof) -> None:
    """Claims that no stream has a single frame, since a Squeeze without axes would drop the stream's time axis."""
    for name, fact in zip(facts.names, facts.inputs, strict=True):
        if isinstance(fact, Stream):
            proof.never_single(name, fact.length)
        elif isinstance(fact, ScoreMatrix):
            for time in fact.times:
                proof.never_single(name, time.length)


def claim_sizes(node: Node, varying: set[str], placed: Mapping[str, Fact], proof: Proof) -> None:
    """Claims that output sizes computed from the length equal the sizes in the facts.

    Args:
        varying: names of the time-only inputs whose values change with the length.
    """
    if node.op not in RESIZING or not isinstance(placed.get(node.outputs[0].name), Stream | ScoreMatrix | Untimed):
        return
    if node.op in SIZING:
        proof.claimed |= varying
    for tensor in node.outputs:
        fact = placed.get(tensor.name)
        try:
            made = proof.formulas.made(node, tensor.name)
            if fact is not None:
                proof.same_sizes(tensor.name, made.sizes, sizes_of(fact), made)
        except NoFormulaError as err:
            proof.doubt(tensor.name, str(err))
