"""Streams to text: the tokens of a stream are those of the whole utterance, by the same weights."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc as command
from conftest import ROOT
from one_error import one_line
from tests.front_ends.cases import references
from tests.pipelines.text_cases import MODELS, compile_examples, compile_joiner_with_predictor

import graphc
from graphc.client_projects.compiled_files import compiled_files
from graphc.client_projects.projects import project_of
from graphc.errors import SpecError
from graphc.ir.model import read_model
from graphc.ir.ort_session import Session
from graphc.passes.plan import source_of
from graphc.passes.registry import load_registry
from graphc.pipelines.token_tables import read_tokens
from graphc.spec.spec_file import load_spec
from graphc_runtime import ModelError, Pipeline, Transcript
from graphc_runtime.pipeline.ctc import GreedyCtc
from graphc_runtime.pipeline.manifest import CtcEntry
from graphc_runtime.pipeline.text import Utterance, text_of

BY_DAY, BY_NIGHT = 12, 200
BLANK_OF_CTC = 28
pytestmark = pytest.mark.xdist_group("text")
Decode = Callable[[np.ndarray], list[int]]


@pytest.fixture(scope="session")
def text_pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_examples(tmp_path_factory.mktemp("text"))


def offline_ctc(folder: Path) -> Decode:
    session = Session(source_of(load_spec(folder / "quartznet.yaml"), load_registry()))

    def decode(samples: np.ndarray) -> list[int]:
        best = session.run({"samples": samples})["log_probs"][0].argmax(axis=0)
        return [int(token) for token, _ in groupby(best) if token != BLANK_OF_CTC]

    return decode


def offline_transducer(folder: Path) -> Decode:
    encoder, predictor, joiner = (
        Session(read_model(MODELS / f"rnnt_{part}.torchscript.onnx")) for part in ("encoder", "predictor", "joiner")
    )

    def decode(features: np.ndarray) -> list[int]:
        state = {"h": np.zeros((1, 1, 32), np.float32), "c": np.zeros((1, 1, 32), np.float32)}
        found: list[int] = []
        token = 0
        moved = True
        encoded = encoder.run({"features": features})["encoder"]
        for frame in np.split(encoded, encoded.shape[1], axis=1):
            for _ in range(4):
                if moved:
                    run = predictor.run({"tokens": np.array([[token]]), **state})
                    state, moved = {"h": run["h_next"], "c": run["c_next"]}, False
                token = int(joiner.run({"encoder": frame, "predictor": run["predicted"]})["logits"].argmax())
                if token == 0:
                    break
                found.append(token)
                moved = True
        return found

    return decode


def utterances(kind: str, count: int) -> Iterator[np.ndarray]:
    """Random and spoken ones: noise, and a recording at all levels with noise over it; of features, shifted random."""
    rng = np.random.default_rng(7)
    speech = np.tile(references()["signal/speech"], 3)
    for number in range(count):
        if kind == "transducer":
            yield (rng.standard_normal((1, 4 * int(rng.integers(10, 60)), 20)) * rng.uniform(1, 4)).astype(np.float32)
            continue
        samples = rng.standard_normal(int(rng.integers(4000, 28000)))
        samples *= np.repeat(10 ** rng.uniform(-4, -0.3, 35), 800)[: len(samples)]
        if number % 2:
            start = int(rng.integers(0, 8000))
            spoken = speech[start : start + len(samples)]
            samples = 0.1 * samples[: len(spoken)] + spoken * rng.uniform(0.1, 1)
        yield samples[None].astype(np.float32)


@pytest.mark.parametrize("count", [BY_DAY, pytest.param(BY_NIGHT, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("kind", ["ctc", "transducer"])
def test_tokens_of_a_stream_are_those_of_the_whole(text_pipelines: Path, kind: str, count: int) -> None:
    decode = (offline_ctc if kind == "ctc" else offline_transducer)(text_pipelines)
    pipeline = Pipeline(text_pipelines / "out" / f"{kind}_whole")
    rng, lengths = np.random.default_rng(1), []
    for frames in utterances(kind, count):
        pipeline.reset()
        told: list[Transcript] = []
        at = 0
        while at < frames.shape[1]:
            size = int(rng.integers(1, 3000 if kind == "ctc" else 50))
            told += pipeline.push(frames[:, at : at + size])
            at += size
        told += pipeline.flush()
        want = decode(frames)
        assert list(told[-1].tokens if told else ()) == want
        assert [t.final for t in told] == [False] * (len(told) - 1) + [True] * bool(told)
        lengths.append(len(want))
    assert np.mean(lengths) > 3


def test_what_a_language_or_a_program_lacks_is_told(text_pipelines: Path, tmp_path: Path) -> None:
    sound = replace(compiled_files(text_pipelines / "out" / "ctc"), decoder="denoise")
    with pytest.raises(ModelError, match="web client has no 'denoise' decoder") as caught:
        project_of(sound, "web")
    assert "use --language python" in str(caught.value.hint)
    done = command("client", text_pipelines / "out" / "transducer", "--language", "cpp", "-o", tmp_path / "app")
    assert done.returncode == 2
    assert (
        "the pipeline takes features ('features', 20 numbers a frame), but the written client reads sound"
        in done.stderr
    )
    assert not (tmp_path / "app").exists()


def test_an_utterance_that_ends_begins_anew(text_pipelines: Path) -> None:
    """Each final transcript is what the offline model makes of its own samples alone."""
    decode, pipeline = offline_ctc(text_pipelines), Pipeline(text_pipelines / "out" / "ctc")
    assert pipeline.decoder is not None
    rng = np.random.default_rng(3)
    loud = [rng.standard_normal(8000) * 0.3 for _ in range(3)]
    samples = np.concatenate([part for one in loud for part in (one, np.zeros(24000))])[None].astype(np.float32)
    pipeline.decoder.utterance.entry = replaced(pipeline)
    begun, ends = 0, []
    for at in range(0, samples.shape[1], 1280):
        for told in pipeline.push(samples[:, at : at + 1280]):
            if told.final:
                ends.append((begun, at + 1280, told))
                begun = at + 1280
    for start, end, told in ends:
        assert list(told.tokens) == decode(samples[:, start:end])
    assert len(ends) >= 2
    for piece in (500, 3000, samples.shape[1]):
        pipeline.reset()
        pieces = [samples[:, at : at + piece] for at in range(0, samples.shape[1], piece)]
        finals = [told for one in pieces for told in pipeline.push(one) if told.final]
        assert finals == [told for _, _, told in ends], "however the sound is cut"


def replaced(pipeline: Pipeline) -> CtcEntry:
    """The decoder's entry with an endpoint so short that noise has some."""
    assert pipeline.manifest.ctc is not None
    return replace(pipeline.manifest.ctc, endpoint_s=0.04)


def test_a_transducer_of_transformers_says_what_its_own_generate_says() -> None:
    """The tutorial's models: samples to text, by one recording that they know."""
    folder = ROOT / "examples" / "transcript"
    graphc.compile(folder / "transcript.yaml")
    pipeline = Pipeline(ROOT / "out" / "transcript")
    with wave.open(str(ROOT / "examples" / "wake_word" / "alexa.wav")) as file:
        samples = (np.frombuffer(file.readframes(10**7), "<i2") / np.float32(32768))[None]
    told = [t for at in range(0, samples.shape[1], 3000) for t in pipeline.push(samples[:, at : at + 3000])]
    last = [*told, *pipeline.flush()][-1]
    assert isinstance(last, Transcript)
    assert list(last.tokens) == np.load(folder / "reference.npz")["tokens"].tolist()
    assert last.text == "alexa turn off the light alexa"


def entry(**more: object) -> CtcEntry:
    return CtcEntry(**{"blank": 0, "tokens": None, "space": "▁", "endpoint_s": None, "scores": "s", **more})  # type: ignore[arg-type]


def test_repetitions_and_blanks_are_left_out() -> None:
    greedy = GreedyCtc(entry())
    frames = np.eye(3)[[0, 1, 1, 0, 1, 2, 2, 0, 0, 2]]
    assert [t for frame in frames for t in greedy.tokens(frame)] == [1, 1, 2, 2]


def test_pieces_become_text() -> None:
    table = ["", "▁hel", "lo", "▁w", "<0xC3>", "<0xB6>", "rld"]
    assert text_of([1, 2, 3, 4, 5, 6], entry(tokens=table)) == "hello wörld"
    assert text_of([1, 99], entry(tokens=table)) == "hel"
    assert text_of([1, 2], entry()) == ""


def test_silence_behind_a_token_ends_an_utterance() -> None:
    utterance = Utterance(entry(endpoint_s=0.3), 0.1)
    for tokens in ([], [], [], [], [5], []):
        utterance.frame(tokens)
        assert not utterance.ended
    utterance.frame([])
    utterance.frame([])
    assert utterance.ended
    assert utterance.transcript(final=True) == [Transcript("", (5,), pytest.approx(0.5), True)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokens.txt", "<blk> 0\n▁a 1\nb 2\n"),
        ("tokens.txt", "b 2\n▁a 1\n<blk> 0\n"),
        ("tokens.txt", "<blk>\n▁a\nb\n"),
        ("vocab.json", '{"▁a": 1, "b": 2, "<blk>": 0}'),
        ("vocab.json", '["<blk>", "▁a", "b"]'),
    ],
)
def test_tables_of_tokens_as_toolkits_write_them(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_tokens(tmp_path / name) == ["<blk>", "▁a", "b"]


@pytest.mark.parametrize(
    ("name", "text"), [("vocab.json", "{"), ("vocab.json", '{"a": "b"}'), ("vocab.json", '{"a": 99999999}')]
)
def test_what_is_no_table_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match="not a table of tokens"):
        read_tokens(tmp_path / name)
    with pytest.raises(SpecError, match="cannot be read"):
        read_tokens(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("encoder: encoder\n", "encoder: encoded\n", "the pipeline has no output 'encoded'; did you mean 'encoder'"),
        ("token: tokens", "token: token", "'predictor' has no input 'token'; did you mean 'tokens'"),
        ("output: logits", "output: logit", "'joiner' has no output 'logit'; did you mean 'logits'"),
        ("stage: joiner", "stage: join", "the transducer names unknown stages: join"),
        ("predictor: predictor, ", "", "give exactly one of predictor and token"),
        ("blank: 0", "blank: 99", "99 is not one of the 29 tokens (0 to 28)"),
        ("blank: 0", "blank: 0\n    tokens: short.txt", "the table has 3 tokens, but the model scores 29"),
    ],
)
def test_a_decoder_that_does_not_fit_is_refused(text_pipelines: Path, old: str, new: str, message: str) -> None:
    text = (text_pipelines / "transducer.yaml").read_text()
    assert old in text
    (text_pipelines / "short.txt").write_text("a\nb\nc\n")
    (text_pipelines / "wrong.yaml").write_text(text.replace(old, new, 1).replace("out/transducer", "out/wrong"))
    done = command("compile", text_pipelines / "wrong.yaml")
    assert done.returncode == 2
    assert message in one_line(done)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictor": None}, "neither a predictor's output nor a single token"),
        (
            {"joiner": {"stage": "joiner", "encoder": "encoder", "token": "", "output": "logits"}, "predictor": None},
            "neither",
        ),
        ({"joiner": {"stage": "join", "encoder": "e", "predictor": "p", "output": "o"}}, "unknown stages: join"),
        ({"start": 2**63}, "out of range"),
        ({"encoder": "other"}, "the model gives no 'other'"),
    ],
)
def test_a_transducer_that_lies_is_refused(text_pipelines: Path, change: dict[str, object], message: str) -> None:
    file = text_pipelines / "out" / "transducer" / "pipeline.manifest.json"
    text = file.read_text()
    data = json.loads(text)
    try:
        file.write_text(json.dumps({**data, "decoder": {**data["decoder"], **change}}))
        with pytest.raises(ModelError, match=message):
            Pipeline(file.parent)
    finally:
        file.write_text(text)


def test_a_joiner_with_its_predictor_inside(tmp_path: Path) -> None:
    folder = compile_joiner_with_predictor(tmp_path)
    session = Session(onnx.load(folder / "joint.onnx"))
    x = np.random.default_rng(0).standard_normal((1, 5, 21)).astype(np.float32)
    state, last, want = np.zeros((1, 1, 1), np.float32), 0, []
    for frame in np.split(np.maximum(x, 0), 21, axis=2):
        for _ in range(3):
            feeds = {"encoder_outputs": frame, "targets": np.array([[last]], np.int32), "states": state}
            run = session.run({**feeds, "target_length": np.array([1], np.int32)})
            token = int(run["outputs"].argmax())
            if token == 0:
                break
            state, last = run["output_states"], token
            want.append(token)
    pipeline = Pipeline(folder / "out" / "pipe")
    told = [*pipeline.push(x), *pipeline.flush()]
    assert list(told[-1].tokens) == want
    assert len(want) > 5
    manifest = json.loads((folder / "out" / "pipe" / "pipeline.manifest.json").read_text())
    assert manifest["kind"] == "transducer"
