"""Writes a front end as ONNX nodes: a strided Conv for frames, window and transform, a Conv for bands, a logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from graphc_passes._front_ends.front_end import FrontEnd, spread
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from graphc.api import PassError

AXES_AS_INPUT = {"Unsqueeze": 13, "Squeeze": 13, "ReduceL2": 18}
PADS_AS_INPUT = 11
LARGEST_EXPONENT = 60.0


class NodeWriter:
    """Collects nodes and weights, in the order in which the nodes run. All names get one prefix."""

    def __init__(self, prefix: str, opset: int):
        self.prefix, self.opset = prefix, opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, value: NDArray[Any], name: str) -> str:
        full = f"{self.prefix}/{name}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), full))
        return full

    def floats(self, value: NDArray[np.float64], name: str) -> str:
        return self.weight(value.astype(np.float32), name)

    def node(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        output = f"{self.prefix}/{name}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def along(self, op: str, value: str, axes: Sequence[int], name: str, **attributes: Any) -> str:
        """Adds a node whose axes are an attribute or an input, depending on the opset. Returns its output's name."""
        if self.opset < AXES_AS_INPUT[op]:
            return self.node(op, [value], name, axes=list(axes), **attributes)
        return self.node(op, [value, self.weight(np.asarray(axes, np.int64), f"{name}/axes")], name, **attributes)

    def padded(self, value: str, amounts: Sequence[int], mode: str, name: str) -> str:
        """Adds a Pad with ``amounts`` in ONNX's order, all starts before all ends. Returns its output's name."""
        if self.opset < PADS_AS_INPUT:
            return self.node("Pad", [value], name, pads=list(amounts), mode=mode)
        return self.node("Pad", [value, self.weight(np.asarray(amounts, np.int64), f"{name}/amounts")], name, mode=mode)


def write_features(writer: NodeWriter, front: FrontEnd, samples: str) -> str:
    """Writes a front end over samples [batch, time]. Returns the name of its features, [batch, features, frames]."""
    signal = writer.along("Unsqueeze", samples, [1], "signal")
    if front.emphasis:
        kernel = front.scale * np.array([-front.emphasis, 1.0])
        weights = writer.floats(kernel[None, None], "emphasis")
        signal = writer.node("Conv", [signal, weights], "emphasised", pads=[1, 0], kernel_shape=[2])
    scale = 1.0 if front.emphasis else front.scale
    signal, cut = with_edges(writer, front, signal)
    power = write_power(writer, front, scale, signal, cut)
    bands = write_bands(writer, front, power)
    if front.energy is not None:
        bands = writer.node("Add", [bands, write_energy(writer, front, scale, signal, cut)], "with_energy")
    return write_logarithm(writer, front, bands)


def with_edges(writer: NodeWriter, front: FrontEnd, signal: str) -> tuple[str, dict[str, Any]]:
    """Pads the signal. Returns the name of the result, and the attributes of a Conv that cuts frames out of it."""
    framing = front.framing
    size, hop, before, behind = framing.size, framing.hop, framing.before, framing.behind
    cut = {"kernel_shape": [size], "strides": [hop], "pads": [0, 0]}
    if framing.edge == "zeros" and behind >= 0:
        return signal, {**cut, "pads": [before, behind]}
    if framing.edge == "symmetric":
        return mirrored(writer, signal, before, behind), {**cut, "strides": [2 * hop], "dilations": [2]}
    mode = "constant" if framing.edge == "zeros" else "reflect"
    return writer.padded(signal, [0, 0, before, 0, 0, behind], mode, "with_edges"), cut


def mirrored(writer: NodeWriter, signal: str, before: int, behind: int) -> str:
    """Adds nodes that put a zero between samples and mirror the signal beside its outermost samples.

    ONNX can only mirror at a sample. With zeros between samples and one zero at each end, ONNX mirrors at the outer
    zeros, and thus beside the outermost samples.
    """
    between = writer.floats(np.array([[[0.0, 1.0, 0.0]]]), "between")
    spaced = writer.node("ConvTranspose", [signal, between], "spaced", strides=[2], kernel_shape=[3])
    return writer.padded(spaced, [0, 0, 2 * before - 1, 0, 0, 2 * behind - 1], "reflect", "with_edges")


def write_power(writer: NodeWriter, front: FrontEnd, scale: float, signal: str, cut: dict[str, Any]) -> str:
    """Adds the nodes of the spectrum, and returns the name of their result.

    The result is the squared real and imaginary parts, [batch, 2 * bins, frames], if ``front.power`` is 2. Otherwise it
    is the magnitudes, [batch, bins, frames].
    """
    used = used_bins(front)
    rows = scale * front.spectrum[:, used].reshape(-1, front.framing.size)
    if front.energy is not None and front.energy.centred:
        rows = np.concatenate([rows, np.full((1, front.framing.size), scale)])
    weights = writer.floats(rows[:, None], "transform")
    parts = writer.node("Conv", [signal, weights], "spectrum", **cut)
    if front.power == 2:
        return writer.node("Mul", [parts, parts], "power")
    shape = writer.weight(np.array([0, 2, len(used), -1], np.int64), "pairs/shape")
    pairs = writer.node("Reshape", [parts, shape], "pairs")
    return writer.along("ReduceL2", pairs, [1], "magnitude", keepdims=0)


def used_bins(front: FrontEnd) -> NDArray[np.intp]:
    """The bins that at least one band uses."""
    return np.flatnonzero(np.any(front.bands != 0.0, axis=0))


def write_bands(writer: NodeWriter, front: FrontEnd, power: str) -> str:
    """Adds the node of the bands, [batch, features, frames]. Each band is multiplied by its entry of ``factors``."""
    bands = front.bands[:, used_bins(front)]
    if front.power == 2:
        bands = np.concatenate([bands, bands], axis=1)
    if front.energy is not None and front.energy.centred:
        means = np.zeros((len(bands), 1))
        means[front.energy.row] = -1.0 / front.framing.size
        bands = np.concatenate([bands, means], axis=1)
    bands = bands * factors(front)[:, None]
    inputs = [power, writer.floats(bands[:, :, None], "bands")]
    if front.logarithm and front.guard == "add":
        inputs.append(writer.floats(factors(front) * spread(front.floor, len(bands)), "floor"))
    elif not front.logarithm and np.any(front.offset):
        inputs.append(writer.floats(spread(front.offset, len(bands)), "offset"))
    return writer.node("Conv", inputs, "mel", kernel_shape=[1])


def factors(front: FrontEnd) -> NDArray[np.float64]:
    """The factor of each band before the logarithm that replaces an offset after it: a ln(m) + b = a ln(m exp(b / a)).

    Without a logarithm, the factor is the gain. With a linear map after the logarithm, it is 1.
    """
    count = len(front.bands)
    if front.matrix is not None:
        return np.ones(count)
    if not front.logarithm:
        return np.array(spread(front.gain, count))
    exponents = spread(front.offset, count) / spread(front.gain, count)
    if np.abs(exponents).max() > LARGEST_EXPONENT:
        raise PassError(
            "attach_front_end: a mean is so far from 0 that its exponential does not fit in float32",
            hint="use statistics of the features that this front end makes",
        )
    return np.asarray(np.exp(exponents))


def write_energy(writer: NodeWriter, front: FrontEnd, scale: float, signal: str, cut: dict[str, Any]) -> str:
    """Adds nodes for the sum of squares of each frame as one feature, [batch, features, frames]; the others are 0."""
    assert front.energy is not None
    squares = writer.node("Mul", [signal, signal], "squares")
    kernel = np.zeros((len(front.bands), 1, front.framing.size))
    kernel[front.energy.row] = scale**2 * factors(front)[front.energy.row]
    inputs = [squares, writer.floats(kernel, "sum")]
    return writer.node("Conv", inputs, "energy", **cut)


def write_logarithm(writer: NodeWriter, front: FrontEnd, bands: str) -> str:
    """Adds the nodes of the guarded logarithm, and of the linear map or the gain after it. Returns the result."""
    count = len(front.bands)
    value = bands
    if front.logarithm:
        if front.guard == "max":
            floor = writer.floats((factors(front) * spread(front.floor, count))[:, None], "floor")
            value = writer.node("Max", [value, floor], "guarded")
        value = writer.node("Log", [value], "logarithm")
    if front.matrix is not None:
        gain = spread(front.gain, len(front.matrix))
        inputs = [value, writer.floats((gain[:, None] * front.matrix)[:, :, None], "cepstra/weights")]
        if np.any(front.offset):
            inputs.append(writer.floats(np.array(spread(front.offset, len(front.matrix))), "cepstra/offset"))
        return writer.node("Conv", inputs, "cepstra", kernel_shape=[1])
    if front.logarithm and np.any(spread(front.gain, count) != 1.0):
        return writer.node(
            "Mul", [value, writer.floats(np.array(spread(front.gain, count))[:, None], "gain")], "scaled"
        )
    return value


def samples_port(name: str, batch: int | str) -> onnx.ValueInfoProto:
    """The port of the samples, [batch, time]."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, "samples"])
