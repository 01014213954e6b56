"""The lowering of one node: by its rule, as a copy if it has no time, or as a move of entries."""

from __future__ import annotations

from graphc.errors import AbsoluteError, AbsoluteTableError, ChunkMisfitError, RandomError, TooShortError
from graphc.ir.graph import Node, label, op_of
from graphc.stream.evaluation.dependence import draws
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.index_maps.data_movement import PLAIN_MOVERS
from graphc.stream.index_maps.index_maps import moved_stream
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_final_state, refuse_whole_length
from graphc.stream.lowering.rule import rule_for
from graphc.stream.time.first_frame import is_alone
from graphc.stream.time.subgraphs import tensors_outside
from graphc_runtime.errors import GraphcError, StreamError

SPREADING = ("Expand", "Tile")
LASTING = (UntimedOrigin.FINAL, UntimedOrigin.GIVEN, UntimedOrigin.FIRST)
OF_DATA_SIZE = ("NonZero", "Compress", "Unique")
QUANTIZED = ("QuantizeL", "QuantizeM", "QLinear", "Integer", "NBits", "QGemm")


def step_of(node: Node, facts: Facts) -> Lowering:
    """The lowering of a node: a node without time is copied, and one with time is lowered by its rule.

    Errors:
        TooShortError: a stream has the same number of frames at all lengths evaluated, so time looks like a fixed size.
        StreamError: there is no rule, or the rule refuses.
    """
    sources = [*facts.inputs, *facts.captured.values()]
    if not any(isinstance(f, Stream | ScoreMatrix | IndexMap) for f in sources):
        steady = all(len(set(shapes)) <= 1 for shapes in facts.output_shapes)
        if steady or node.op not in SPREADING:
            return static_step(node, facts)
    streams = [f for f in facts.inputs if isinstance(f, Stream)]
    tables = any(isinstance(f, ScoreMatrix | IndexMap) for f in sources)
    rule = rule_for(op_of(node), on_scores=tables)
    if rule is None and draws(node):
        raise RandomError(label(node))
    if rule is None and node.op in OF_DATA_SIZE:
        facts.refuse(
            "gives as many entries as the data decide",
            "choose between tensors of one shape with torch.where, instead of picking entries with y[mask]",
        )
    if rule is None:
        missing = StreamError(
            f"there is no streaming rule for the op {op_of(node)}" + " on a score matrix" * tables,
            node=label(node),
            hint="compile the float model, with the quantize pass after lift_state"
            if any(word in node.op for word in QUANTIZED)
            else "export the model without it, or write a rule (docs/writing-a-rule.md)",
        )
        raise first_refusal(facts, missing)
    try:
        return rule(node, facts)
    except (ChunkMisfitError, TooShortError, AbsoluteError, AbsoluteTableError):
        raise
    except StreamError as err:
        if not facts.longest and any(stands_still(s, facts) for s in streams):
            raise TooShortError(err.reason, max(facts.lengths), err.node, err.hint) from None
        if any(is_alone(s) for s in streams):
            raise
        moved = None if tables else moved_stream(node, facts, err)
        if moved is None:
            raise first_refusal(facts, err) from None
        return moved
    except GraphcError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as err:
        raise StreamError(
            f"the rule for {op_of(node)} failed ({type(err).__name__}: {err})",
            node=label(node),
            hint="report this model",
        ) from err


def stands_still(stream: Stream, facts: Facts) -> bool:
    """Whether a stream has the same number of frames at all lengths evaluated, so that time looks like a fixed size."""
    return stream.rate < 1 and len({stream.length(n) for n in facts.lengths}) == 1


def static_step(node: Node, facts: Facts) -> Lowering:
    """The lowering that copies a node without time.

    The outputs are final states, given states or first frames if an input of the node is one.
    """
    origins = [f.origin for f in [*facts.inputs, *facts.captured.values()] if isinstance(f, Untimed)]
    origin = next((o for o in LASTING if o in origins), UntimedOrigin.INPUT)
    if origin is UntimedOrigin.FINAL and node.op not in (*PLAIN_MOVERS, "Cast"):
        refuse_final_state(facts)
    for index, fact in enumerate(facts.inputs):
        if isinstance(fact, TimeConstant) and fact.steady is None:
            refuse_whole_length(facts, index)
    if any(len(set(shapes)) > 1 for shapes in facts.output_shapes):
        facts.refuse(
            "makes a tensor that does not come from the stream, but whose shape depends on its length",
            "export it with a fixed shape, or compute it from the stream",
        )
    outputs = tuple(
        Untimed(shapes[0], dtype, origin) if shapes else None
        for shapes, dtype in zip(facts.output_shapes, facts.dtypes, strict=True)
    )
    return Lowering(outputs, lambda b, x: b.copy(node, x, outside=tensors_outside(b, facts)))


def first_refusal(facts: Facts, error: StreamError) -> StreamError:
    """The refusal that was stored with an index map that the node reads, if there is one; else ``error``."""
    refusals = (f.refusal for f in facts.inputs if isinstance(f, IndexMap))
    return next((r for r in refusals if isinstance(r, StreamError)), error)
