"""What may not change the numbers: the chunk, the batch, where a stream is cut, what runs beside it, what ran before it."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import ROOT, by_turns

import graphc
from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.spec_file import load_spec
from graphc.validate.run_streams import run_stream
from graphc.validate.validation_streams import streamed
from graphc_runtime.batch_session import BatchSession
from graphc_runtime.errors import InputError
from graphc_runtime.open_compiled import opened
from graphc_runtime.session import StreamSession

FRAMES = 157
EXACT = 2e-5
SPECS = {p.stem: p for p in sorted((ROOT / "specs").glob("*.yaml")) if "window" not in p.read_text()}
BATCHED = ("crnn.torchscript", "keyword_dscnn.dynamo", "quartznet.dynamo", "rnnt_encoder.torchscript", "tcn.dynamo")

Arrays = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metamorphic")


@cache
def compiled(name: str, folder: Path, times: int = 1, batch: int = 1, clocks: str = "shared") -> Path:
    """An example compiled by its exact passes at some multiple of its spec's chunk."""
    loaded = load_spec(SPECS[name])
    spec = loaded.spec
    assert spec.stream is not None
    data = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["model"] = str(loaded.model_path if batch == 1 else with_free_batch(loaded.model_path, folder))
    data["output"] = str(folder / f"{name}.{times}.{batch}.{clocks}.onnx")
    data["passes"] = [p.name for p in spec.passes if p.name != "quantize"]
    data["stream"] |= {"chunk": spec.stream.chunk * times} if isinstance(spec.stream.chunk, int) else {}
    data["stream"] |= ({"batch": batch} if batch > 1 else {}) | ({"clocks": clocks} if clocks != "shared" else {})
    data["validate"] = {"sequences": 2}
    data.pop("budget", None)
    path = folder / f"{name}.{times}.{batch}.{clocks}.yaml"
    path.write_text(json.dumps(data))
    graphc.compile(path)
    return Path(data["output"])


def with_free_batch(path: Path, folder: Path) -> Path:
    """The model with a symbolic batch dim; what the exporter made of the batch of one inside it fits any."""
    model = onnx.load(path)
    for port in [*model.graph.input, *model.graph.output]:
        port.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, folder / path.name)
    return folder / path.name


def offline(name: str) -> Offline:
    loaded = load_spec(SPECS[name])
    assert loaded.spec.stream is not None
    return offline_of(read_model(loaded.model_path), loaded.spec.stream, loaded)


def feeds_of(name: str, seed: int, frames: int = FRAMES) -> Arrays:
    reference = offline(name)
    frames = next(n for n in range(frames, 0, -1) if reference.accepts(n))
    return streamed(reference, reference.draw(frames, np.random.default_rng(seed)))


def equal(one: Arrays, other: Arrays) -> bool:
    return all(
        one[n].shape == other[n].shape
        and np.allclose(one[n], other[n], rtol=EXACT, atol=EXACT * max(1.0, np.abs(one[n]).max()))
        for n in one
    )


def same(one: Arrays, other: Arrays) -> bool:
    return all(np.array_equal(one[n], other[n], equal_nan=True) for n in one)


@pytest.mark.parametrize("name", by_turns(SPECS, 0, share=3))
def test_any_chunk_gives_the_same(name: str, folder: Path) -> None:
    feeds = feeds_of(name, 0)
    want = run_stream(StreamSession(compiled(name, folder)), feeds)
    for times in (2, 5):
        assert equal(want, run_stream(StreamSession(compiled(name, folder, times)), feeds)), times


@pytest.mark.parametrize("name", by_turns(SPECS, 0, share=2))
def test_a_stream_cut_anywhere_goes_on_from_its_saved_states(name: str, folder: Path) -> None:
    """Two ways: a client of the manifest alone that saves the state ports after any call, and a session's snapshot."""
    path = compiled(name, folder)
    feeds = feeds_of(name, 1)
    session = StreamSession(path)
    want = run_stream(session, feeds)
    rng = np.random.default_rng(2)
    streams = {n: session.streams[n] for n in session.streams}
    first = next(iter(streams))
    total = feeds[first].shape[streams[first].axis or 0]
    for cut in sorted(int(c) for c in rng.integers(0, total + 1, 3)):
        head, tail = {}, {}
        for stream, entry in streams.items():
            at = int(cut * entry.pace / streams[first].pace)
            head[stream], tail[stream] = np.split(feeds[stream], [at], axis=entry.axis or 0)
        statics = {n: v for n, v in feeds.items() if n in session.statics}
        before = StreamSession(path)
        parts = [before.push({**head, **statics})]
        snapshot = before.snapshot()
        saved = io.BytesIO()
        np.savez(saved, **snapshot.states)
        before.push(tail)
        saved.seek(0)
        with np.load(saved) as held:
            states = {n: held[n] for n in held}
        assert same(states, snapshot.states), "the session that went on left its snapshot alone"
        after = StreamSession(path)
        after.resume(snapshot)
        after.states = states
        parts += [after.push(tail), after.flush()]
        got = {
            n: np.concatenate([p[n] for p in parts], axis=e.axis) if e.axis is not None else parts[-1][n]
            for n, e in session.outputs.items()
        }
        whole = {n: v for n, v in want.items() if session.outputs[n].axis is not None}
        assert same(whole, {n: got[n] for n in whole}), cut


@pytest.mark.parametrize("name", by_turns(SPECS, 0, share=2))
def test_streams_that_take_turns_and_resets_change_nothing(name: str, folder: Path) -> None:
    path = compiled(name, folder)
    shared = opened(path, threads=1)
    one, other = feeds_of(name, 3), feeds_of(name, 4)
    want = [run_stream(StreamSession(path), feeds) for feeds in (one, other)]
    sessions = [StreamSession(shared), StreamSession(shared)]
    sessions[0].push(dict(other))
    sessions[0].reset()
    parts: list[list[Arrays]] = [[], []]
    cut = 10
    for step in range(
        0, max(f[n].shape[e.axis or 0] for f in (one, other) for n, e in sessions[0].streams.items()), cut
    ):
        for session, feeds, given in zip(sessions, (one, other), parts, strict=True):
            chunk = {n: v for n, v in feeds.items() if n in session.statics} if step == 0 else {}
            for n, e in session.streams.items():
                start, end = int(step * e.pace), int((step + cut) * e.pace)
                axis = e.axis or 0
                chunk[n] = feeds[n].take(
                    range(min(start, feeds[n].shape[axis]), min(end, feeds[n].shape[axis])), axis=axis
                )
            given.append(session.push(chunk))
    for session, given, whole in zip(sessions, parts, want, strict=True):
        given.append(session.flush())
        for n, e in session.outputs.items():
            if e.axis is not None:
                assert np.array_equal(np.concatenate([g[n] for g in given], axis=e.axis), whole[n])


@pytest.mark.parametrize("name", by_turns(BATCHED, 0, share=2))
def test_a_batch_gives_what_its_streams_give_alone(name: str, folder: Path) -> None:
    alone = StreamSession(compiled(name, folder))
    want = [run_stream(alone, feeds_of(name, seed)) for seed in range(3)]
    batch = StreamSession(compiled(name, folder, 1, 3))
    feeds = [feeds_of(name, seed) for seed in range(3)]
    together = {n: np.concatenate([f[n] for f in feeds], axis=0) for n in feeds[0]}
    got = run_stream(batch, together)
    for index, outputs in enumerate(want):
        assert equal(outputs, {n: v[index : index + 1] for n, v in got.items()}), index


@pytest.mark.parametrize("name", by_turns(BATCHED, 0, share=2))
def test_streams_with_their_own_clocks_give_what_they_give_alone(name: str, folder: Path) -> None:
    alone = StreamSession(compiled(name, folder))
    session = BatchSession(compiled(name, folder, 1, 2, "own"))
    feeds = {seed: feeds_of(name, seed, FRAMES - 31 * seed) for seed in range(4)}
    done: dict[int, list[Arrays]] = {}
    running: dict[int, int] = {}
    waiting = list(feeds)
    while waiting or running:
        if waiting and session.free:
            place = session.open()
            running[place] = waiting.pop(0)
            session.push(place, feeds[running[place]])
            session.finish(place)
        for place, new in session.step().items():
            done.setdefault(running[place], []).append(new)
        running = {p: s for p, s in running.items() if session.slots[p].open}
    for seed, parts in done.items():
        want = run_stream(alone, feeds[seed])
        got = {n: np.concatenate([p[n] for p in parts], axis=e.axis) for n, e in alone.outputs.items()}
        assert equal(want, got), seed


def test_a_snapshot_of_another_model_is_refused(folder: Path) -> None:
    one = StreamSession(compiled("crnn.dynamo", folder))
    with pytest.raises(InputError, match="the snapshot is of another model"):
        StreamSession(compiled("wavenet.dynamo", folder)).resume(one.snapshot())
