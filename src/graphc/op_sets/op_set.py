"""What passes know about the runtime of an ONNX model. A module of this folder that defines ``OP_SET`` adds one."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gains:
    """What measurements showed to be faster on a runtime (docs/fusion.md).

    Args:
        biased_product: the gain if a product with a bias becomes a Gemm; a saved Transpose counts as 1.0.
        conv_over_two_axes: whether a convolution over one axis is faster as one over two.
        gathered_conv: whether a small convolution over time is faster as a product of gathered frames.
        transposed_product: whether a Transpose of the last two axes costs nothing before a MatMul.
    """

    biased_product: float = 1.0
    conv_over_two_axes: bool = False
    gathered_conv: bool = False
    transposed_product: bool = False


@dataclass(frozen=True)
class OpSet:
    """The ops that a runtime of ONNX models takes.

    Args:
        name: the ``target`` of a spec.
        summary: one line on what it is.
        ops: the ops that it runs besides ONNX's own, as ``domain::Op``.
        gains: what is faster on it.
    """

    name: str
    summary: str
    ops: frozenset[str] = frozenset()
    gains: Gains = field(default_factory=Gains)

    def has(self, *ops: str) -> bool:
        """Whether the runtime runs all of some ops, each given as ``domain::Op``."""
        return all(op in self.ops for op in ops)
