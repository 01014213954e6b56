"""onnxsim, behind a guard."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from pydantic import Field

from graphc.api import GraphcError, Model, Pass, PassConfig, PassContext, PassResult, RunError, Session, register_pass

GROWTH_LIMIT = 64_000_000


class Config(PassConfig):
    timeout_s: float = Field(default=300.0, gt=0, description="seconds after which onnxsim is given up")
    memory_gb: float = Field(default=16.0, gt=0, description="address space that onnxsim may take, in 10^9 bytes")


@register_pass
class Simplify(Pass[Config]):
    """Simplifies the graph with onnxsim, in a child process.

    What it does:
        Hands the model to onnxsim and takes its result if the ports are what they were and onnxruntime runs it. If
        onnxsim crashes, hangs, runs out of memory, changes a port or makes the model much larger, the report says so
        and the graph goes on as it was.

    Why:
        onnxsim knows many rewrites, and is the most correct of its kind.

    Example:
        passes:
          - simplify: {timeout_s: 60}

    Limits:
        onnxsim rejects some valid models; those stay as they are, with a note.
    """

    name = "simplify"
    Config = Config

    def run(self, model: Model, config: Config, context: PassContext) -> PassResult:
        proto = model.proto()
        outcome = simplified(proto, config)
        if isinstance(outcome, str):
            return PassResult(model, [f"left as it was: {outcome}"], {"left": 1})
        outcome.metadata_props.extend(p for p in proto.metadata_props if p not in outcome.metadata_props)
        complaint = port_complaint(proto, outcome)
        if complaint:
            return PassResult(model, [f"left as it was: {complaint}"], {"left": 1})
        try:
            result = model.with_proto(outcome)
            Session(result.proto())
        except (GraphcError, RunError) as err:
            return PassResult(model, [f"left as it was: onnxruntime does not run what onnxsim made ({err})"], {"left": 1})
        before, after = len(proto.graph.node), len(outcome.graph.node)
        return PassResult(result, [f"{before} nodes to {after}"], {"removed": before - after})


def simplified(proto: onnx.ModelProto, config: Config) -> onnx.ModelProto | str:
    """What onnxsim makes of a model, or why it made nothing."""
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder:
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        external = proto.ByteSize() > 2**31 - 2**20
        onnx.save_model(proto, source, save_as_external_data=external, location="in.data")
        memory = str(int(config.memory_gb * 1e9))
        call = [sys.executable, "-m", "graphc_passes._onnxsim_child", str(source), str(target), memory]
        try:
            done = subprocess.run(call, capture_output=True, timeout=config.timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return f"onnxsim was not done after {config.timeout_s:g} s"
        if done.returncode < 0:
            return f"onnxsim was killed by signal {-done.returncode}"
        if done.returncode or not target.is_file():
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            return f"onnxsim failed: {lines[-1][:200] if lines else 'no message'}"
        if target.stat().st_size > source.stat().st_size + GROWTH_LIMIT:
            return f"onnxsim made it grow to {target.stat().st_size} bytes"
        return onnx.load(target)


def port_complaint(before: onnx.ModelProto, after: onnx.ModelProto) -> str | None:
    """What onnxsim did to the ports that it may not do."""
    for kind in ("input", "output"):
        old = {p.name: p.type for p in getattr(before.graph, kind)}
        new = {p.name: p.type for p in getattr(after.graph, kind)}
        if list(old) != list(new):
            return f"onnxsim changed the {kind}s from {list(old)} to {list(new)}"
        for name, kind_before in old.items():
            if elem_type(kind_before) != elem_type(new[name]):
                return f"onnxsim changed the type of the {kind} '{name}'"
    return None


def elem_type(proto: onnx.TypeProto) -> tuple[str | None, int]:
    return proto.WhichOneof("value"), proto.tensor_type.elem_type
