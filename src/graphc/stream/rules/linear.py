"""Products with weights: frame by frame, as long as time is not summed over."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.stream.attention.attention_matmul import product
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.constant_operands import cut_to_chunk
from graphc.stream.lowering.frame_by_frame import copied, same_length
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import NOT_OF_THE_STREAM, WINDOW_HINT, refuse_foreign_frames, refuse_moving
from graphc.stream.lowering.rule import score_rule, stream_rule
from graphc.stream.scores.einsum_terms import SUMMED, Terms, has_two_times

ATTENTION = (
    "multiplies two streams into a score matrix, which is supported in a MatMul or an Einsum of two operands only"
)
ATTENTION_WAY_OUT = "export it as a MatMul"


@stream_rule("MatMul", "MatMulInteger")
def matmul(node: Node, facts: Facts) -> Lowering:
    """Time must be the rows of the left side, the columns of the right side, or a batch axis of both."""
    terms = matmul_terms(facts)
    if node.op == "MatMul" and terms is not None and has_two_times(facts, terms):
        return product(node, facts, terms)
    x = same_length(facts)
    places = {index: place_in_matmul(facts, index, stream) for index, stream in facts.streams() if index < 2}
    if not places:
        facts.refuse("only its zero points come from the stream", "use constant zero points")
    if "summed" in places.values():
        facts.refuse(SUMMED, WINDOW_HINT)
    if len(set(places.values())) > 1:
        facts.refuse(ATTENTION, ATTENTION_WAY_OUT)
    (place,) = set(places.values())
    if place in ("rows", "columns") and len(places) == 2:
        facts.refuse(ATTENTION, ATTENTION_WAY_OUT)
    if isinstance(place, int):
        check_batch_operands(facts, x, place)
    for fact in facts.inputs:
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    rank = len(facts.output_shapes[0][0])
    left, right = (len(facts.input_shapes[i][0]) for i in (0, 1))
    if place == "rows":
        axis = rank - 1 - (right > 1)
    elif place == "columns":
        axis = rank - 1
    else:
        assert isinstance(place, int)
        axis = rank - (place - (left == 1) - (right == 1))
    return Lowering((facts.out(x, axis),), copied(node, facts), local=True)


def matmul_terms(facts: Facts) -> Terms | None:
    """The axis letters of a matrix product; None if an operand is a vector."""
    left, right = (len(facts.input_shapes[i][0]) for i in (0, 1))
    if min(left, right) < 2:
        return None
    batch = [f"batch{i}" for i in range(max(left, right), 2, -1)]
    operands = (
        (*batch[len(batch) - left + 2 :], "row", "inner"),
        (*batch[len(batch) - right + 2 :], "inner", "column"),
    )
    return Terms(operands, (*batch, "row", "column"), lambda node, index, letter: None)


def place_in_matmul(facts: Facts, index: int, stream: Stream) -> str | int:
    """The role of the time axis: ``rows``, ``columns``, ``summed``, or the number of a batch axis from the right."""
    if stream.rank == 1:
        return "summed"
    summed = stream.rank - 1 if index == 0 else stream.rank - 2
    if stream.axis == summed:
        return "summed"
    if stream.from_right <= 2:
        return "rows" if index == 0 else "columns"
    return stream.from_right


def check_batch_operands(facts: Facts, x: Stream, place: int) -> None:
    for index in (0, 1):
        shapes = facts.input_shapes[index]
        if not isinstance(facts[index], Stream) and len(shapes[0]) >= place and any(s[-place] != 1 for s in shapes):
            facts.refuse("one operand has a matrix for each frame but does not come from the stream", NOT_OF_THE_STREAM)


@stream_rule("Gemm")
def gemm(node: Node, facts: Facts) -> Lowering:
    """Time must be the rows of A or the columns of B."""
    x = same_length(facts)
    transposed = (bool(node.attrs.get("transA", 0)), bool(node.attrs.get("transB", 0)))
    for fact in facts.inputs:
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    a, b, c = facts[0], facts[1], facts[2]
    if isinstance(a, Stream) and isinstance(b, Stream):
        facts.refuse(ATTENTION, ATTENTION_WAY_OUT)
    if isinstance(a, Stream):
        axis = a.axis if not transposed[0] else 1 - a.axis
        if axis != 0:
            facts.refuse(SUMMED, WINDOW_HINT)
    elif isinstance(b, Stream):
        axis = b.axis if not transposed[1] else 1 - b.axis
        if axis != 1:
            facts.refuse(SUMMED, WINDOW_HINT)
    else:
        facts.refuse("only its input C comes from the stream", "export C as a separate Add")
    out = facts.out(x, axis)
    if isinstance(c, Stream) and c.from_right != 2 - axis:
        facts.refuse(
            "its input C has time on another axis than the product of A and B", "transpose C to the axes of the product"
        )
    if isinstance(c, TimeConstant):
        cut, varies = cut_to_chunk(facts, 2, out)
        if varies or (len(cut.shape) >= out.from_right and cut.shape != facts.input_shapes[2][0]):
            facts.refuse("its input C has a value for each frame", "export C as a separate Add")
    return Lowering((out,), copied(node, facts), local=True)


@stream_rule("Einsum")
def einsum(node: Node, facts: Facts) -> Lowering:
    """Time must be a letter of the output, and the same letter in every stream."""
    equation = str(node.attrs["equation"]).replace(" ", "")
    if "." in equation:
        facts.refuse("its equation has an ellipsis", "write every axis as a letter")
    terms, _, output = equation.partition("->")
    if not output:
        letters = sorted({c for c in terms if c != "," and terms.count(c) == 1})
        output = "".join(letters)
    operands = terms.split(",")
    as_letters = Terms(tuple(tuple(o) for o in operands), tuple(output), without_letter)
    if len(operands) == 2 and has_two_times(facts, as_letters):
        return product(node, facts, as_letters)
    x = same_length(facts)
    letters_of_time = {operands[index][stream.axis] for index, stream in facts.streams()}
    if len(letters_of_time) > 1:
        facts.refuse(ATTENTION, ATTENTION_WAY_OUT)
    (letter,) = letters_of_time
    if letter not in output:
        facts.refuse(SUMMED, WINDOW_HINT)
    for index, fact in enumerate(facts.inputs):
        if not isinstance(fact, Stream) and letter in operands[index]:
            refuse_foreign_frames(facts, index)
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    return Lowering((facts.out(x, output.index(letter)),), copied(node, facts), local=True)


def without_letter(node: Node, index: int, letter: str) -> dict[str, object]:
    """The attributes of an Einsum whose operand ``index`` has lost the axis ``letter``."""
    terms, _, output = str(node.attrs["equation"]).replace(" ", "").partition("->")
    operands = terms.split(",")
    operands[index] = operands[index].replace(letter, "")
    return {"equation": f"{','.join(operands)}->{output}"}


score_rule("MatMul")(matmul)
score_rule("Einsum")(einsum)
