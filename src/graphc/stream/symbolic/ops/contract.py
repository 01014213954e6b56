"""Products and statistics over rows, about which formulas state only that equal rows give equal results."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.stream.symbolic.domain.combine import broadcast
from graphc.stream.symbolic.domain.lists import size_in
from graphc.stream.symbolic.domain.moves import moved
from graphc.stream.symbolic.domain.space import Expr, NoFormulaError, box, constant, index, number_of
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, Row
from graphc.stream.symbolic.ops.arithmetic import two
from graphc.stream.symbolic.registry import Operands, formula_of


@formula_of("MatMul")
def matmul(operands: Operands) -> list[Formula]:
    one, other = operands[0], operands[1]
    if one.rank < 2 or other.rank < 2:
        raise NoFormulaError("one of its inputs is a vector")
    return [product(operands, one, other)]


def product(operands: Operands, one: Formula, other: Formula, key: tuple[object, ...] = ("MatMul",)) -> Formula:
    """The matrix product of [..., rows, inner] and [..., inner, columns]."""
    if number_of(one.sizes[-1]) == 1:
        return two(operands, "Mul", one, other)
    lead = broadcast([sliced_of(one), sliced_of(other)])[0]
    sizes = (*lead, one.sizes[-2], other.sizes[-1])
    rank = len(sizes)
    rows = Row(one, (*beside(one, rank), index(rank - 2, rank)))
    turned = transposed(other)
    columns = Row(turned, (*beside(turned, rank), index(rank - 1, rank)))
    return made(sizes, (key, str(one.dtype)), (rows, columns), (one, other))


def made(sizes: Sequence[Expr], op: tuple[object, ...], leaves: Sequence[Leaf], of: Sequence[Formula]) -> Formula:
    piece = Piece(box(list(sizes)), Applied(op, tuple(leaves)))
    outside, rounded = of[0].outside, of[0].rounded
    for tensor in of[1:]:
        outside, rounded = outside | tensor.outside, rounded | tensor.rounded
    return Formula(tuple(sizes), of[0].dtype, (piece,), None, outside, rounded)


def sliced_of(tensor: Formula) -> Formula:
    """The leading axes of a stack of matrices, for broadcasting."""
    return Formula(tensor.sizes[:-2], tensor.dtype, ())


def beside(tensor: Formula, rank: int) -> list[Expr]:
    """The indices on the leading axes of a stack of matrices, as expressions of the indices of a product."""
    lead = tensor.rank - 2
    return [
        constant(0, rank) if number_of(tensor.sizes[a]) == 1 else index(rank - 2 - lead + a, rank) for a in range(lead)
    ]


def transposed(tensor: Formula) -> Formula:
    rank = tensor.rank
    order = [*range(rank - 2), rank - 1, rank - 2]
    return moved(tensor, [index(order.index(a), rank) for a in range(rank)], [tensor.sizes[a] for a in order])


@formula_of("Gemm")
def gemm(operands: Operands) -> list[Formula]:
    one, other, bias = operands[0], operands[1], operands.get(2)
    if operands.attribute("transA", 0):
        one = transposed(one)
    if operands.attribute("transB", 0):
        other = transposed(other)
    key = ("Gemm", float(operands.attribute("alpha", 1.0)), float(operands.attribute("beta", 1.0)))
    found = product(operands, one, other, key) if number_of(one.sizes[-1]) != 1 else None
    if found is None:
        raise NoFormulaError("it sums over an axis of size 1")
    return [found if bias is None else two(operands, "Add", found, bias)]


@formula_of("LayerNormalization", "Softmax", "LogSoftmax", "LpNormalization", "RMSNormalization", "Hardmax")
def along_axes(operands: Operands) -> list[Formula]:
    """Each entry depends on its row and on its position in that row."""
    tensor = operands[0]
    rank = tensor.rank
    first = int(operands.attribute("axis", -1)) % rank
    several = operands.node.op.endswith("Normalization") and operands.node.op != "LpNormalization"
    axes = list(range(first, rank)) if several or operands.opset < 13 else [first]
    if any(size_in(tensor, a) is None for a in axes):
        raise NoFormulaError("it works along an axis that depends on the length")
    kept = [a for a in range(rank) if a not in axes]
    order = [*kept, *axes]
    rows = moved(tensor, [index(order.index(a), rank) for a in range(rank)], [tensor.sizes[a] for a in order])
    row = Row(rows, tuple(index(a, rank) for a in kept))
    places = [Number(index(a, rank)) for a in axes]
    others = [Row(f, ()) for f in operands.inputs[1:] if f is not None]
    key = (operands.node.op, repr(sorted(operands.node.attrs.items())))
    return [made(tensor.sizes, key, (row, *places, *others), [tensor])]


@formula_of("Einsum")
def einsum(operands: Operands) -> list[Formula]:
    """Supports two operands. The axes of summed letters are rows; without summed letters, entries are multiplied."""
    equation = str(operands.attribute("equation")).replace(" ", "")
    given, arrow, output = equation.partition("->")
    terms = given.split(",")
    if len(terms) != 2 or not arrow or "." in equation or any(len(set(t)) < len(t) for t in terms):
        raise NoFormulaError("no formula is known for its equation")
    tensors = [operands[0], operands[1]]
    summed = sorted((set(terms[0]) | set(terms[1])) - set(output))
    if any(letter not in term for letter in summed for term in terms):
        raise NoFormulaError("it sums over an axis that only one operand has")
    size_of = {letter: t.sizes[k] for term, t in zip(terms, tensors, strict=True) for k, letter in enumerate(term)}
    if not summed:
        return [two(operands, "Mul", *(aligned_to(t, term, output) for t, term in zip(tensors, terms, strict=True)))]
    rank, rows = len(output), list[Leaf]()
    for tensor, term in zip(tensors, terms, strict=True):
        order = [*(letter for letter in term if letter not in summed), *summed]
        turned = moved(
            tensor, [index(order.index(letter), len(order)) for letter in term], [size_of[letter] for letter in order]
        )
        rows.append(Row(turned, tuple(index(output.index(letter), rank) for letter in order if letter in output)))
    return [made([size_of[letter] for letter in output], ("Einsum", len(summed)), rows, tensors)]


def aligned_to(tensor: Formula, term: str, output: str) -> Formula:
    """An operand with its axes in the output's order, and with size 1 on axes that the operand does not have."""
    rank = len(output)
    sizes = [tensor.sizes[term.index(letter)] if letter in term else constant(1, 0) for letter in output]
    return moved(tensor, [index(output.index(letter), rank) for letter in term], sizes)
