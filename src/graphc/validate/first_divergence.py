"""Finds where two models diverge: the first inner tensor that both have and that differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from graphc.ir.masked_scale import scale_beside_masks
from graphc.ir.model import Model
from graphc.ir.ort_session import Watched
from graphc.validate.run_streams import ValidationStream, compiled_of, run_stream
from graphc_runtime.errors import RunError
from graphc_runtime.session import StreamSession

FAR = 1e-3

Stage = tuple[Model, onnx.ModelProto]


def first_inner_difference(before: Stage, after: Stage, trial: ValidationStream) -> str | None:
    """The name of the first tensor (in the order of ``after``) whose values differ on a stream, and its node.

    None if no shared inner tensor differs, or the models do not run with their inner tensors as outputs.
    """
    shared = [n for n in made_by(after[1]) if n in made_by(before[1])]
    try:
        old, new = tapped(*before, shared, trial), tapped(*after, shared, trial)
    except RunError:
        return None
    for name in shared:
        if name in old and name in new and differ(old[name], new[name]):
            node = made_by(after[1])[name]
            return f"'{name}', made by {node.name or 'a node without a name'} ({node.op_type})"
    return None


def made_by(proto: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in proto.graph.node for name in node.output if name}


def tapped(model: Model, proto: onnx.ModelProto, names: list[str], trial: ValidationStream) -> dict[str, list[Any]]:
    """The values of inner tensors, call by call."""
    open_model = onnx.ModelProto()
    open_model.CopyFrom(proto)
    outputs = {p.name for p in open_model.graph.output}
    open_model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in outputs)
    compiled = compiled_of(model, open_model)
    seen: dict[str, list[Any]] = {name: [] for name in names}

    def see(_: object, results: Mapping[str, Any]) -> None:
        for name in names:
            seen[name].append(results[name])

    run_stream(StreamSession(replace(compiled, runner=Watched(compiled.runner, see))), trial.feeds)
    return seen


def differ(old: list[Any], new: list[Any]) -> bool:
    for a, b in zip(old, new, strict=False):
        if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiub":
            return False
        if a.shape != b.shape:
            return True
        wide, other = a.astype(np.float64), b.astype(np.float64)
        scale = max(scale_beside_masks(wide), 1e-3)
        if not np.allclose(wide, other, rtol=0, atol=FAR * scale, equal_nan=True):
            return True
    return False
