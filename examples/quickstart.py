"""Compiles a tagger from this repository with all five kinds of passes and for two device runtimes, streams it on each,
compares the outputs with the offline model's, and prints the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import graphc
from graphc.cli.terminal import show_report
from graphc.ir.model import read_model
from graphc.ir.ort_session import Session

ROOT = Path(__file__).parent.parent
SPEC = ROOT / "examples" / "quickstart.yaml"
OUTPUT = ROOT / "out" / "quickstart"
PUSHED = 7


def main() -> None:
    print(f"graphc compile {SPEC.relative_to(ROOT)}\n")
    report = graphc.compile(SPEC, graphc.Options(force=True))
    show_report(report, SPEC.name)

    print(f"\nThe same utterance of 203 frames, offline at once and streamed {PUSHED} frames at a time:")
    features = np.random.default_rng(0).standard_normal((1, 203, 40)).astype(np.float32)
    offline = Session(read_model(ROOT / "examples" / "models" / "lstm_tagger.torchscript.onnx")).run(
        {"features": features}
    )["log_probs"]
    pieces = [features[:, i : i + PUSHED] for i in range(0, features.shape[1], PUSHED)]
    streamed = stream(graphc.StreamSession(OUTPUT.with_suffix(".onnx")), pieces)
    noise = 10 * np.log10(np.sum(offline**2) / np.sum((offline - streamed) ** 2))
    same = np.mean(offline.argmax(-1) == streamed.argmax(-1))
    print(f"  offline gives {list(offline.shape)}, streamed {list(streamed.shape)}")
    print(f"  largest difference {np.abs(offline - streamed).max():.2g} ({noise:.1f} dB)")
    print("  all of it comes from quantize, for which the spec allows some error; the passes before it are equal")
    print(f"  {same:.1%} of the frames get the same class")
    for target in ("openvino", "tract"):
        on_device = stream(graphc.StreamSession(OUTPUT.with_suffix(".manifest.json"), target=target), pieces)
        print(f"  {target}: within {np.abs(on_device - streamed).max():.2g} of the same stream in onnxruntime")
    print(f"\nThe report: {OUTPUT.with_suffix('.report.html').relative_to(ROOT)}")


def stream(session: graphc.StreamSession, pieces: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The class scores of all pieces, [1, frames, classes]."""
    return np.concatenate([out["log_probs"] for out in session.stream(pieces)], axis=1)


if __name__ == "__main__":
    main()
