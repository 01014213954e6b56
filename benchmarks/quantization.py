"""Quantized models: sizes, times, ratios on streams, states, mixed precision and drift, as one table.

Needs torch (the ``bench`` extra). Times are medians of calls that take turns, one thread.

    python benchmarks/quantization.py [--minutes 30]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from conformer import Size, conformer
from fusion import medians, row, show_profile
from small_models import pairs
from streaming_twin import export_whole

import graphc

ROOT = Path(__file__).parent.parent
SPEC = """version: 1
model: {model}
output: {output}.onnx
target: onnxruntime
stream: {stream}
passes: [lift_state, fold_constants, fuse, simplify{quantize}]
{more}
"""
LSTM = "LSTM 2 x 256"
BANDS = 80
ANY = "tolerance: {snr_db: -100}"


class Case:
    """One model, compiled in several ways."""

    def __init__(self, folder: Path, name: str, model: Path, stream: str):
        self.folder, self.name, self.model, self.stream = folder, name, model, stream
        self.whole = self.compiled("float", "")

    def compiled(self, output: str, quantize: str, more: str = "") -> dict[str, Any]:
        spec = self.folder / f"{output}.yaml"
        quantize = f", {quantize}" if quantize else ""
        text = SPEC.format(model=self.model, output=output, stream=self.stream, quantize=quantize, more=more)
        spec.write_text(text)
        return graphc.compile(spec).data

    def snr(self, report: dict[str, Any]) -> float:
        return float(min(d["snr_db"] for d in report["passes"][-1]["against_offline"]))

    def time_over_float(self, *outputs: str) -> list[float]:
        paths = [(self.folder / f"{o}.onnx", 1) for o in ("float", *outputs)]
        first, *others = medians(paths)
        return [t / first for t in others]


def at_least(name: str, what: str, value: float, bar: float, more: str = "") -> None:
    print(f"{name:34}{what:46}{value:8.3f}{bar:8.2f}  {'held' if value >= bar else 'MISSED'}  {more}", flush=True)


def sizes_and_times(case: Case) -> None:
    dynamic = case.compiled("dynamic", f"quantize: {{mode: dynamic, {ANY}}}")
    static = case.compiled("static", f"quantize: {{mode: static, {ANY}}}")
    times = case.time_over_float("dynamic", "static")
    for label, report, time, bar in (("dynamic", dynamic, times[0], 0.85), ("static", static, times[1], 0.70)):
        row(case.name, f"{label} int8: size over float32", report["size"] / case.whole["size"], 0.30)
        row(case.name, f"{label} int8: time of a chunk over float32", time, bar)
        at_least(case.name, f"{label} int8: SNR on streams, dB", case.snr(report), 20.0)
    for label in ("float", "dynamic", "static"):
        show_profile(label, case.folder / f"{label}.onnx")


def calibrations(case: Case) -> None:
    """Calibration on streams against calibration on single calls, all else the same."""
    carried = case.snr(case.compiled("carried", f"quantize: {{mode: static, {ANY}}}"))
    alone = f"quantize: {{mode: static, calibration: {{states: first}}, {ANY}}}"
    single = case.snr(case.compiled("single", alone))
    told = f"{carried:.1f}, {single:.1f}"
    at_least(case.name, "SNR, calibrated on streams less on calls, dB", carried - single, 0.0, told)


def states(case: Case) -> None:
    plain = case.compiled("plain", f"quantize: {{mode: dynamic, {ANY}}}")
    narrow = case.compiled("narrow", f"quantize: {{mode: dynamic, states: int8, {ANY}}}")
    both = zip(plain["states"], narrow["states"], strict=True)
    caches = [(a["bytes"], b["bytes"]) for a, b in both if b["dtype"] == "int8"]
    row(case.name, "int8 caches: bytes over float32", sum(b for _, b in caches) / sum(a for a, _ in caches), 0.27)
    row(case.name, "int8 caches: SNR lost, dB", case.snr(plain) - case.snr(narrow), 1.0)


def mixed(case: Case) -> None:
    report = case.compiled("mixed", f"quantize: {{mode: dynamic, budget: {{snr_db: 30}}, {ANY}}}")
    summary = next(n for n in report["passes"][-1]["notes"] if "of the weights in integers" in n)
    at_least(case.name, "mixed precision at 30 dB: share in int8", float(summary.split("%")[0]) / 100, 0.80, summary)


def drift(case: Case, minutes: float) -> None:
    quantize = f"quantize: {{mode: dynamic, {ANY}}}"
    sources = {"random frames": ""}
    if shutil.which("espeak-ng") is not None:
        np.save(case.folder / "spoken.npy", spoken_features())
        sources["spoken frames"] = ", paths: [spoken.npy]"
    for label, paths in sources.items():
        found = case.compiled("drift", quantize, f"validate: {{drift: {{minutes: {minutes}{paths}}}}}")["drift"]
        rises = {n: f"{o['rise_db']:+.2f} dB, SNR {o['snr_db']:.1f} dB" for n, o in found["outputs"].items()}
        print(f"{case.name:34}drift over {minutes:g} minutes of {label}: {found['verdict']}  {rises}", flush=True)


def spoken_features() -> np.ndarray[Any, Any]:
    """Log energies of 80 bands of espeak-ng's speech, 10 ms a frame, as features [1, T, 80]."""
    sys.path.insert(0, str(ROOT / "examples" / "real"))
    from speech import spoken

    sound = spoken(16_000)
    frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160] * np.hanning(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    bands = np.stack([p.sum(axis=1) for p in np.array_split(power[:, 1:], BANDS, axis=1)], axis=1)
    logs = np.log(bands + 1e-6)
    return ((logs - logs.mean(0)) / (logs.std(0) + 1e-6))[None].astype(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long the drift is measured")
    minutes = parser.parse_args().minutes
    warnings.simplefilter("ignore")
    print(f"{'model':34}{'what':46}{'value':>8}{'bar':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = Size()
        export_whole(conformer(size), size.dim, folder / "conformer.onnx")
        stream = f"{{chunk: {size.block}, frame_ms: 10, inputs: {{x: {{axis: 1}}}}}}"
        large = Case(folder, "Conformer 16 x 144, 16 left", folder / "conformer.onnx", stream)
        sizes_and_times(large)
        calibrations(large)
        states(large)
        mixed(large)
        pair = pairs()[LSTM]
        export_whole(pair.whole, pair.features, folder / "lstm.onnx")
        lstm = Case(folder, LSTM, folder / "lstm.onnx", "{chunk: 4, frame_ms: 10, inputs: {x: {axis: 1}}}")
        calibrations(lstm)
        mixed(lstm)
        drift(lstm, minutes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
