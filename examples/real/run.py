"""Compiles silero-vad, DeepFilterNet3 and swift-f0 and runs them on speech: ``python examples/real/run.py [FOLDER]``.

Compares the VAD's probabilities before and after, the denoiser's three models streamed and offline, and the pitch of a
stream with that of the whole recording; prints what the denoiser does to noisy speech, and its real-time factor. Exits
with 1 if something differs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from fetch import fetch
from numpy.typing import NDArray
from spectrum import HOP, LOOKAHEAD, RATE, Analysis, Filter, Synthesis
from speech import spoken

import graphc
from graphc.ir.model import read_model
from graphc.ir.ort_session import Session

Array = NDArray[Any]
TOLERANCE = 1e-4


def compiled(folder: Path, name: str) -> Path:
    """Compiles a spec of this folder beside the models."""
    spec = folder / f"{name}.yaml"
    spec.write_text((Path(__file__).parent / spec.name).read_text())
    graphc.compile(spec)
    return folder / "out" / f"{name}.stream.onnx"


def run_vad(folder: Path) -> bool:
    """Speech probabilities chunk by chunk, from the original model and from the compiled one."""
    sound = spoken(16000)
    offline = Session(read_model(folder / "silero_vad_16k_op15.onnx"))
    session = graphc.StreamSession(compiled(folder, "silero_vad"))
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32)
    want, got = [], []
    session.push(sr=np.array(16000))
    for start in range(0, sound.size - 511, 512):
        chunk = sound[start : start + 512]
        feeds = {"input": np.concatenate([context, chunk])[None], "state": state, "sr": np.array(16000)}
        outputs = offline.run(feeds)
        state, context = outputs["stateN"], chunk[-64:]
        want.append(float(outputs["output"][0, 0]))
        got.append(float(session.push(input=chunk[None])["output"][0, 0]))
    worst = float(np.abs(np.subtract(want, got)).max())
    heard = np.mean(np.array(want) > 0.5)
    print(f"silero-vad: {len(want)} chunks of speech, {heard:.0%} of them voiced; largest difference {worst:.2g}")
    return worst <= TOLERANCE and 0.2 < heard < 1


def run_denoiser(folder: Path) -> bool:
    """The three models hop by hop on noisy speech; then all hops at once through the offline models."""
    sessions = {name: graphc.StreamSession(compiled(folder, name)) for name in ("enc", "erb_dec", "df_dec")}
    clean = spoken(RATE)
    clean = clean[: clean.size // HOP * HOP]
    noise = np.random.default_rng(0).standard_normal(clean.size).astype(np.float32) * 0.02
    noisy = clean + noise
    analysis, filtering, synthesis = Analysis(), Filter(), Synthesis()
    features: list[tuple[Array, Array]] = []
    streamed: list[dict[str, Array]] = []
    heard: list[Array] = []
    started = time.perf_counter()
    for index in range(noisy.size // HOP):
        spectrum, erb, low = analysis(noisy[index * HOP : (index + 1) * HOP])
        filtering.hear(spectrum)
        if index < LOOKAHEAD:
            continue
        outputs = sessions["enc"].push(feat_erb=erb, feat_spec=low)
        gains = sessions["erb_dec"].push({k: outputs[k] for k in ("emb", "e3", "e2", "e1", "e0")})["m"]
        taps = sessions["df_dec"].push({k: outputs[k] for k in ("emb", "c0")})["coefs"]
        heard.append(synthesis(filtering(gains[0, 0, 0], taps[0, 0])))
        features.append((erb, low))
        streamed.append({**outputs, "m": gains, "coefs": taps})
    seconds = time.perf_counter() - started
    worst = worst_difference(folder, features, streamed)
    enhanced = np.concatenate(heard)
    lag = best_lag(clean, enhanced)
    before, after = quality(clean, noisy), quality(clean[: enhanced.size - lag], enhanced[lag:])
    print(f"DeepFilterNet3: {len(heard)} hops; largest difference of its models {worst:.2g}")
    print(f"  noisy speech {before:.1f} dB SI-SDR, denoised {after:.1f} dB, {lag / RATE * 1000:.0f} ms later")
    print(f"  real-time factor {seconds / (noisy.size / RATE):.3f}, features and synthesis in Python included")
    return worst <= TOLERANCE and after > before


def run_pitch(folder: Path) -> bool:
    """The pitch of speech, streamed in pieces of any size, and of all of it at once."""
    sound = spoken(16000)[None]
    limits = {"fmin": np.array(46.875, np.float32), "fmax": np.array(2093.75, np.float32)}
    want = Session(read_model(folder / "swift_f0.onnx")).run({"audio": sound, **limits})
    session = graphc.StreamSession(compiled(folder, "swift_f0"))
    rng, at = np.random.default_rng(0), 0
    parts = [session.push(limits)]
    while at < sound.shape[1]:
        size = int(rng.integers(1, 4000))
        parts.append(session.push(audio=sound[:, at : at + size]))
        at += size
    parts.append(session.flush())
    got = {name: np.concatenate([part[name] for part in parts], axis=1) for name in want}
    voiced = want["confidence"] >= 0.5
    sure = float(np.abs(got["confidence"] - want["confidence"]).max())
    off = float(np.abs(got["pitch"] / want["pitch"] - 1)[voiced].max())
    share, middle = voiced.mean(), np.median(want["pitch"][voiced])
    print(f"swift-f0: {voiced.size} frames of speech, {share:.0%} of them voiced, at {middle:.0f} Hz")
    print(f"  largest difference of the confidence {sure:.2g}, of the pitch of voiced frames {off:.2g}")
    return max(sure, off) <= TOLERANCE and 0.2 < share < 1


def worst_difference(folder: Path, features: list[tuple[Array, Array]], streamed: list[dict[str, Array]]) -> float:
    """The largest difference, over the largest value of its output, between streamed and offline."""
    erb = np.concatenate([f[0] for f in features], axis=2)
    low = np.concatenate([f[1] for f in features], axis=2)
    want = Session(read_model(folder / "enc.onnx")).run({"feat_erb": erb, "feat_spec": low})
    want |= Session(read_model(folder / "erb_dec.onnx")).run({k: want[k] for k in ("emb", "e3", "e2", "e1", "e0")})
    want |= {"coefs": Session(read_model(folder / "df_dec.onnx")).run({k: want[k] for k in ("emb", "c0")})["coefs"]}
    axes = {"emb": 1, "lsnr": 1, "coefs": 1}
    worst = 0.0
    for name, value in want.items():
        got = np.concatenate([s[name] for s in streamed], axis=axes.get(name, 2))
        worst = max(worst, float(np.abs(value - got).max() / np.abs(value).max()))
    return worst


def best_lag(clean: Array, enhanced: Array) -> int:
    """Samples by which the enhanced sound lags behind the clean one."""
    size = 1 << (clean.size + enhanced.size).bit_length()
    product = np.fft.irfft(np.fft.rfft(enhanced, size) * np.conj(np.fft.rfft(clean, size)))
    return int(np.argmax(product[: RATE // 2]))


def quality(clean: Array, other: Array) -> float:
    """Scale-invariant signal-to-distortion ratio in dB."""
    count = min(clean.size, other.size)
    a, b = clean[:count].astype(float), other[:count].astype(float)
    target = a * (a @ b) / (a @ a)
    return float(10 * np.log10(target @ target / ((b - target) @ (b - target))))


def main() -> int:
    folder = fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "out" / "real")
    good = [run_vad(folder), run_denoiser(folder), run_pitch(folder)]
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
