"""Compares two runs of one output."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.ir.masked_scale import scale_beside_masks
from graphc.spec.schema import EXACT, EXACT_IN_HALVES, ToleranceSpec

Array = NDArray[Any]
Scale = TypeVar("Scale", float, Array)


ONE_SIDE = "is NaN or infinite on one side only"


@dataclass(frozen=True)
class Difference:
    """The difference of an output from its reference, over one or more streams.

    Args:
        max_abs: the largest |got - want|.
        max_rel: the largest |got - want| divided by the largest |want|.
        snr_db: 10 * log10(sum want^2 / sum (got - want)^2); None if nothing differs.
        frame: the first frame that is out of bounds, or else the worst one; None without a time axis.
        holds: whether the difference is within the tolerance.
        reason: why the difference is not within the tolerance.
    """

    output: str
    max_abs: float
    max_rel: float
    snr_db: float | None
    frame: int | None
    holds: bool
    reason: str = ""
    frames: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    output: str, want: Array, got: Array, axis: int | None, tolerance: ToleranceSpec, frames: int | None = None
) -> Difference:
    """Compares an output over a stream of ``frames`` input frames. NaN or Inf on one side only never holds."""
    if want.shape != got.shape:
        reason = f"has the shape {list(got.shape)}, but offline {list(want.shape)}"
        return Difference(output, float("inf"), float("inf"), None, None, False, reason, frames)
    a, b = widened(want), widened(got)
    odd = ~(np.isfinite(a) & np.isfinite(b)) & ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if odd.any():
        return Difference(
            output,
            float("inf"),
            float("inf"),
            None,
            first_frame(odd, axis),
            False,
            ONE_SIDE,
            frames,
        )
    finite = np.isfinite(a) & np.isfinite(b)
    with np.errstate(invalid="ignore"):
        error = np.where(finite, np.abs(b - a), 0.0)
    size = np.where(finite, np.abs(a), 0.0)
    scale = float(size.max(initial=0.0))
    worst = float(error.max(initial=0.0))
    noise, signal = float(np.sum(error**2)), float(np.sum(np.where(finite, a, 0.0) ** 2))
    snr = None if noise == 0 else -np.inf if signal == 0 else float(10 * np.log10(signal / noise))
    bound = np.asarray(allowed(tolerance, np.maximum(size, scale_of(a, tolerance))))
    over = error > bound
    near = not over.any()
    if tolerance.snr_db is not None:
        loud = snr is None or snr >= tolerance.snr_db
        stated = tolerance.rtol is not None or tolerance.atol is not None
        holds = loud or (stated and near)
        reason = "" if holds else f"has an SNR of {snr:.1f} dB, below {tolerance.snr_db:g} dB"
    else:
        holds = near
        place = np.unravel_index(np.argmax(error - bound), error.shape) if error.size else ()
        reason = "" if holds else f"differs by {error[place]:.3g}, where {bound[place]:.3g} is allowed"
    frame = first_frame(over, axis) if not near else first_frame(error == worst, axis) if worst else None
    return Difference(
        output,
        worst,
        worst / scale if scale else (0.0 if worst == 0 else float("inf")),
        None if snr is None else max(float(snr), -999.0),
        frame,
        holds,
        reason,
        frames,
    )


def scale_of(want: Array, tolerance: ToleranceSpec) -> float:
    """The magnitude that rtol is relative to: the largest finite one, by default without those that only mark masks."""
    if tolerance is EXACT or tolerance is EXACT_IN_HALVES:
        return scale_beside_masks(want)
    return float(np.max(np.abs(want), initial=0.0, where=np.isfinite(want)))


def allowed(tolerance: ToleranceSpec, scale: Scale) -> Scale:
    """The allowed difference of an output from its reference. rtol and atol default to those of ``EXACT``."""
    rtol, atol = (
        default if value is None else value
        for value, default in ((tolerance.rtol, EXACT.rtol), (tolerance.atol, EXACT.atol))
    )
    return (atol or 0.0) + (rtol or 0.0) * scale


def fitting(tolerance: ToleranceSpec, source: onnx.ModelProto) -> ToleranceSpec:
    """The tolerance for a model. The default is wider if the model computes in half precision."""
    return EXACT_IN_HALVES if tolerance is EXACT and computes_in_halves(source) else tolerance


def computes_in_halves(model: onnx.ModelProto) -> bool:
    halves = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    ports = [p.type.tensor_type.elem_type for p in [*model.graph.input, *model.graph.output]]
    casts = [a.i for n in model.graph.node if n.op_type == "Cast" for a in n.attribute if a.name == "to"]
    return any(kind in halves for kind in [*ports, *casts, *(t.data_type for t in model.graph.initializer)])


def widened(value: Array) -> Array:
    """The value as float64. A complex value becomes its two parts on an added last axis."""
    return value.astype(np.float64) if value.dtype.kind != "c" else np.stack([value.real, value.imag], -1)


def first_frame(mask: Array, axis: int | None) -> int | None:
    if axis is None or not mask.any():
        return None
    others = tuple(a for a in range(mask.ndim) if a != axis)
    return int(np.argmax(mask.any(axis=others)))


def worst_of(differences: list[Difference]) -> list[Difference]:
    """For each output, the largest difference among those outside the tolerance, or else among all."""
    found: dict[str, Difference] = {}
    for d in differences:
        other = found.get(d.output)
        if other is None or (other.holds and not d.holds) or (other.holds == d.holds and d.max_abs > other.max_abs):
            found[d.output] = d
    return list(found.values())
