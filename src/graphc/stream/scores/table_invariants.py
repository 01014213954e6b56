"""What must hold at every length for the constant tables that a score matrix is made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from graphc.contract.length import Length
from graphc.stream.facts.scores import Law
from graphc.stream.symbolic.proof import Proof
from graphc.stream.symbolic.queries.questions import Shifting


@dataclass(frozen=True)
class TableLaw:
    """The claim that a table shifts along with the stream, and no longer changes far from the diagonal.

    Args:
        rights: the table's two time axes, counted from the right.
        times: the lengths of the two time axes.
        falling: 1 if entries far from the diagonal may also fall further, -1 if they may rise further. A penalty that
            is added (1) or subtracted (-1) then masks even more.
    """

    proof: Proof = field(compare=False, repr=False)
    name: str
    rights: tuple[int, int]
    times: tuple[Length, Length]
    falling: int = 0

    def __call__(self, period: int, reach: int) -> None:
        self.proof.claim(self.name, Shifting(self.rights, self.times, period, reach, self.falling))


def falling_at(op: str, index: int) -> int:
    """How an operand of an elementwise op may change far from the diagonal (``TableLaw.falling``): scores only fall."""
    if op in ("Add", "Sum") or (op == "Sub" and index == 0):
        return 1
    return -1 if op == "Sub" else 0


def strict(law: Law) -> Law:
    """The law of a table whose scores are subtracted: far from the diagonal, the table may not change at all."""
    return replace(law, falling=0) if isinstance(law, TableLaw) else law
