"""What formulas start from: sizes of data, masks of the spec, lengths noted at inputs. Also the keys of nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from graphc.ir.graph import Constant, Node
from graphc.spec.input_roles import MaskRole
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.symbolic.domain.lengths import expression_of
from graphc.stream.symbolic.domain.space import Expr, NoFormulaError, box, constant, index, quotient, scaled
from graphc.stream.symbolic.domain.tensor import Formula, Piece, numbered

MOVES = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Slice", "Concat")


def sizes_of(fact: Fact) -> tuple[Expr, ...]:
    """The offline shape of a tensor of data, as expressions of T."""
    if isinstance(fact, Untimed):
        return tuple(constant(s, 0) for s in fact.shape)
    if isinstance(fact, Stream):
        return tuple(expression_of(fact.length) if s < 0 else constant(s, 0) for s in fact.shape)
    if isinstance(fact, ScoreMatrix):
        times = dict(zip(fact.axes, fact.times, strict=True))
        return tuple(expression_of(times[a].length) if a in times else constant(s, 0) for a, s in enumerate(fact.shape))
    raise NoFormulaError("its entries have been moved, and are not yet recognised as a score matrix")


def mask_formula(role: MaskRole, shape: Sequence[int], dtype: np.dtype[Any]) -> Formula:
    """The formula of a mask input that the spec describes (``MaskRole.table``)."""
    rank = len(shape)
    size = expression_of(role.frames)
    sizes = (*(constant(s, 0) for s in shape[:-2]), size, size)
    everywhere = box(sizes)
    first = scaled(quotient(index(rank - 2, rank), role.block), role.block)
    distance = index(rank - 1, rank) - first
    sees = distance.ge_set(constant(-role.left, rank)) & distance.lt_set(constant(role.block + role.right, rank))
    table = role.table([*shape[:-2], 1, 1], role.left + role.right + 4 * role.block, dtype)
    seen, unseen = table[(0,) * (rank - 2)][-1, -1], table[(0,) * (rank - 2)][0, -1]
    pieces = (Piece(everywhere & sees, numbered(seen, rank)), Piece(everywhere - sees, numbered(unseen, rank)))
    return Formula(sizes, dtype, pieces)


def attributes(node: Node) -> str:
    """The attributes of a node as text, with a digest for each array."""
    found = []
    for name, value in sorted(node.attrs.items()):
        held = value.values if isinstance(value, Constant) else value
        if isinstance(held, np.ndarray):
            held = (held.shape, str(held.dtype), hashlib.blake2b(held.tobytes(), digest_size=16).hexdigest())
        found.append((name, held))
    return repr(found)


def within(made: Formula, inputs: Sequence[Formula | None], moves: bool = False) -> Formula:
    """The formula of a node's output, with the lengths added at which the formulas of the node's inputs do not hold.

    Args:
        moves: whether the node only moves entries.
    """
    outside, rounded, cast, past = made.outside, made.rounded, made.cast, made.past
    for tensor in inputs:
        if tensor is not None:
            outside, rounded, past = outside | tensor.outside, rounded | tensor.rounded, past | tensor.past
            cast, rounded = (cast | tensor.cast, rounded) if moves else (cast, rounded | tensor.cast)
    regions = [region.coalesce() for region in (outside, rounded, cast, past)]
    return replace(made, outside=regions[0], rounded=regions[1], cast=regions[2], past=regions[3])
