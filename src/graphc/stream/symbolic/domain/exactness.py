"""Which numbers floats hold exactly, and which may be infinite."""

from __future__ import annotations

from fractions import Fraction

from graphc.stream.symbolic.domain.space import Expr, denominator
from graphc.stream.symbolic.domain.tensor import Applied, Leaf, Read, Special, Stored

ENDLESS_OPS = frozenset(
    ("Acos", "Acosh", "Asin", "Atanh", "Cosh", "Div", "Exp", "Log", "Pow", "Reciprocal", "Sinh", "Sqrt", "Tan")
)


def is_rounded(expr: Expr) -> bool:
    """Whether a number is a quotient that floats round, such as T / 3.

    Such a number has been rounded only once. A quotient that is an integer is exact, so its integer part is exact too,
    as long as only integers and halves are added. After any other op, equality depends on rounding.
    """
    return not is_power_of_two(denominator(expr))


def is_short(number: Fraction | int) -> bool:
    """Whether a factor has few enough binary digits that its products with lengths are exact."""
    fraction = Fraction(number)
    return is_power_of_two(fraction.denominator) and abs(fraction.numerator) < 2**8


def is_power_of_two(number: Fraction | int) -> bool:
    fraction = abs(Fraction(number))
    return all(n & (n - 1) == 0 for n in (fraction.numerator, fraction.denominator)) and number != 0


def is_finite(leaf: Leaf) -> bool:
    """Whether no entry of a leaf can be infinite or NaN."""
    if isinstance(leaf, Applied):
        return leaf.op[0] not in ENDLESS_OPS and all(is_finite(operand) for operand in leaf.operands)
    if isinstance(leaf, Read) and isinstance(leaf.source, Stored):
        return leaf.source.is_finite
    return not isinstance(leaf, Special)
