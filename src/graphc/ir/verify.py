"""Checks that a model is well formed: it is valid ONNX, ports are paired and typed, names are unique."""

from __future__ import annotations

import onnx

from graphc.contract.signature import Signature
from graphc.errors import PassError
from graphc.ir.model import Model, check, dtype_name


def verify(model: Model, after: str, written: onnx.ModelProto | None = None) -> onnx.ModelProto:
    """Checks a model and returns it as ONNX. ``written`` is that ONNX model, if it has been made already.

    Errors:
        PassError: names the pass that left the model invalid, and what is wrong.
    """
    try:
        proto = written if written is not None else model.proto()
        check(proto, "the graph")
    except Exception as err:
        raise PassError(f"the pass '{after}' left an invalid graph: {err}") from err
    complaint = complaint_of(model)
    if complaint:
        raise PassError(f"the pass '{after}' {complaint}")
    return proto


def complaint_of(model: Model) -> str | None:
    inputs = [t.name for t in model.graph.inputs]
    outputs = [t.name for t in model.graph.outputs]
    for names, kind in ((inputs, "inputs"), (outputs, "outputs")):
        twice = {n for n in names if names.count(n) > 1}
        if twice:
            return f"left two {kind} of one name: {', '.join(sorted(twice))}"
    return complaint_of_ports(model, model.signature) if model.signature else None


def complaint_of_ports(model: Model, signature: Signature) -> str | None:
    inputs = {t.name: t for t in model.graph.inputs}
    outputs = {t.name: t for t in model.graph.outputs}
    wanted_in = [i.name for i in signature.inputs] + [s.input for s in signature.states]
    wanted_in += [signature.valid_frames] if signature.valid_frames else []
    wanted_out = [o.name for o in signature.outputs] + [s.output for s in signature.states]
    for wanted, found, kind in ((wanted_in, inputs, "input"), (wanted_out, outputs, "output")):
        for name in wanted:
            if name not in found:
                return f"lost the {kind} '{name}'"
        for name in found:
            if name not in wanted:
                return f"added the {kind} '{name}', which is not in the stream signature"
    for state in signature.states:
        port = inputs[state.input]
        shape = list(port.shape) if port.shape is not None else None
        if not fits(shape, state.init.shape) or dtype_name(port.dtype) != dtype_name(state.init.dtype):
            return f"changed the state '{state.input}' to {dtype_name(port.dtype)}{shape}"
    return None


def fits(declared: list[int | str | None] | None, shape: tuple[int, ...]) -> bool:
    """Whether a declared shape, which may be symbolic, allows a shape."""
    if declared is None:
        return True
    return len(declared) == len(shape) and all(
        not isinstance(d, int) or d == s for d, s in zip(declared, shape, strict=True)
    )
