"""The builder: equal things are built once, and what it builds does what its name says, call by call."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc.contract.length import Length
from graphc.ir.graph import Graph, Tensor, Variable
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.facts.stream import Edge, Stream
from graphc.stream.lowering.builder import Builder, finished

FLOAT = np.dtype(np.float32)
CHUNK = 3


def stream(delay: int = 0) -> Stream:
    return Stream(1, Fraction(1), delay, Length(), (1, -1, 2), FLOAT)


def builder() -> tuple[Builder, Variable]:
    made = Builder(CHUNK, {"x"})
    made.node = "n"
    return made, Variable("x", FLOAT, [1, CHUNK, 2])


def calls(made: Builder, x: Variable, y: Tensor, frames: np.ndarray) -> np.ndarray:
    """What the graph of one call gives for a stream, states carried, valid frames told."""
    graph = Graph(inputs=[x], opset=17)
    finished(made, graph)
    graph.outputs = [Variable(y.name, None, None), *graph.outputs]
    like = onnx.helper.make_model(
        onnx.helper.make_graph([], "g", [], []), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    session = Session(export_model(graph, like))
    states = {s.input: np.asarray(s.init) for s in made.states}
    given = []
    for place in range(0, frames.shape[1], CHUNK):
        feeds = {"x": frames[:, place : place + CHUNK], **states}
        if made.valid_frames is not None:
            feeds[made.valid_frames.name] = np.array([CHUNK])
        results = session.run(feeds)
        states = {s.input: results[s.output] for s in made.states}
        given.append(results[y.name])
    return np.concatenate(given, axis=1)


def test_equal_constants_and_caches_are_one() -> None:
    made, x = builder()
    assert made.constant([1, 2]) is made.constant([1, 2])
    assert made.constant([1, 2]) is not made.constant(np.array([1, 2], np.int32))
    one = made.cached(x, stream(), 2, 0.0, "conv_context")
    assert made.cached(x, stream(), 2, 0.0, "conv_context") is one
    assert made.cached(x, stream(), 2, 1.0, "conv_context") is not one
    assert len(made.states) == 2
    assert made.at_start() is made.at_start()
    assert made.delayed(x, stream(), 0) is x


@given(delay=st.integers(0, 7), seed=st.integers(0, 5))
@settings(max_examples=12)
def test_a_delay_line_gives_every_frame_so_many_later(delay: int, seed: int) -> None:
    made, x = builder()
    y = made.one("Identity", made.delayed(x, stream(), delay))
    frames = np.random.default_rng(seed).standard_normal((1, 15, 2)).astype(np.float32)
    got = calls(made, x, y, frames)
    np.testing.assert_array_equal(got[:, delay:], frames[:, : 15 - delay])


@pytest.mark.parametrize(("fill", "first"), [(0.0, 0.0), (2.5, 2.5), (Edge.FIRST_FRAME, None)])
def test_a_cache_begins_with_its_fill_and_holds_the_last_frames(fill: float | Edge, first: float | None) -> None:
    made, x = builder()
    both = made.cached(x, stream(), 4, fill, "conv_context")
    y = made.slice(both, 1, 0, CHUNK)
    frames = np.arange(30, dtype=np.float32).reshape(1, 15, 2)
    got = calls(made, x, y, frames)
    want = np.repeat(frames[:, :1], 4, 1) if first is None else np.full((1, 4, 2), first, np.float32)
    np.testing.assert_array_equal(got, np.concatenate([want, frames], 1)[:, :15])


def test_places_count_frames_from_the_first_that_exists() -> None:
    made, x = builder()
    places = made.frame_index(stream(delay=2))
    y = made.one("Unsqueeze", places, made.constant([0]))
    got = calls(made, x, y, np.zeros((1, 9, 2), np.float32))
    np.testing.assert_array_equal(got, [np.arange(9) - 2])


def test_frames_that_do_not_exist_are_masked() -> None:
    made, x = builder()
    y = made.masked(x, stream(delay=2), -1.0, before=True, after=False)
    frames = np.ones((1, 6, 2), np.float32)
    got = calls(made, x, y, frames)
    np.testing.assert_array_equal(got[0, :, 0], [-1, -1, 1, 1, 1, 1])


@pytest.mark.parametrize("node", ["/layer.3/conv", "é", "a b", "0"])
def test_names_of_ports_are_letters_and_digits(node: str) -> None:
    made, _ = builder()
    made.node = node
    made.state(np.zeros(1, np.float32), "conv_context")
    assert made.states[0].input.replace("_", "").isalnum()
    assert made.states[0].input.isascii()
