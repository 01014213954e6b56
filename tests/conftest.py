"""What all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, settings
from onnx import TensorProto, helper

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parent.parent


def pytest_configure() -> None:
    """Each worker of pytest-xdist takes a core of its own: threads of one would only disturb the others."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})


LONGEST = (
    "tests/test_types.py",
    "tests/test_docs.py",
    "tests/sweeps/",
    "tests/cli/test_faults.py",
    "tests/tracking/",
    "tests/passes/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests first, so that no worker is left with one at the end."""

    def place(item: pytest.Item) -> int:
        return next((i for i, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=place)


settings.register_profile(
    "default",
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.register_profile(
    "nightly", max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("GRAPHC_PROFILE", "default"))


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def dask_address() -> Iterator[str]:
    """A Dask cluster of one worker with two threads, where Dask is installed."""
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'graphc[dask]'")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, protocol="tcp"
    ) as cluster:
        yield cluster.scheduler_address


def by_turns(names: Iterable[str], turn: int, share: int = 1) -> list[pytest.ParameterSet]:
    """Examples as parameters: of a design that several exporters wrote (or a mode on several designs) one, and the
    others at night.

    All tests of one example run in one process, which may keep what it compiled.

    Args:
        turn: which one; tests of the next turn take another.
        share: of how many designs one is taken by day.
    """
    found = []
    for number, (design, same) in enumerate(groupby(sorted(names), lambda n: n.partition(".")[0])):
        exported = list(same)
        for i, name in enumerate(exported):
            marks = [pytest.mark.xdist_group(name)]
            if i != (sum(design.encode()) + turn) % len(exported) or number % share:
                marks.append(pytest.mark.nightly)
            found.append(pytest.param(name, marks=marks))
    return found


def at_night(*values: object) -> pytest.ParameterSet:
    """Parameters of a test that runs at night."""
    return pytest.param(*values, marks=pytest.mark.nightly)


def small_model() -> onnx.ModelProto:
    """A conv with lookahead, an LSTM, and a residual: [1, 3, T] to [1, 4, T]."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return onnx.numpy_helper.from_array((rng.standard_normal(shape) * 0.4).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1]),
        helper.make_node("Transpose", ["c"], ["t"], name="turn", perm=[2, 0, 1]),
        helper.make_node("LSTM", ["t", "lw", "lr", "lb"], ["y", "h", "cell"], name="lstm", hidden_size=4),
        helper.make_node("Squeeze", ["y", "axis"], ["s"], name="squeeze"),
        helper.make_node("Transpose", ["s"], ["back"], name="turn_back", perm=[1, 2, 0]),
        helper.make_node("Add", ["back", "c"], ["out"], name="residual"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "T"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 4, "T"])],
        [
            weight("w", 4, 3, 3),
            weight("b", 4),
            weight("lw", 1, 16, 4),
            weight("lr", 1, 16, 4),
            weight("lb", 1, 32),
            onnx.numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model and a spec and returns the spec's path; keywords replace top-level lines of the spec."""

    def write(model: onnx.ModelProto | None = None, spec: str | None = None) -> Path:
        onnx.save(model if model is not None else small_model(), tmp_path / "model.onnx")
        path = tmp_path / "spec.yaml"
        path.write_text(spec if spec is not None else SPEC)
        return path

    return write


SPEC = """\
version: 1
model: model.onnx
output: out/model.stream.onnx
stream: {chunk: 4, frame_ms: 10, inputs: {x: {axis: 2}}}
passes: [lift_state, fold_constants, fuse]
"""
