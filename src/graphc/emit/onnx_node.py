"""Shared parts of the rules for all formats: nodes, the registry, and attributes of convolutions and recurrences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc_runtime.errors import TargetError

Array = NDArray[Any]
Made = TypeVar("Made")
MOST_FRAMES = 512
USUAL_ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


@dataclass(frozen=True)
class OnnxNode(ABC):
    """A node of the ONNX graph without its inputs, which each output format represents in its own way."""

    op: str
    label: str
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    opset: int

    def refused(self, reason: str, hint: str | None = None) -> TargetError:
        return TargetError(reason, node=self.label, hint=hint)

    @abstractmethod
    def array(self, index: int, what: str) -> Array | None:
        """The entries of an input that must be known before the model runs. None if the input is absent.

        Errors:
            TargetError: the input is computed.
        """

    @abstractmethod
    def has(self, index: int) -> bool:
        """Whether an input is present."""

    def numbers(self, index: int, name: str) -> list[int] | None:
        """Integers that are an attribute in old opsets and an input in new ones. None if they are absent."""
        if name in self.attributes:
            return [int(n) for n in self.attributes[name]]
        found = self.array(index, name)
        return None if found is None else [int(n) for n in np.asarray(found).reshape(-1)]


def label_of(proto: onnx.NodeProto, index: int) -> str:
    """The name of a node in messages."""
    return f"{proto.name or proto.output[0] or index} ({proto.op_type})"


def attributes_of(proto: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}


def registrar(rules: dict[str, Made]) -> Callable[..., Callable[[Made], Made]]:
    """A decorator that registers a rule for ONNX ops. Each op has one rule."""

    def rule(*ops: str) -> Callable[[Made], Made]:
        def add(made: Made) -> Made:
            for op in ops:
                assert op not in rules, op
                rules[op] = made
            return made

        return add

    return rule


def spatial(
    node: OnnxNode, sizes: Sequence[int], kernel: Sequence[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """The strides, dilations, start pads and end pads of each spatial axis. ``sizes`` are the input's spatial sizes."""
    count = len(sizes)
    strides = [int(n) for n in node.attributes.get("strides", [1] * count)]
    dilations = [int(n) for n in node.attributes.get("dilations", [1] * count)]
    pads = [int(n) for n in node.attributes.get("pads", [0] * 2 * count)]
    auto = node.attributes.get("auto_pad", b"NOTSET").decode()
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for i, (size, step) in enumerate(zip(sizes, strides, strict=True)):
            reach = (kernel[i] - 1) * dilations[i] + 1
            total = max((-(-size // step) - 1) * step + reach - size, 0)
            small, large = total // 2, total - total // 2
            pads[i], pads[count + i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    return strides, dilations, pads[:count], pads[count:]


def check_recurrence(node: OnnxNode, frames: int) -> None:
    """Refuses an LSTM, GRU or RNN in a form that frameworks do not write, or with too many frames per call.

    Errors:
        TargetError: names what is not supported.
    """
    lengths = node.array(4, "sequence_lens")
    if lengths is not None and (lengths != frames).any():
        raise node.refused("its sequence_lens differ from the whole length", "export it without sequence_lens")
    both = node.attributes.get("direction", b"forward") == b"bidirectional"
    usual = USUAL_ACTIVATIONS[node.op] * (2 if both else 1)
    given = [a.decode() for a in node.attributes.get("activations", [])] or usual
    if given != usual:
        raise node.refused(f"its activations are {', '.join(given)}, but graphc only knows {', '.join(usual)}")
    if "clip" in node.attributes or node.attributes.get("input_forget", 0):
        raise node.refused("it sets clip or input_forget, which graphc cannot convert")
    if node.has(7):
        raise node.refused("it has peephole weights, which graphc cannot convert")
    if node.attributes.get("layout", 0):
        raise node.refused("its batch axis comes first (layout 1)", "export it with layout 0")
    if frames > MOST_FRAMES:
        raise node.refused(
            f"it runs over {frames} frames a call, and graphc unrolls {MOST_FRAMES} at most", "choose a smaller chunk"
        )
