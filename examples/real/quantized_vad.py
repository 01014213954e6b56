"""Quantizes silero-vad in every mode and compares its decisions on speech.

    python examples/real/quantized_vad.py [FOLDER]

Calibration uses one voice of espeak-ng, the comparison another. Prints, for each mode, the size of the model, the
signal-to-noise ratio of its probabilities against those of the float model, and in how many frames it decides
differently whether somebody speaks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from fetch import fetch
from numpy.typing import NDArray
from speech import spoken

import graphc

Array = NDArray[Any]
RATE, CHUNK = 16_000, 512
SPEAKS = 0.5
MOST_OTHERWISE = 0.02
CONV_DYNAMIC, CONV_STATIC = "dynamic, Conv too", "static, Conv"
HEARD = "calibration: {paths: [voice.wav]}"
ANY = "tolerance: {snr_db: -100}"
MODES = {
    "float32": "simplify",
    "float16": "convert_float: {tolerance: {snr_db: 20}}",
    "dynamic": f"quantize: {{mode: dynamic, {ANY}}}",
    CONV_DYNAMIC: f"quantize: {{mode: dynamic, ops: [MatMul, Gemm, LSTM, Conv], {ANY}}}",
    CONV_STATIC: f"quantize: {{mode: static, ops: [Conv], {HEARD}, {ANY}}}",
    "weight_only": f"quantize: {{mode: weight_only, ops: [LSTM, Conv], {ANY}}}",
    "states in float16": f"quantize: {{mode: dynamic, states: {{given: float16}}, {ANY}}}",
    "mixed, 30 dB": f"quantize: {{mode: weight_only, ops: [LSTM, Conv], {HEARD}, budget: {{snr_db: 30}}, {ANY}}}",
}


def compiled(folder: Path, passes: str) -> graphc.StreamSession:
    """silero-vad, compiled by its spec with other passes at the end."""
    text = (Path(__file__).parent / "silero_vad.yaml").read_text()
    spec = folder / "quantized_vad.yaml"
    spec.write_text(text.replace("simplify]", passes + "]").replace("silero_vad.stream", "quantized_vad"))
    graphc.compile(spec)
    return graphc.StreamSession(folder / "out" / "quantized_vad.onnx")


def probabilities(session: graphc.StreamSession, sound: Array) -> Array:
    """The probability of speech in each chunk."""
    session.push(sr=np.array(RATE))
    chunks = sound[: sound.size // CHUNK * CHUNK].reshape(-1, 1, CHUNK)
    return np.array([session.push(input=chunk)["output"][0, 0] for chunk in chunks])


def main() -> int:
    folder = fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "out" / "real")
    soundfile.write(folder / "voice.wav", spoken(RATE, "en-us+f3"), RATE)
    sound = spoken(RATE)
    want = probabilities(compiled(folder, MODES["float32"]), sound)
    failed: list[str] = []
    for mode, passes in MODES.items():
        got = probabilities(compiled(folder, passes), sound)
        noise = float(np.sum((got - want) ** 2))
        ratio = 10 * np.log10(float(np.sum(want**2)) / noise) if noise else np.inf
        otherwise = float(np.mean((got > SPEAKS) != (want > SPEAKS)))
        megabytes = (folder / "out" / "quantized_vad.onnx").stat().st_size / 1e6
        if mode not in (CONV_DYNAMIC, CONV_STATIC) and otherwise > MOST_OTHERWISE:
            failed.append(mode)
        told = f"decides differently in {otherwise:.1%} of {want.size} frames"
        print(f"{mode:20} {megabytes:6.3f} MB  {ratio:6.1f} dB  {told}")
    print(
        f"too many decisions differ: {', '.join(failed)}"
        if failed
        else "all modes that leave Conv in float decide as before"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
