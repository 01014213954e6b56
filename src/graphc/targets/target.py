"""The interface of a runtime to the passes. Each module of this folder that names one as ``TARGET`` adds it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gains:
    """What is faster on a runtime, by measurement (docs/fusion.md).

    Args:
        biased_product: what a product with a bias gains by becoming a Gemm, beside a Transpose that is saved (1.0).
        conv_over_two_axes: a convolution over one axis is faster as one over two.
        gathered_conv: a small convolution over time is faster as a product of gathered frames.
        transposed_product: a Transpose of the last two axes costs nothing in front of a MatMul.
    """

    biased_product: float = 1.0
    conv_over_two_axes: bool = False
    gathered_conv: bool = False
    transposed_product: bool = False


@dataclass(frozen=True)
class Target:
    """A runtime.

    Args:
        name: the spec's word for it.
        summary: what it is, in a line.
        ops: what it runs beside ONNX's own ops, as ``domain::Op``.
        gains: what is faster on it.
    """

    name: str
    summary: str
    ops: frozenset[str] = frozenset()
    gains: Gains = field(default_factory=Gains)

    def has(self, *ops: str) -> bool:
        """Whether it runs all of some ops, each ``domain::Op``."""
        return all(op in self.ops for op in ops)
