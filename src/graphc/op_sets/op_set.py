"""What passes know about a runtime of ONNX models. A module of this folder that defines ``OP_SET`` adds an op set."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Gains:
    """The rewrites that made a runtime faster in measurements (docs/fusion.md).

    Args:
        biased_product: the gain of a Gemm over a MatMul and an Add of a bias, where a saved Transpose gains 1.0.
        conv_over_two_axes: whether a 1-D convolution is faster as a 2-D convolution.
        gathered_conv: whether a small convolution over time is faster as a matrix product of gathered frames.
        transposed_product: whether a Transpose of the last two axes before a MatMul costs nothing.
    """

    biased_product: float = 1.0
    conv_over_two_axes: bool = False
    gathered_conv: bool = False
    transposed_product: bool = False


@dataclass(frozen=True)
class OpSet:
    """The ops that a runtime of ONNX models supports.

    Args:
        name: the name of the op set, as ``target`` in a spec.
        summary: one line about the runtime.
        ops: the ops that the runtime supports besides ONNX's own, as ``domain::Op``.
        gains: which rewrites are faster on the runtime.
    """

    name: str
    summary: str
    ops: frozenset[str] = frozenset()
    gains: Gains = field(default_factory=Gains)

    def has(self, *ops: str) -> bool:
        """Whether the runtime supports all of these ops, each given as ``domain::Op``."""
        return all(op in self.ops for op in ops)
