"""Every onnx backend test model that onnxruntime runs, through the passes that need no stream, alone and together.

    python tests/battery.py [--passes fold_constants,fuse] [--every N] [--workers 2]

Four variants of each model: as shipped; all inputs but the first made initializers; all of them; every dim symbolic. An
output that differs from onnxruntime's on the untouched model is wrong; a pass that raises is refused.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

import graphc
from graphc.ir.graph import RANDOM_OPS
from graphc.ir.ort_session import Session
from graphc.passes.registry import load_registry
from graphc.rewriting.rewrite import REWRITES, Rewrite
from graphc.rewriting.scene import Scene
from graphc_runtime.errors import RunError

ODD_DTYPES = ("float8", "bfloat16", "int4", "uint4", "int2", "uint2", "float4")
ODD_BITS = {"float8": 8, "bfloat16": 16, "int4": 4, "int2": 2}
VARIANTS = ("shipped", "first input left", "no input left", "symbolic")
ALONE = ("fold_constants", "simplify", "fuse")
RECIPES: dict[str, tuple[list[str], str]] = {
    **{name: ([name], "onnx") for name in ALONE},
    "together": (list(ALONE), "onnx"),
    "fuse for onnxruntime": (["fuse"], "onnxruntime"),
    "all for onnxruntime": (["fold_constants", "fuse", "simplify"], "onnxruntime"),
}


@dataclass(frozen=True)
class Case:
    """A backend test: its model and the first set of inputs."""

    name: str
    model: onnx.ModelProto
    inputs: list[Any]


def load_cases() -> list[Case]:
    """The cases of the installed onnx wheel: the generated ones of single ops, and the models in its data folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = [
            Case(case.name, case.model, list(case.data_sets[0][0]))
            for case in load_model_tests(kind="node")
            if case.model is not None and case.data_sets
        ]
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for path in sorted(data.rglob("model.onnx")):
        model = onnx.load(path)
        inputs = sorted((path.parent / "test_data_set_0").glob("input_*.pb"), key=lambda p: int(p.stem[6:]))
        ports = list(model.graph.input)
        found.append(Case(path.parent.name, model, [from_file(p, q) for p, q in zip(inputs, ports, strict=False)]))
    return sorted(found, key=lambda c: c.name)


def from_file(path: Path, port: onnx.ValueInfoProto) -> Any:
    raw = path.read_bytes()
    kind = port.type.WhichOneof("value")
    if kind == "tensor_type":
        return numpy_helper.to_array(onnx.load_tensor_from_string(raw))
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(raw))
    return numpy_helper.to_optional(onnx.OptionalProto.FromString(raw))


def feeds_of(case: Case) -> dict[str, Any]:
    defaults = {i.name for i in case.model.graph.initializer}
    names = [p.name for p in case.model.graph.input if p.name not in defaults]
    return {name: plain(value) for name, value in zip(names, case.inputs, strict=False)}


def plain(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value


def variant_of(model: onnx.ModelProto, feeds: dict[str, Any], variant: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if variant == "symbolic":
        for port in changed.graph.input:
            for axis, dim in enumerate(port.type.tensor_type.shape.dim):
                dim.ClearField("dim_value")
                dim.dim_param = f"{port.name}_{axis}"
        del changed.graph.value_info[:]
        for port in changed.graph.output:
            for axis, dim in enumerate(port.type.tensor_type.shape.dim):
                dim.ClearField("dim_value")
                dim.dim_param = f"{port.name}_out_{axis}"
        return changed, feeds
    kept = {"shipped": len(feeds), "first input left": 1, "no input left": 0}[variant]
    made = [name for name in list(feeds)[kept:] if isinstance(feeds[name], np.ndarray)]
    types = {p.name: p.type.tensor_type.elem_type for p in changed.graph.input}
    for name in made:
        tensor = numpy_helper.from_array(feeds[name], name)
        if tensor.data_type != types[name]:
            continue
        changed.graph.initializer.append(tensor)
        for port in [p for p in changed.graph.input if p.name == name]:
            changed.graph.input.remove(port)
    left = {p.name for p in changed.graph.input}
    return changed, {k: v for k, v in feeds.items() if k in left}


def outputs_of(session: Session, model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any]:
    """The outputs; where a port has a dtype that numpy lacks, through onnxruntime's own values, and as raw bytes."""
    try:
        return session.run(feeds)
    except RunError as err:
        if not any(is_odd(v) for v in feeds.values()) and "MLDataType" not in str(err) and "Numpy" not in str(err):
            raise
    types = {p.name: p.type.tensor_type.elem_type for p in model.graph.input}
    try:
        values = {name: ort_value(value, types[name]) for name, value in feeds.items()}
        results = session.ort.run_with_ort_values(session.output_names, values)
    except Exception as err:
        raise RunError(str(err)) from err
    return dict(zip(session.output_names, [plain_or_raw(r) for r in results], strict=True))


def is_odd(value: Any) -> bool:
    return isinstance(value, np.ndarray) and (value.dtype.kind == "V" or value.dtype.name.startswith(ODD_DTYPES))


def ort_value(value: Any, elem_type: int) -> Any:
    if not is_odd(value):
        return ort.OrtValue.ortvalue_from_numpy(value)
    raw = np.ascontiguousarray(value.view(np.uint16 if value.dtype.itemsize == 2 else np.uint8))
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(raw, elem_type)


def plain_or_raw(value: Any) -> Any:
    try:
        return value.numpy()
    except RuntimeError:
        count = int(np.prod(value.shape()))
        bits = next((b for name, b in ODD_BITS.items() if name in value.data_type()), 8)
        return value.shape(), ctypes.string_at(value.data_ptr(), -(-count * bits // 8))


def equal(want: Any, got: Any) -> bool:
    if isinstance(want, list):
        return (
            isinstance(got, list) and len(want) == len(got) and all(equal(a, b) for a, b in zip(want, got, strict=True))
        )
    if isinstance(want, tuple) or isinstance(got, tuple):
        return bool(want == got)
    if want is None or got is None:
        return want is got
    a, b = np.asarray(want), np.asarray(got)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "fc":
        loose = 2e-2 if a.dtype.itemsize <= 2 else 1e-3
        return bool(np.allclose(a, b, rtol=loose, atol=1e-5 if a.dtype.itemsize > 2 else 2e-3, equal_nan=True))
    if a.dtype.kind in "OUS":
        return a.tolist() == b.tolist()
    return bool(np.array_equal(a, b))


def is_random(model: onnx.ModelProto) -> bool:
    ops = {n.op_type for n in model.graph.node} | {n.op_type for f in model.functions for n in f.node}
    return bool(ops & set(RANDOM_OPS)) or any("training" in n.name or n.op_type == "Dropout" for n in model.graph.node)


def judge(case: Case, recipes: list[str]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    for variant in VARIANTS:
        model, feeds = variant_of(case.model, feeds_of(case), variant)
        try:
            want = outputs_of(Session(model), model, feeds)
        except RunError:
            continue
        for recipe in recipes:
            TOUCHED.clear()
            verdict, detail = verdict_of(model, feeds, want, *RECIPES[recipe])
            found.append(
                {
                    "model": case.name,
                    "variant": variant,
                    "recipe": recipe,
                    "verdict": verdict,
                    "detail": detail,
                    "fired": ",".join(sorted(TOUCHED)),
                }
            )
    return found


def verdict_of(
    model: onnx.ModelProto, feeds: dict[str, Any], want: dict[str, Any], recipe: list[str], target: str
) -> tuple[str, str]:
    before = model.SerializeToString(deterministic=True)
    try:
        made = graphc.transform(model, recipe, target)
    except graphc.GraphcError as err:
        return "refused", str(err)
    except Exception as err:
        return "crash", f"{type(err).__name__}: {err}"
    if model.SerializeToString(deterministic=True) != before:
        return "wrong", "the model handed over was changed"
    try:
        before_ports, session = Session(model), Session(made)
        if before_ports.input_names != session.input_names or before_ports.output_names != session.output_names:
            return "wrong", "lost a port"
        got = outputs_of(session, model, feeds)
    except RunError as err:
        return "wrong", f"does not run: {err}"
    bad = [name for name in want if not is_random(model) and not equal(want[name], got[name])]
    return ("wrong", f"{bad[0]} differs") if bad else ("equal", "")


TOUCHED: set[str] = set()


def note_rewrites() -> None:
    """Notes in ``TOUCHED`` which rewrites fire."""

    def noted(cls: type[Rewrite], apply: Callable[[Any, Scene], int]) -> Callable[[Any, Scene], int]:
        def wrapped(self: Any, scene: Scene) -> int:
            count = apply(self, scene)
            if count:
                TOUCHED.add(cls.name)
            return count

        return wrapped

    load_registry()
    for cls in REWRITES.values():
        cls.apply = noted(cls, cls.apply)  # type: ignore[method-assign]


def worker(first: int, step: int, recipes: list[str], name: str, answers: Any) -> None:
    """Judges the cases first, first + step, ...; tells which one it is at, in case it dies there."""
    warnings.simplefilter("ignore")
    note_rewrites()
    cases = [c for c in load_cases() if name in c.name]
    for index in range(first, len(cases), step):
        answers.send((index, cases[index].name, None))
        answers.send((index, cases[index].name, judge(cases[index], recipes)))
    answers.send((None, len(cases), None))


@dataclass
class Job:
    process: Any
    index: int = 0
    name: str = ""


def run(recipes: list[str], workers: int, every: int, name: str) -> Iterator[list[dict[str, str]]]:
    """Results model by model; a worker that dies costs the model that it was at."""
    context = multiprocessing.get_context("spawn")
    step = workers * every
    jobs: dict[Any, Job] = {}

    def start(first: int) -> None:
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=worker, args=(first, step, recipes, name, theirs))
        process.start()
        theirs.close()
        jobs[mine] = Job(process)

    for number in range(workers):
        start(number * every)
    while jobs:
        for pipe in connection.wait(list(jobs)):
            job = jobs[pipe]
            try:
                index, case, result = pipe.recv()
            except EOFError:
                del jobs[pipe]
                yield [{"model": job.name, "variant": "", "recipe": "", "verdict": "crash", "detail": "process died"}]
                start(job.index + step)
                continue
            if index is None:
                job.process.join()
                del jobs[pipe]
            elif result is None:
                job.index, job.name = index, case
            else:
                yield result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", default=",".join(RECIPES))
    parser.add_argument("--every", type=int, default=1, help="take every N-th model")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--name", default="", help="only models whose name holds this")
    arguments = parser.parse_args()
    recipes = arguments.passes.split(",")
    counts: Counter[tuple[str, str, str]] = Counter()
    ran: set[str] = set()
    touched: dict[str, set[str]] = {}
    seen = 0
    for results in run(recipes, arguments.workers, arguments.every, arguments.name):
        seen += 1
        for r in results:
            counts[r["recipe"], r["variant"], r["verdict"]] += 1
            ran.add(r["model"])
            for rewrite in filter(None, r.get("fired", "").split(",")):
                touched.setdefault(rewrite, set()).add(r["model"])
            if r["verdict"] != "equal":
                print(json.dumps(r), flush=True)
    print(f"{seen} models, {len(ran)} run by onnxruntime")
    for recipe in recipes:
        for variant in VARIANTS:
            row = {v: counts[recipe, variant, v] for v in ("equal", "refused", "wrong", "crash")}
            print(f"{recipe:22}{variant:18}{row}")
    for rewrite, models in sorted(touched.items()):
        print(f"{rewrite:26}fired on {len(models)} models")
    bad = sum(n for (_, _, v), n in counts.items() if v in ("wrong", "crash"))
    print(f"{sum(counts.values()) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
