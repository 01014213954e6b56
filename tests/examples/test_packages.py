"""Streaming encoders and codecs of other packages, exported as they are: equal offline, and equal to their own streaming."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT
from promise import lifted_at, streams_equal

from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import run_stream, session_of

MODELS = sorted((ROOT / "examples" / "packages").glob("*.onnx"))
FEATURES = InputSpec(axis=1)
INPUTS = {
    "encodec": {"wave": InputSpec(axis=2)},
    "mimi": {"latents": InputSpec(axis=2)},
    "moonshine": {"wave": InputSpec(axis=1)},
    "nemotron_padded": {"features": FEATURES, "lengths": InputSpec(counts="features")},
    "vibevoice": {"wave": InputSpec(axis=2)},
    "voxtral": {"features": InputSpec(axis=2)},
}
AT_NIGHT = ("nemotron", "nemotron_padded", "encodec", "mimi", "speechbrain", "voxtral")
FIRST_FRAMES_ONLY = {"nemotron": 3}


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=pytest.mark.nightly) if p.stem in AT_NIGHT else p for p in MODELS],
    ids=lambda p: p.stem,
)
def test_package_streams_equal(path: Path) -> None:
    """Against the offline graph at many lengths, and against what the package itself gave for one stream."""
    kept = np.load(path.with_suffix(".npz"))
    offline = offline_of(read_model(path), StreamSpec(chunk=1, inputs=INPUTS.get(path.stem, {"features": FEATURES})))
    smallest = analyse(offline)
    for times in (0, 1, 3):
        lifted = lifted_at(smallest, times)
        assert lifted.signature is not None
        multiple = smallest.chunk_multiple
        shortest = max(lifted.signature.min_frames, multiple)
        lengths = {*range(shortest, 40 * multiple, 2 * multiple + 1), *offline.some_lengths()}
        verdict = streams_equal(offline, session_of(lifted), sorted(lengths))
        assert verdict.kind == "equal", verdict.detail
        session = session_of(lifted)
        (got,) = run_stream(session, dict.fromkeys(session.streams, kept["stream"])).values()
        np.testing.assert_allclose(got, kept["offline"], atol=1e-4)
        if "streamed" in kept:
            frames = FIRST_FRAMES_ONLY.get(path.stem, got.shape[1])
            np.testing.assert_allclose(got[:, :frames], kept["streamed"][:, :frames], atol=1e-4)


@pytest.mark.nightly
def test_a_model_that_takes_a_few_lengths_alone_streams_equal() -> None:
    """An export that runs at 234 to 241 frames, where its slow time has 31 frames at all."""
    path = ROOT / "examples" / "packages" / "nemotron.onnx"
    offline = offline_of(read_model(path), StreamSpec(chunk=1, inputs={"features": FEATURES}))
    verdict = streams_equal(offline, session_of(lifted_at(analyse(offline), 1)), [240])
    assert verdict.kind == "equal", verdict.detail
