"""Proves the claims of rules by formulas, and finds the exact lengths for which they hold.

A rule sees tensors at the lengths evaluated. The rule claims what it concludes from their values: that a tensor is
always the same, repeats, shifts along with the stream, or counts frames. Each claim is decided for all lengths at once.
If a claim holds only for some lengths, the stretch around the lengths evaluated is recorded. If no formula is known,
the claim is noted as tried.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from graphc.contract.length import Length
from graphc.stream.facts.time_constant import GraphConstant, TimeConstant
from graphc.stream.symbolic.check import agrees
from graphc.stream.symbolic.domain.lengths import expression_of
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    bounded,
    constant,
    differs_at,
    frames,
    lengths,
    most,
    nowhere,
    remainder,
)
from graphc.stream.symbolic.domain.tensor import Formula
from graphc.stream.symbolic.formulas import Formulas
from graphc.stream.symbolic.queries.continuing import Lengths, same_at_next
from graphc.stream.symbolic.queries.differ import Difference
from graphc.stream.symbolic.queries.questions import Counting, Steady
from graphc.stream.symbolic.stretch import ENDLESS, Stretch, around, first_lengths, holds_at

Query = Callable[[Formula, Lengths], Difference]


@dataclass
class Pending:
    """The claims of the rule that is running."""

    stretches: list[Stretch] = field(default_factory=list)
    untold: dict[str, str] = field(default_factory=dict)
    suspects: list[int] = field(default_factory=list)
    refused: list[Region] = field(default_factory=list)


@dataclass
class Proof:
    """The claims of one walk.

    Args:
        evaluated: the lengths at which rules saw the tensors.
        values: the values of the tensors at these lengths.
        fixed: tensors that depend on no input, and so are the same at every length.
        branches: whether the graph has a branch that other lengths might not take.
        stretches: for each claim that does not hold at every length, the lengths at which it holds.
        untold: tensors about which a claim could not be decided, with the reason.
        suspects: lengths at which a tensor of ``untold`` may differ.
        claimed: tensors about which the current rule has claimed something.
        pending: the results of the current rule's claims.
        accepted: the lengths at which the model is known to run, assumed to be evenly spaced.
        joined: the lengths of ``accepted`` at which no op that joins streams fails.
        possible: all lengths at which no op that joins streams fails.
    """

    formulas: Formulas
    evaluated: Sequence[int]
    values: Mapping[str, TimeConstant]
    fixed: Collection[str] = ()
    branches: bool = False
    stretches: list[Stretch] = field(default_factory=list)
    untold: dict[str, str] = field(default_factory=dict)
    suspects: list[int] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    pending: Pending = field(default_factory=Pending)

    def __post_init__(self) -> None:
        apart = math.gcd(*(n - self.evaluated[0] for n in self.evaluated)) or 1
        self.known = Lengths(min(self.evaluated), apart)
        place = remainder(frames(0), apart)
        accepted = place.eq_set(constant(self.known.first % apart, 0)) if apart > 1 else lengths(0)
        self.accepted: Region = lengths(0) & accepted
        self.joined = self.formulas.accepted = self.accepted
        self.possible: Region = lengths(0)

    @property
    def end(self) -> Stretch:
        """The stretch of the claim that ends at the shortest length."""
        return min(self.stretches, key=lambda s: s.last, default=Stretch(""))

    @property
    def start(self) -> Stretch:
        """The stretch of the claim that begins at the longest length."""
        return max(self.stretches, key=lambda s: s.first, default=Stretch(""))

    @property
    def is_possible(self) -> bool:
        """Whether anything can be proved about other lengths; False if the model was evaluated at only one length."""
        return len(self.evaluated) > 1

    def begin(self) -> None:
        """Called when a rule starts on a node: drops the claims of an earlier, failed attempt."""
        self.pending, self.claimed = Pending(), set()

    def commit(self) -> None:
        """Called when the rule has succeeded: records its claims, on which the streaming model relies."""
        self.stretches += self.pending.stretches
        self.suspects += self.pending.suspects
        for region in self.pending.refused:
            self.joined, self.possible = self.joined - region, self.possible - region
        self.untold = {**self.pending.untold, **self.untold}
        self.begin()

    def claim(self, name: str, query: Query) -> bool:
        """Decides a claim about a tensor; returns whether it is proved at all lengths evaluated."""
        self.claimed.add(name)
        if not self.is_possible:
            return False
        if isinstance(query, Steady) and name in self.fixed:
            return True
        try:
            formula = self.formulas.named(name)
        except NoFormulaError as err:
            self.doubt(name, str(err))
            self.pending.suspects += self.changes_in_front(name)
            return False
        if not self.agrees(name, formula):
            self.doubt(name, "its formula gives other values than onnxruntime")
            return False
        return self.check(name, formula, query)

    def agrees(self, name: str, formula: Formula) -> bool:
        """Whether a formula gives the tensor's value at the shortest length evaluated."""
        known = self.values.get(name)
        if known is None or isinstance(known, GraphConstant):
            return True
        place = self.evaluated.index(self.known.first)
        key = (id(formula), self.known.first, known.values[place].tobytes())
        answers = self.formulas.shared.answers
        if key not in answers:
            answers[key] = agrees(formula, known.values[place], self.known.first)
        return bool(answers[key])

    def check(self, name: str, formula: Formula, query: Query) -> bool:
        """Decides a claim about a formula; returns whether it is proved at all lengths evaluated."""
        try:
            found = self.answer((query, id(formula)), lambda: query(formula, self.known))
        except NoFormulaError as err:
            self.doubt(name, str(err))
            return False
        return self.conclude(name, found, formula, regrown=isinstance(query, Counting))

    def doubt(self, name: str, reason: str) -> None:
        """Notes that something about a tensor is not proved."""
        if self.is_possible:
            self.pending.untold.setdefault(name, reason)

    def changes_in_front(self, name: str) -> list[int]:
        """Longer lengths at which a tensor without a formula may change, because a tensor it is made from changes."""
        found: list[int] = []
        later = frames(0).gt_set(constant(self.known.first, 0))
        for formula in self.formulas.in_front(name):
            growing = range(formula.rank)

            def ask(formula: Formula = formula, growing: range = growing) -> Difference:
                return same_at_next(formula, self.known, growing)

            try:
                changes = self.answer(("continues", id(formula)), ask)
            except NoFormulaError:
                continue
            found += first_lengths((changes.sure | changes.unsure | formula.past) & self.accepted & later)
        return found

    def answer(self, key: tuple[object, ...], ask: Callable[[], Difference]) -> Difference:
        """The answer to a question: ``ask`` is called once per key."""
        answers, key = self.formulas.shared.answers, (*key, self.known)
        if key not in answers:
            try:
                answers[key] = bounded(ask)
            except NoFormulaError as err:
                answers[key] = err
        found = answers[key]
        if isinstance(found, NoFormulaError):
            raise found
        assert isinstance(found, Difference)
        return found

    def same_lengths(self, name: str, one: Length, other: Length, must_match: bool = False) -> None:
        """Claims that two streams that an op joins have the same length.

        Args:
            must_match: whether the op, and so the offline model, fails at lengths where the two differ, unless one of
                the two has a single frame.
        """
        if one == other:
            return
        a, b = expression_of(one), expression_of(other)
        differ, counted = differs_at(a, b), self.joined
        if must_match and not self.branches:
            single = constant(1, 0)
            broadcast = a.eq_set(single) | b.eq_set(single)
            self.pending.refused.append(differ - broadcast)
            differ, counted = differ & broadcast, self.possible
        self.conclude(name, Difference(differ, nowhere(0)), None, counted)

    def never_single(self, name: str, length: Length) -> None:
        """Claims that a stream has a single frame at no length."""
        single = expression_of(length).eq_set(constant(1, 0)) & lengths(0)
        self.conclude(name, Difference(single, nowhere(0)), None, self.joined)

    def same_sizes(self, name: str, one: Sequence[Expr], other: Sequence[Expr], formula: Formula | None = None) -> None:
        """Claims that a tensor has the sizes that a rule gives it."""
        found = nowhere(0)
        for a, b in zip(one, other, strict=True):
            found = found | differs_at(a, b)
        self.conclude(name, Difference(found, nowhere(0)), formula, self.joined)

    def conclude(
        self,
        name: str,
        found: Difference,
        formula: Formula | None,
        accepted: Region | None = None,
        regrown: bool = False,
    ) -> bool:
        """Records the range of lengths in which a claim holds; returns whether it covers all lengths evaluated.

        Args:
            accepted: the lengths at which the claim is decided. A claim that compares each length with the next one
                needs all of ``self.accepted``: a change at a length that is left out would not be seen.
            regrown: whether the streaming model computes the numbers by counting, and casts them as the offline model
                does, so that a cast that rounds gives the same numbers.
        """
        if not self.is_possible:
            return False
        first, longest = self.known.first, max(self.evaluated)
        outside = formula.outside if formula is not None else nowhere(0)
        past = formula.past & self.accepted if formula is not None else nowhere(0)
        inside = (self.accepted if accepted is None else accepted) - outside - past
        sure, unsure = found.sure & inside, found.unsure & inside
        here = around(sure | unsure, first, name)
        if here.last < first or any(holds_at(sure | unsure, n) for n in self.evaluated if n > here.last):
            self.doubt(name, "its formula does not confirm what its values show at the lengths evaluated")
            self.pending.suspects += (here.first - 1, here.last + 1)
            return False
        found_here = [here]
        if formula is not None:
            inexact = formula.rounded if regrown else formula.rounded | formula.cast
            exact = around(inexact & inside, first, name)
            found_here.append(replace(exact, rounded=not regrown))
        if not holds_at(past, first):
            found_here.append(replace(around(past, first, name), outside=True))
        if not outside.is_empty():
            last, longest_of_all = most(self.accepted - outside), most(self.accepted)
            ends = first <= last < longest_of_all
            found_here.append(Stretch(name, 1, last if ends else ENDLESS, outside=True))
        self.pending.stretches += [s for s in found_here if (s.first, s.last) != (1, ENDLESS)]
        return all(s.first <= first and longest <= s.last for s in found_here)
