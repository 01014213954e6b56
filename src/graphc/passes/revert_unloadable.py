"""Reverts a pass whose result onnxruntime can no longer load."""

from __future__ import annotations

from dataclasses import replace

import onnx

from graphc.ir.ort_session import Session
from graphc.ir.weights.weight_files import has_kept
from graphc.passes.pass_api import PassResult
from graphc_runtime.errors import GraphcError, RunError


def load(proto: onnx.ModelProto) -> Session | None:
    """Checks that onnxruntime loads a model, and returns the session. None for a large model, whose session is dropped.

    Errors:
        RunError: onnxruntime does not accept the model.
    """
    large = has_kept(proto)
    session = Session(proto, prepack=not large)
    return None if large else session


def revert_unloadable(before: onnx.ModelProto, result: PassResult) -> PassResult:
    """The result or, if onnxruntime loads only the model from before the pass, that model with a note.

    Some models only run because a shape in them is unknown. When the shape becomes known, onnxruntime refuses them.
    """
    try:
        proto = result.model.proto()
        session = load(proto)
    except (GraphcError, RunError) as err:
        reason = str(err)
    else:
        return replace(result, proto=proto, session=session)
    try:
        load(before)
    except RunError:
        return result
    return PassResult(
        result.model.with_proto(before), [f"left as it was: onnxruntime cannot load the result ({reason})"], {"left": 1}
    )
