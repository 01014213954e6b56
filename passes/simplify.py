"""Simplifies a model with onnxsim in a child process, and checks the result."""

from __future__ import annotations

import atexit
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx
from pydantic import Field

import graphc.api as api
from graphc.api import (
    GraphcError,
    Model,
    Pass,
    PassConfig,
    PassContext,
    PassResult,
    inferred_types,
    register_pass,
    size_of,
    weights_as_inputs,
    with_weights_put_back,
)

GROWTH_LIMIT = 64_000_000


class SimplifyOptions(PassConfig):
    timeout_s: float = Field(default=300.0, gt=0, le=1e6, description="seconds after which onnxsim is stopped")
    memory_gb: float = Field(
        default=16.0, gt=0, le=1e6, description="address space that onnxsim may take, in 10^9 bytes"
    )


@register_pass
class Simplify(Pass[SimplifyOptions]):
    """Simplifies the graph with onnxsim, in a child process.

    What it does:
        Runs onnxsim on the model, and uses the result if its ports are unchanged and onnxruntime can load it. If
        onnxsim crashes, hangs, runs out of memory, changes a port or makes the model much larger, the report says so
        and the graph stays unchanged.

    Why:
        onnxsim has many rewrites, and is the most reliable tool of its kind.

    Example:
        passes:
          - simplify: {timeout_s: 60}

    Limits:
        onnxsim rejects some valid models; those stay as they are, with a note.
    """

    name = "simplify"
    Config = SimplifyOptions

    def warm_up(self) -> None:
        WORKER.start()

    def run(self, model: Model, config: SimplifyOptions, context: PassContext) -> PassResult:
        proto = model.proto()
        outcome = simplified(with_output_shapes(proto), config)
        if isinstance(outcome, str):
            return PassResult(model, [f"left as it was: {outcome}"], {"left": 1})
        del outcome.metadata_props[:]
        outcome.metadata_props.extend(proto.metadata_props)
        complaint = port_complaint(proto, outcome)
        if complaint:
            return PassResult(model, [f"left as it was: {complaint}"], {"left": 1})
        try:
            result = model.with_proto(outcome)
        except GraphcError as err:
            return PassResult(model, [f"left as it was: what onnxsim made cannot be read ({err})"], {"left": 1})
        before, after = len(proto.graph.node), len(outcome.graph.node)
        return api.revert_unloadable(
            proto, PassResult(result, [f"{before} nodes to {after}"], {"removed": max(before - after, 0)})
        )


def with_output_shapes(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a shape for every output, as onnxsim needs. Changes the model in place.

    The shape is the inferred one. If none is inferred, the output becomes a scalar.
    """
    types = inferred_types(proto)
    for port in proto.graph.output:
        tensor = port.type.tensor_type
        if port.type.HasField("tensor_type") and not tensor.HasField("shape"):
            tensor.shape.SetInParent()
            for size in types.get(port.name, (0, None))[1] or []:
                dim = tensor.shape.dim.add()
                if isinstance(size, int):
                    dim.dim_value = size
    return proto


class Worker:
    """The child process that runs onnxsim. It is started on first use.

    The child has its own session. So a signal that kills this process or its process group does not kill the child,
    which can then remove its folder.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.folder: str | None = None

    def start(self) -> None:
        """Starts the child unless it runs. Does not wait for the child to import onnxsim, which takes a second."""
        if self.process is None or self.process.poll() is not None:
            self.stop()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "graphc_passes._onnxsim_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                text=True,
            )
            atexit.register(self.stop)

    def started(self) -> str | None:
        """Starts the child if needed, waits until it is ready, and returns its folder; None if it does not start."""
        self.start()
        if self.folder is None:
            assert self.process is not None
            assert self.process.stdout is not None
            answer = self.process.stdout.readline()
            self.folder = str(json.loads(answer)) if answer else None
        return self.folder

    def ask(self, source: Path, target: Path, config: SimplifyOptions) -> str:
        """Asks the child to simplify ``source`` into ``target``. Returns an empty string, or why there is no result."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {
            "source": str(source),
            "target": str(target),
            "timeout": config.timeout_s,
            "memory": int(config.memory_gb * 1e9),
        }
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError as err:
            return f"the process of onnxsim ended: {err}"
        return str(json.loads(answer)) if answer else "the process of onnxsim ended"

    def stop(self) -> None:
        """Ends the child, and removes its folder if the child was killed before it could.

        Does not wait for a child that is still importing onnxsim: that child ends by itself.
        """
        if self.process is not None and self.process.poll() is None:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.close()
            self.process.stdout.close()
            if self.folder is not None:
                self.process.wait()
        if self.folder is not None and Path(self.folder).exists():
            shutil.rmtree(self.folder)
        self.folder = None


WORKER = Worker()


def simplified(proto: onnx.ModelProto, config: SimplifyOptions) -> onnx.ModelProto | str:
    """The model that onnxsim makes, or a sentence that says why there is none."""
    base = WORKER.started()
    if base is None:
        return "the process of onnxsim ended"
    with tempfile.TemporaryDirectory(dir=base) as folder:
        source, target = Path(folder) / "in.onnx", Path(folder) / "out.onnx"
        fed, kept = weights_as_inputs(proto)
        external = size_of(fed) > 2**31 - 2**20
        onnx.save_model(fed, source, save_as_external_data=external, location="in.data")
        complaint = WORKER.ask(source, target, config)
        if complaint:
            return complaint
        if not target.is_file():
            return "onnxsim wrote nothing"
        if target.stat().st_size > source.stat().st_size + GROWTH_LIMIT:
            return f"onnxsim made it grow to {target.stat().st_size} bytes"
        return with_weights_put_back(onnx.load(target), kept)


def port_complaint(before: onnx.ModelProto, after: onnx.ModelProto) -> str | None:
    """A sentence that says which port onnxsim changed; None if all ports are unchanged."""
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
