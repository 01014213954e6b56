"""What ``fuse`` gains: fused models against twins rewritten by hand, other optimisers, and this machine's floor.

Needs torch and onnxslim (the ``export`` and ``bench`` extras). One thread, every session with onnxruntime's default
optimisation, both sides of a ratio taking turns, medians. ``--profile`` adds the time by op kind.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxslim
import torch
from conformer import Size, Twin, conformer
from numpy.typing import NDArray
from small_models import Pair, pairs
from streaming_twin import export_twin, export_whole

import graphc

Array = NDArray[Any]
ROOT = Path(__file__).parent.parent
ROUNDS = 300
LIFT = "lift_state, fold_constants"
PACKED = "lift_state: {pack: true}, fold_constants"
SPEC = """version: 1
model: {model}
output: {output}.onnx
target: onnxruntime
stream: {stream}
passes: [{passes}]
"""
SIZES = {"Conformer 16 x 144, 16 left": Size(), "Conformer 12 x 256, 8 left": Size(layers=12, dim=256, left=8)}
EXAMPLES = ("crnn", "keyword_dscnn", "lstm_tagger", "quartznet", "tcn", "wavenet", "rnnt_encoder", "encoder_decoder")


class Timed:
    """A model on random inputs of its declared shapes; integer inputs count frames."""

    def __init__(self, path: Path, free: int = 1, profile: bool = False):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_profiling = profile
        options.profile_file_prefix = str(path.with_suffix(".profile"))
        self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        rng = np.random.default_rng(0)
        self.feeds: dict[str, Array] = {}
        for port in self.session.get_inputs():
            shape = [d if isinstance(d, int) else free for d in port.shape]
            whole = "int" in port.type
            values = np.full(shape, 4, np.int64) if whole else rng.standard_normal(shape).astype(np.float32) * 0.3
            self.feeds[port.name] = values

    def __call__(self) -> None:
        self.session.run(None, self.feeds)


def medians(paths: Sequence[tuple[Path, int]], rounds: int = ROUNDS) -> list[float]:
    """Milliseconds of each model, all taking turns."""
    models = [Timed(path, free) for path, free in paths]
    seconds: list[list[float]] = [[] for _ in models]
    for _ in range(rounds):
        for model, found in zip(models, seconds, strict=True):
            start = time.perf_counter()
            model()
            found.append(time.perf_counter() - start)
    return [float(np.median(s)) * 1000 for s in seconds]


def compiled(folder: Path, output: str, model: Path, stream: str, passes: str) -> Path:
    spec = folder / f"{output}.yaml"
    spec.write_text(SPEC.format(model=model, output=output, stream=stream, passes=passes))
    graphc.compile(spec)
    return folder / f"{output}.onnx"


def nodes(path: Path) -> int:
    return len(onnx.load(path).graph.node)


def row(name: str, what: str, value: float, bar: float, more: str = "") -> None:
    print(f"{name:34}{what:46}{value:8.3f}{bar:8.2f}  {'held' if value <= bar else 'MISSED'}  {more}", flush=True)


def one_conformer(folder: Path, name: str, size: Size, profile: bool) -> None:
    model = conformer(size)
    whole, twin = folder / "whole.onnx", folder / "twin.onnx"
    export_whole(model, size.dim, whole)
    export_twin(Twin(model).eval(), twin)
    stream = f"{{chunk: {size.block}, inputs: {{x: {{axis: 1}}}}}}"
    start = time.perf_counter()
    fused = compiled(folder, "fused", whole, stream, f"{LIFT}, fuse, simplify")
    seconds = time.perf_counter() - start
    lifted = compiled(folder, "lifted", whole, stream, LIFT)
    packed = compiled(folder, "packed", whole, stream, f"{PACKED}, fuse, simplify")
    context = size.cache + size.block
    a, b, c, d = medians([(fused, 1), (twin, 1), (whole, context), (packed, 1)])
    row(name, "over the hand-written twin", a / b, 0.60, f"{a:.2f} ms, {b:.2f} ms")
    row(name, "the same with packed state ports", d / b, 0.60, f"{d:.2f} ms")
    row(name, "over the offline model on its context", a / c, 0.18, f"{c:.2f} ms; the twin {b / c:.2f}")
    row(name, "the same with packed state ports", d / c, 0.18)
    row(name, "nodes over the offline export", nodes(fused) / nodes(whole), 0.25, f"{nodes(fused)}, {nodes(whole)}")
    row(name, "compiled and validated, seconds", seconds, 60)
    others(name, folder, lifted, fused, 0.75, 1.0)
    floor(name, fused, a, size.block)
    if profile:
        show_profile("twin", twin)
        show_profile("lifted", lifted)
        show_profile("fused", fused)


def others(name: str, folder: Path, lifted: Path, fused: Path, bar_slim: float, bar_ort: float) -> None:
    """The fused model against the same lifted model after other optimisers."""
    slim, saved = folder / "slim.onnx", folder / "saved.onnx"
    onnx.save(onnxslim.slim(onnx.load(lifted)), slim)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(saved)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(lifted), options, ["CPUExecutionProvider"])
    a, b, c = medians([(fused, 1), (slim, 1), (saved, 1)])
    row(name, "over the lifted model after onnxslim", a / b, bar_slim, f"{a:.3f} ms, {b:.3f} ms")
    row(name, "over it as onnxruntime saves it", a / c, bar_ort, f"{c:.3f} ms")


def floor(name: str, path: Path, milliseconds: float, frames: int) -> None:
    """The time over its floor: reading the weights once, or the multiply-adds at the rate of products of this size."""
    weights = sum(
        int(np.prod(t.dims)) for t in onnx.load(path).graph.initializer if t.data_type == 1 and len(t.dims) > 1
    )
    data = np.ones(25_000_000, np.float32)
    data.sum()
    start = time.perf_counter()
    data.sum()
    bandwidth = data.nbytes / (time.perf_counter() - start)
    a, b = np.ones((frames, 512), np.float32), np.ones((512, 512), np.float32)
    start = time.perf_counter()
    for _ in range(200):
        a @ b
    rate = 200 * frames * 512 * 512 / (time.perf_counter() - start)
    read, computed = 4e3 * weights / bandwidth, 1e3 * weights * frames / rate
    says = f"{weights / 1e6:.1f} M weights read at {bandwidth / 1e9:.1f} GB/s {read:.2f} ms, multiplied at "
    says += (
        f"{rate / 1e9:.1f} G/s {computed:.2f} ms; the call takes {milliseconds / max(read, computed):.2f} times that"
    )
    print(f"{name:34}floor: {says}")


def one_pair(folder: Path, name: str, pair: Pair, profile: bool) -> None:
    whole, twin = folder / "whole.onnx", folder / "twin.onnx"
    x = torch.randn(1, 50, pair.features)
    arguments: dict[str, Any] = {"dynamo": False, "opset_version": 17, "input_names": ["x"], "output_names": ["y"]}
    export_whole(pair.whole, pair.features, whole)
    states = [f"state_{i}" for i in range(len(pair.states))]
    arguments |= {"input_names": ["x", *states], "output_names": ["y", *(f"{s}_next" for s in states)]}
    torch.onnx.export(pair.twin, (x[:, : pair.chunk], *pair.states), str(twin), **arguments)
    stream = f"{{chunk: {pair.chunk}, inputs: {{x: {{axis: 1}}}}}}"
    fused = compiled(folder, "fused", whole, stream, f"{LIFT}, fuse")
    a, b = medians([(fused, 1), (twin, 1)], 3 * ROUNDS)
    row(name, "over the hand-written twin", a / b, 0.80, f"{a:.3f} ms, {b:.3f} ms")
    if profile:
        show_profile("twin", twin)
        show_profile("fused", fused)


def one_example(folder: Path, name: str, exporter: str) -> None:
    model = ROOT / "examples" / "models" / f"{name}.{exporter}.onnx"
    spec = (ROOT / "specs" / f"{name}.{exporter}.yaml").read_text()
    stream = json.dumps({"chunk": 16, **inputs_of(spec)})
    lifted = compiled(folder, "lifted", model, stream, LIFT)
    fused = compiled(folder, "fused", model, stream, f"{LIFT}, fuse")
    depthwise = exporter == "dynamo" and name in ("quartznet", "keyword_dscnn")
    others(f"{name}.{exporter}", folder, lifted, fused, 0.5 if depthwise else 1.0, 1.0)


def inputs_of(spec: str) -> dict[str, Any]:
    """The inputs of an example's own spec, which only those with several streams have."""
    from ruamel.yaml import YAML

    stream = YAML(typ="safe").load(spec)["stream"]
    return {"inputs": stream["inputs"]} if "inputs" in stream else {}


def show_profile(label: str, path: Path, runs: int = 100) -> None:
    model = Timed(path, profile=True)
    for _ in range(runs):
        model()
    file = Path(model.session.end_profiling())
    spent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for event in json.loads(file.read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            spent[event["args"]["op_name"]] += event["dur"]
            count[event["args"]["op_name"]] += 1
    file.unlink()
    total = sum(spent.values())
    shown = ", ".join(
        f"{n / runs:.0f} {op} {spent[op] / total:.0%}" for op, n in count.most_common() if spent[op] > total / 50
    )
    print(f"    {label}: {sum(count.values()) / runs:.0f} nodes, {total / runs / 1000:.2f} ms while profiled: {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="add the time by op kind")
    parser.add_argument("--only", default="", help="only rows whose name contains this")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print(f"{'model':34}{'what':46}{'ratio':>8}{'bar':>8}")
    for name, size in SIZES.items():
        if arguments.only in name:
            with tempfile.TemporaryDirectory() as folder:
                one_conformer(Path(folder), name, size, arguments.profile)
    for name, pair in pairs().items():
        if arguments.only in name:
            with tempfile.TemporaryDirectory() as folder:
                one_pair(Path(folder), name, pair, arguments.profile)
    for name in EXAMPLES:
        for exporter in ("torchscript", "dynamo"):
            if arguments.only in name:
                with tempfile.TemporaryDirectory() as folder:
                    one_example(Path(folder), name, exporter)


if __name__ == "__main__":
    sys.exit(main())
