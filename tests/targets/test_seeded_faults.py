"""Wrong results of each runtime that runs here, and of each converter: none passes the comparison."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import ROOT
from onnx import numpy_helper

from graphc.build.target_files import Wanted, make_target, static_model
from graphc.errors import ValidationError
from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.passes.plan import make_plan
from graphc.passes.registry import registry_of
from graphc.passes.run_passes import Pipeline, PipelineResult
from graphc.spec.schema import TargetSpec
from graphc.spec.spec_file import load_spec
from graphc.targets.registry import all_targets
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.errors import InstallError, ModelError, TargetError
from graphc_runtime.native.held_state import HeldOutput
from graphc_runtime.native.ports import NativePort, Runner

MODELS = ROOT / "examples" / "models"
Array = np.ndarray[Any, Any]
Results = dict[str, Array]
RUNTIMES: list[tuple[str, dict[str, Any]]] = [
    ("litert", {}),
    ("openvino", {}),
    ("tract", {}),
    ("openvino", {"stateful": True}),
    ("ort", {}),
    ("mnn", {}),
    ("executorch", {}),
    ("coreml", {}),
]
BY_DAY = {"litert": None, "openvino": 4, "tract": 4}


@dataclass
class Compiled:
    """A compiled model and what the targets need of its compilation."""

    pipeline: Pipeline
    result: PipelineResult
    proto: onnx.ModelProto


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """A convolution, an LSTM and a linear layer: ``log_probs`` of ``features``, streamed 16 frames a call."""
    folder = tmp_path_factory.mktemp("seeded")
    (folder / "spec.yaml").write_text(
        f"version: 1\nmodel: {MODELS / 'lstm_tagger.torchscript.onnx'}\noutput: out.onnx\nstream: {{chunk: 16}}\n"
        "passes: [lift_state, fold_constants, simplify, fuse]\n"
    )
    spec_file = load_spec(folder / "spec.yaml")
    spec, source = spec_file.spec, read_model(spec_file.model_path)
    assert spec.stream is not None
    offline = offline_of(source, spec.stream, spec_file)
    plan = make_plan(spec_file, registry_of(spec_file, ()))
    pipeline = Pipeline(source, plan, spec.stream, spec.validation, offline, folder=folder)
    result = pipeline.run()
    return Compiled(pipeline, result, static_model(result.model, result.proto))


class Wrong(Target):
    """A device whose converter or whose runtime gives something else than it should."""

    def __init__(
        self,
        right: Target,
        of_model: Callable[[onnx.ModelProto], None] | None = None,
        of_results: Callable[[Results, int, bool], Results] | None = None,
    ):
        self.right, self.of_model, self.of_results = right, of_model, of_results
        self.name, self.suffixes = right.name, right.suffixes  # type: ignore[misc]

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        if self.of_model is not None:
            proto = onnx.ModelProto()
            proto.CopyFrom(model.proto)
            self.of_model(proto)
            model = replace(model, proto=proto)
        made = self.right.convert(model, options)
        if not made.files:
            return replace(made, files={".onnx": model.proto.SerializeToString()})
        if made.stand_in is not None and self.of_results is not None:
            return replace(made, stand_in=WrongRunner(made.stand_in, self.of_results))
        return made

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        runner = self.right.open(path, inputs, outputs, threads)
        return runner if self.of_results is None else WrongRunner(runner, self.of_results)


class WrongRunner(Runner):
    def __init__(self, runner: Runner, change: Callable[[Results, int, bool], Results]):
        self.runner, self.change, self.calls = runner, change, 0

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        self.calls += 1
        silent = not np.any(np.asarray(feeds["features"]))
        held = self.runner.run(feeds)
        read = {n: np.array(v.read() if isinstance(v, HeldOutput) else v) for n, v in held.items()}
        changed = self.change(dict(read), self.calls, silent)
        return {n: held[n] if changed[n] is read[n] else changed[n] for n in held}


def of_output(change: Callable[[Array], Array]) -> Callable[[Results, int, bool], Results]:
    return lambda results, call, silent: {**results, "log_probs": change(results["log_probs"])}


def of_silence(results: Results, call: int, silent: bool) -> Results:
    return {**results, "log_probs": results["log_probs"] * np.float32(np.nan if silent else 1)}


def of_state(results: Results, call: int, silent: bool) -> Results:
    name = next(n for n in results if n.endswith("_hidden_out"))
    return {**results, name: results[name] + np.float32(0.3)}


def late(results: Results, call: int, silent: bool) -> Results:
    return {**results, "log_probs": results["log_probs"] * np.float32(1 + (call > 9))}


RESULTS: dict[str, Callable[[Results, int, bool], Results]] = {
    "every number is NaN": of_output(lambda v: np.full_like(v, np.nan)),
    "NaN in silent chunks": of_silence,
    "transposed": of_output(lambda v: np.ascontiguousarray(np.swapaxes(v, -1, -2)).reshape(v.shape)),
    "frames in another order": of_output(lambda v: np.ascontiguousarray(np.flip(v, -2))),
    "a frame late": of_output(lambda v: np.roll(v, 1, -2)),
    "a little off": of_output(lambda v: v + np.float32(1e-3)),
    "too few numbers": of_output(lambda v: v.reshape(-1)[:-7]),
    "infinite at one place": of_output(lambda v: np.where(np.arange(v.size).reshape(v.shape) == 37, np.inf, v)),
    "off from the tenth call on": late,
    "a state is off": of_state,
}


def scaled_weights(model: onnx.ModelProto) -> None:
    for weight in [i for i in model.graph.initializer if i.data_type == onnx.TensorProto.FLOAT]:
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))


def transposed_weight(model: onnx.ModelProto) -> None:
    weight = next(i for i in model.graph.initializer if len(i.dims) == 2 and min(i.dims) > 1)
    value = numpy_helper.to_array(weight)
    weight.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value.T).reshape(value.shape), weight.name))


def states_that_do_not_move(model: onnx.ModelProto) -> None:
    taken, given = (
        next(p.name for p in side if "hidden" in p.name) for side in (model.graph.input, model.graph.output)
    )
    for node in model.graph.node:
        node.output[:] = ["dropped" if name == given else name for name in node.output]
        node.input[:] = ["dropped" if name == given else name for name in node.input]
    model.graph.node.append(onnx.helper.make_node("Identity", [taken], [given]))


def forgotten_activation(model: onnx.ModelProto) -> None:
    node = next(n for n in model.graph.node if n.op_type in ("LogSoftmax", "Relu", "Log"))
    node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], node.output))


MODELS_OF_THE_CONVERTER: dict[str, Callable[[onnx.ModelProto], None]] = {
    "weights are a hundredth too large": scaled_weights,
    "a weight lies the other way": transposed_weight,
    "a state never moves": states_that_do_not_move,
    "an activation is forgotten": forgotten_activation,
}


@contextmanager
def refused(name: str) -> Iterator[None]:
    with pytest.raises((ValidationError, ModelError, TargetError), match=f"{name}|Core ML"):
        yield


def wanted(name: str, options: Mapping[str, Any], **wrong: Any) -> Wanted:
    device = all_targets()[name]
    try:
        runtime = device.check_installed()
    except InstallError as err:
        pytest.skip(str(err))
    return Wanted(TargetSpec(name=name), Wrong(device, **wrong), device.Options(**options), runtime)


def attempt(compiled: Compiled, target: Wanted, folder: Path) -> None:
    result, offline = compiled.result, compiled.pipeline.offline
    assert offline is not None
    make_target(target, folder / "out.onnx", compiled.proto, compiled.proto, result, offline)


def cases(faults: Iterable[str]) -> list[Any]:
    """Every fault on every runtime; by day all on the first, a few on the next two."""
    made = []
    for index, (name, options) in enumerate(RUNTIMES):
        for number, fault in enumerate(faults):
            by_day = index < len(BY_DAY) and number < (BY_DAY[name] or len(RESULTS))
            marks = [] if by_day else [pytest.mark.nightly]
            made.append(
                pytest.param(name, options, fault, marks=marks, id=f"{name}{'-stateful' * len(options)}-{fault}")
            )
    return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options", "fault"), cases(["none"]))
def test_a_right_result_passes(
    compiled: Compiled, tmp_path: Path, name: str, options: dict[str, Any], fault: str
) -> None:
    attempt(compiled, wanted(name, options, of_results=lambda results, call, silent: results), tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options", "fault"), cases(RESULTS))
def test_a_wrong_result_does_not(
    compiled: Compiled, tmp_path: Path, name: str, options: dict[str, Any], fault: str
) -> None:
    if fault == "a state is off" and options.get("stateful"):
        pytest.skip("states are inside the runtime: no result holds them")
    with refused(name):
        attempt(compiled, wanted(name, options, of_results=RESULTS[fault]), tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options", "fault"), cases(MODELS_OF_THE_CONVERTER))
def test_a_wrong_conversion_does_not(
    compiled: Compiled, tmp_path: Path, name: str, options: dict[str, Any], fault: str
) -> None:
    with refused(name):
        attempt(compiled, wanted(name, options, of_model=MODELS_OF_THE_CONVERTER[fault]), tmp_path)
