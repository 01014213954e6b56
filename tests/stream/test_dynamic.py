"""``chunk: dynamic``: one graph for batch and stream."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT
from onnx import TensorProto, helper

import graphc
from graphc.contract.length import Length
from graphc.ir.graph import Constant, Graph, Node, Variable
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.facts.stream import Span, Stream
from graphc.stream.facts.time_axes import Frame
from graphc.stream.lowering.builder import Builder
from graphc.stream.modes.dynamic_chunk import SAMPLES, Families
from graphc.stream.scores.dynamic_masks import query_side
from graphc_runtime.calls import PlainCalls
from graphc_runtime.errors import StreamError
from graphc_runtime.session import StreamSession

CONFORMER = ROOT / "examples" / "models" / "conformer_lookahead.dynamo.onnx"
SPEC = """
version: 1
model: {model}
output: out.onnx
stream: {{chunk: dynamic, inputs: {{features: {{axis: 1}}}}{more}}}
passes: [lift_state, fold_constants, fuse, simplify]
"""


def compiled(folder: Path, model: Path = CONFORMER, more: str = "") -> Path:
    path = folder / "spec.yaml"
    path.write_text(SPEC.format(model=model, more=more))
    graphc.compile(path)
    return folder / "out.onnx"


def test_whole_utterance_in_one_call_and_any_calls_are_equal(tmp_path: Path) -> None:
    path = compiled(tmp_path)
    session = StreamSession(path)
    assert session.manifest.chunk is None
    assert all(port.frames is None for port in [*session.manifest.inputs, *session.manifest.outputs])
    multiple = session.manifest.chunk_multiple
    x = np.random.default_rng(0).standard_normal((1, 40 * multiple, 20)).astype(np.float32)
    want = Session(onnx.load(CONFORMER)).run({"features": x})["log_probs"]
    calls: list[int] = []
    runner = session.runner

    class Counted:
        def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            calls.append(feeds["features"].shape[1])
            return runner.run(feeds)

    session.calls = PlainCalls(session.manifest, Counted())  # type: ignore[arg-type]
    whole = session.run(x)["log_probs"]
    assert calls[0] == 40 * multiple
    assert len(calls) == 2
    np.testing.assert_allclose(whole, want, atol=1e-4)
    for sizes in ([multiple] * 40, [7 * multiple, multiple, 32 * multiple], [multiple + 1, 3, 36 * multiple]):
        session.reset()
        ends = np.cumsum(sizes)[:-1]
        parts = [session.push(part)["log_probs"] for part in np.split(x, ends, axis=1)]
        parts.append(session.flush()["log_probs"])
        np.testing.assert_allclose(np.concatenate(parts, axis=1), want, atol=1e-4)


def test_report_and_command_line_name_the_multiple(tmp_path: Path) -> None:
    compiled(tmp_path)
    assert "4×n" in (tmp_path / "out.report.html").read_text()
    report = graphc.compile(tmp_path / "spec.yaml").data
    assert report["stream"]["chunk"] is None
    assert report["stream"]["chunk_multiple"] == 4


def test_window_needs_a_fixed_chunk(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    text = SPEC.format(model=ROOT / "examples" / "models" / "wake_word.dynamo.onnx", more=", window: 100")
    path.write_text(text.replace("features", "mel"))
    with pytest.raises(StreamError, match=r"stream.window needs calls of a fixed number of frames.*set stream.chunk"):
        graphc.compile(path)


def test_recurrence_behind_lookahead_starts_in_the_midst_of_a_call(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    weights = {
        "k": rng.standard_normal((3, 2, 5)),
        "w": rng.standard_normal((1, 12, 3)),
        "r": rng.standard_normal((1, 12, 3)),
        "h": rng.standard_normal((1, 1, 3)),
    }
    nodes = [
        helper.make_node("Conv", ["features", "k"], ["c"], pads=[1, 3]),
        helper.make_node("Transpose", ["c"], ["t"], perm=[2, 0, 1]),
        helper.make_node("LSTM", ["t", "w", "r", "", "", "h"], ["y"], hidden_size=3, name="lstm"),
        helper.make_node("Squeeze", ["y", "batch"], ["s"]),
        helper.make_node("Unsqueeze", ["s", "one"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "recurrence",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, 2, "T"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
        + [onnx.numpy_helper.from_array(np.array(v), n) for n, v in {"one": [1], "batch": [1, 2]}.items()],
    )
    path = tmp_path / "recurrence.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    (tmp_path / "spec.yaml").write_text(SPEC.format(model=path, more="").replace("{axis: 1}", "{axis: 2}"))
    graphc.compile(tmp_path / "spec.yaml")
    session = StreamSession(tmp_path / "out.onnx")
    assert session.manifest.outputs[0].delay == 3
    x = rng.standard_normal((1, 2, 23)).astype(np.float32)
    want = Session(onnx.load(path)).run({"features": x})["out"]
    for sizes in ([1] * 23, [2] * 11 + [1], [23], [4, 19]):
        session.reset()
        parts = [session.push(p)["out"] for p in np.split(x, np.cumsum(sizes)[:-1], axis=2)]
        np.testing.assert_allclose(np.concatenate([*parts, session.flush()["out"]]), want, atol=1e-5)


def written(values: Sequence[np.ndarray], n: int) -> np.ndarray:
    """What the function of a family gives for a call of ``n`` smallest chunks."""
    multiples = Variable("n", np.dtype(np.int64), [1])
    families = Families(multiples)
    node = Node("Add", "reader", inputs=[Constant("a", values[0])])
    result = families.tensor(node, 0, [Constant(f"v{i}", v) for i, v in enumerate(values)])
    out = Variable("out", values[0].dtype, None)
    nodes = [*families.writer.nodes, Node("Identity", "out", inputs=[result], outputs=[out])]
    proto = export_model(Graph(nodes, [multiples], [out], opset=17), onnx.ModelProto(ir_version=9))
    return np.asarray(Session(proto).run({"n": np.array([n])})["out"])


FAMILIES = {
    "sizes": lambda n: np.array([1, 16 * n + 3, 4]),
    "square": lambda n: np.array([n * n * 2 - n, 7]),
    "scalar": lambda n: np.asarray(5 * n, np.int32),
    "zeros": lambda n: np.zeros((2, 3 * n + 1, 4), np.float32),
    "repeated frame": lambda n: np.repeat(np.arange(6, dtype=np.float32).reshape(2, 1, 3), 2 * n, axis=1),
    "ramp": lambda n: np.arange(4 * n + 2).reshape(-1, 1),
    "ramp from the end": lambda n: 3 * np.arange(4 * n) - 12 * n,
    "frames": lambda n: np.arange(0, 8 * n, 4)[:, None] + np.arange(7),
    "period": lambda n: np.tile(np.array([[1.5, 2.0, -3.0]], np.float32), (1, n)),
    "period and more": lambda n: np.resize(np.array([1.0, 2.0, 4.0]), 3 * n + 2),
    "first frame apart": lambda n: np.arange(3 * n) > 0,
    "last frames apart": lambda n: np.arange(3 * n) < 3 * n - 2,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_families_of_constants_go_on_beyond_the_samples(name: str) -> None:
    values = [FAMILIES[name](n) for n in SAMPLES]
    for n in (1, 2, 4, 9):
        np.testing.assert_array_equal(written(values, n), FAMILIES[name](n))


def test_a_constant_that_nothing_explains_is_refused_with_its_node() -> None:
    values = [np.random.default_rng(n).standard_normal(3 * n) for n in SAMPLES]
    with pytest.raises(
        StreamError, match=r"node reader \(Add\): its input 0 depends on the chunk size .* stream\.chunk"
    ):
        written(values, 1)


def test_a_table_whose_queries_cannot_be_told_from_its_keys_is_refused() -> None:
    time = Stream(0, Fraction(1), 0, Length(), (-1,), np.dtype(np.float32))
    builder = Builder(4, set(), grid=2)
    builder.node = "mix"
    with pytest.raises(StreamError) as caught:
        query_side(builder, Frame((2, 1), (time, time)), (Span(3, 2), Span(3, 2)))
    assert caught.value.node == "mix"
    assert "does not have one query for each frame of a call" in caught.value.reason
    assert "instead of dynamic" in (caught.value.hint or "")
