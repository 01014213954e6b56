"""What the fuzzer feeds: each takes any bytes, and only a GraphcError may come of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from graphc.ir.model import Model, read_model
from graphc.offline.prepare import offline_of
from graphc.offline.recordings import array_file
from graphc.passes.plan import make_plan
from graphc.passes.registry import load_registry
from graphc.spec.spec_file import load_spec
from graphc.spec.stream_schema import StreamSpec
from graphc_runtime.contract.first_values import first_value
from graphc_runtime.contract.manifest import FileInit, StateEntry, parse_manifest
from graphc_runtime.errors import GraphcError
from graphc_runtime.stream_buffer import StreamBuffer

REGISTRY = load_registry()
MOST_ELEMENTS = 2**20
START = StateEntry(
    input="h",
    output="h_out",
    kind="rnn_hidden",
    shape=[1, 3, 4],
    dtype="float32",
    init=FileInit(file="stream.npz", key="x"),
)


def spec(data: bytes, folder: Path) -> None:
    """A spec, as far as its plan."""
    path = folder / "spec.yaml"
    path.write_bytes(data)
    try:
        make_plan(load_spec(path), REGISTRY)
    except GraphcError as err:
        assert str(err)


def model(data: bytes, folder: Path) -> None:
    """A model file, as far as the parts of its inputs, and back to ONNX."""
    path = folder / "model.onnx"
    path.write_bytes(data)
    try:
        proto = read_model(path)
        Model.of(proto).proto()
        offline_of(proto, StreamSpec(chunk=1))
    except GraphcError as err:
        assert str(err)


def manifest(data: bytes, folder: Path) -> None:
    """A manifest, as far as the first values of its states."""
    try:
        found = parse_manifest(data, "the manifest")
        for state in found.states:
            if all(size < MOST_ELEMENTS for size in state.shape):
                first_value(state, folder)
        StreamBuffer(found)
    except GraphcError as err:
        assert str(err)


def arrays(data: bytes, folder: Path) -> None:
    """Arrays of a recording, and a first value of a state."""
    for name in ("stream.npy", "stream.npz"):
        path = folder / name
        path.write_bytes(data)
        try:
            array_file(path)
        except GraphcError as err:
            assert str(err)
    try:
        first_value(START, folder)
    except GraphcError as err:
        assert str(err)


TARGETS: dict[str, Callable[[bytes, Path], None]] = {
    "spec": spec,
    "model": model,
    "manifest": manifest,
    "arrays": arrays,
}
