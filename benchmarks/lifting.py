"""What lifting costs: the time for a 16-layer Conformer, and the peak memory for 600 million parameters.

The large model is made on the spot with external data, and lifted in a process of its own, whose peak memory is read.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse

LAYERS, DIM = 72, 1024
STREAM = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})


def large_model(path: Path) -> None:
    """Feed-forwards of 8 million parameters each and causal depthwise convolutions, the weights in one file beside."""
    rng = np.random.default_rng(0)
    nodes, weights, x = [], [], "x"

    def weight(name: str, *shape: int) -> str:
        weights.append(numpy_helper.from_array(rng.random(shape, np.float32) * 0.02 - 0.01, name))
        return name

    for layer in range(LAYERS):
        one, two, kernel = (
            weight(f"{k}{layer}", *s) for k, s in (("a", (DIM, 4 * DIM)), ("b", (4 * DIM, DIM)), ("k", (DIM, 1, 5)))
        )
        names = [f"{layer}.{step}" for step in ("up", "relu", "down", "sum", "turned", "conv", "out")]
        up, relu, down, total, turned, conv, out = names
        nodes += [
            helper.make_node("MatMul", [x, one], [up]),
            helper.make_node("Relu", [up], [relu]),
            helper.make_node("MatMul", [relu, two], [down]),
            helper.make_node("Add", [down, x], [total]),
            helper.make_node("Transpose", [total], [turned], perm=[0, 2, 1]),
            helper.make_node("Conv", [turned, kernel], [conv], pads=[4, 0], group=DIM),
            helper.make_node("Transpose", [conv], [out], perm=[0, 2, 1]),
        ]
        x = out
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "frames", DIM]) for n in ("x", x)]
    graph = helper.make_graph(nodes, "large", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, path, save_as_external_data=True, location="large.data")


def lift_file(path: Path) -> float:
    """Seconds from the file to the streaming model in memory."""
    start = time.perf_counter()
    offline = offline_of(read_model(path), STREAM)
    lift(analyse(offline))
    return time.perf_counter() - start


def peak_memory() -> int:
    """In bytes. getrusage would also count what the parent held when it forked."""
    line = next(li for li in Path("/proc/self/status").read_text().splitlines() if li.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1:
        seconds = lift_file(Path(sys.argv[1]))
        print(f"{seconds} {peak_memory()}")
        return
    from conformer import Size, conformer
    from streaming_twin import export_whole

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_whole(conformer(Size()), Size().dim, folder / "whole.onnx")
        seconds, _ = measured(folder / "whole.onnx")
        print(f"lift of a 16-layer Conformer, without validation: {seconds:.1f} s")
        large_model(folder / "large.onnx")
        size = sum(f.stat().st_size for f in folder.glob("large*"))
        seconds, peak = measured(folder / "large.onnx")
        millions, share = size / 4e6, peak / size
        print(f"lift of {millions:.0f} million parameters: {seconds:.1f} s, peak memory {share:.2f} times the file")


def measured(path: Path) -> tuple[float, float]:
    """Seconds and peak bytes of a process that lifts a model."""
    found = subprocess.run([sys.executable, __file__, str(path)], check=True, capture_output=True, text=True)
    seconds, peak = found.stdout.split()
    return float(seconds), float(peak)


if __name__ == "__main__":
    sys.exit(main())
