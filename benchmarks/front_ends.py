"""Front ends compared with their libraries: how far they differ, and what a call costs.

    python benchmarks/front_ends.py [--share]

Distances are those of tests/front_ends, in units of the natural logarithm (decibels and cepstra are converted to it).
The libraries' own features are in references.npz, with their versions. ``--share`` needs torch: it times a call of each
front end that gives 16 frames, and a call of the 16-layer Conformer for the four encoder frames that they make.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import graphc

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
from tests.front_ends.cases import CASES, SIGNALS, Case, front_end_model, references, with_peak  # noqa: E402

FRAMES, ROUNDS, CALLS = 16, 15, 40
SHARED = ("kaldi_fbank", "nemo_mel", "whisper_mel", "torchaudio_mel_slaney", "librosa_mel", "openwakeword_mel")


def hop_of(name: str) -> int:
    return {"torchaudio_mel_odd": 110, "torchaudio_mel": 200, "torchaudio_mfcc": 200, "librosa_mel_defaults": 512}.get(
        name, 160
    )


def streamed(folder: Path, name: str, case: Case) -> graphc.StreamSession:
    """The front end, compiled so that a call gives 16 frames."""
    onnx.save(front_end_model(case), folder / f"{name}.onnx")
    spec = folder / f"{name}.yaml"
    spec.write_text(
        f"version: 1\nmodel: {name}.onnx\noutput: {name}.stream.onnx\n"
        f"stream: {{chunk: {FRAMES * hop_of(name)}, inputs: {{samples: {{axis: 1}}}}}}\n"
        "passes: [lift_state, fold_constants, fuse, simplify]\n"
    )
    graphc.compile(spec)
    return graphc.StreamSession(folder / f"{name}.stream.onnx")


def distances(folder: Path) -> None:
    known = references()
    print("| front end | library | nodes | from the library: speech | noise | streamed from offline |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, plain in CASES.items():
        apart, worst = [], 0.0
        for signal in SIGNALS:
            case = with_peak(plain, signal)
            model, samples = front_end_model(case), known[f"signal/{signal}"][None]
            offline = ort.InferenceSession(model.SerializeToString()).run(None, {"samples": samples})[0]
            made = offline[0]
            if name == "openwakeword_mel":
                made = np.maximum(made, made.max() - 8)
            scale = np.abs(known[f"{name}/{signal}"]).max() / 100 if "mfcc" in name else 1.0
            apart.append(np.abs(made - known[f"{name}/{signal}"]).max() / case.unit / max(1.0, scale))
            session = streamed(folder, name, case)
            whole = session.run(samples)["out"]
            worst = max(worst, np.abs(whole - offline).max() / max(1.0, np.abs(offline).max()))
        nodes = sum(n.name.startswith("front_end/") and n.op_type != "Transpose" for n in model.graph.node)
        library = f"{plain.library} {known[f'version/{plain.library}']}"
        print(f"| {name} | {library} | {nodes} | {apart[0]:.1e} | {apart[1]:.1e} | {worst:.1e} |")


def milliseconds(session: graphc.StreamSession, frames: np.ndarray) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        session.push(frames)
    return (time.perf_counter() - start) / CALLS * 1000


def shares(folder: Path) -> None:
    from conformer import Size, conformer
    from streaming_twin import compiled, export_whole

    size = Size()
    export_whole(conformer(size), size.dim, folder / "whole.onnx")
    network = graphc.StreamSession(compiled(folder, "network", size.block))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, size.block, size.dim)).astype(np.float32)
    for name in SHARED:
        session = streamed(folder, name, with_peak(CASES[name], "speech"))
        samples = rng.standard_normal((1, FRAMES * hop_of(name))).astype(np.float32)
        for warm, frames in ((network, x), (session, samples)):
            milliseconds(warm, frames)
        pairs = [(milliseconds(session, samples), milliseconds(network, x)) for _ in range(ROUNDS)]
        front, whole = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{name}: {front:.3f} ms, the Conformer {whole:.3f} ms: {front / (front + whole):.1%} of both")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", action="store_true", help="time each beside the 16-layer Conformer")
    with tempfile.TemporaryDirectory() as name:
        if parser.parse_args().share:
            shares(Path(name))
        else:
            distances(Path(name))


if __name__ == "__main__":
    main()
