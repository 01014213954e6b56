"""Compares a compiled model with its budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from graphc.errors import ValidationError
from graphc.op_sets.op_set import OpSet
from graphc.op_sets.registry import op_set_named, op_set_with, richer_than
from graphc.spec.schema import BudgetSpec
from graphc.spec.spec_file import SpecFile

BLOCKED = "com.microsoft::MatMulNBits"
FIRST_BLOCKED = 21
FLOAT_BYTES = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.DOUBLE: 8}


@dataclass(frozen=True)
class BudgetLimit:
    """One number of a budget: an upper limit, or a lower one if ``least``."""

    key: str
    limit: float
    found: float
    least: bool = False

    @property
    def missed(self) -> bool:
        return self.found < self.limit if self.least else self.found > self.limit

    def line(self) -> str:
        over = f"{abs(self.found - self.limit):.3g} " + ("below" if self.least else "over")
        share = f", {abs(self.found / self.limit - 1):.0%}" if self.limit else ""
        return f"{self.key}: {self.found:.4g} of {self.limit:g} ({over}{share})"


def limits_of(budget: BudgetSpec, data: dict[str, Any], size: int) -> list[BudgetLimit]:
    """Every number that the budget names, with the measured value."""
    found: list[BudgetLimit] = []

    def limit(key: str, wanted: float | None, value: Callable[[], float], least: bool = False) -> None:
        if wanted is not None:
            found.append(BudgetLimit(key, float(wanted), float(value()), least))

    limit("size_mb", budget.size_mb, lambda: size / 1e6)
    limit("rtf", budget.rtf, lambda: data["latency"]["rtf"])
    limit("latency_ms.p50", budget.latency_ms.p50, lambda: data["latency"]["p50_ms"])
    limit("latency_ms.p99", budget.latency_ms.p99, lambda: data["latency"]["p99_ms"])
    limit("snr_db", budget.snr_db, lambda: least_snr(data), least=True)
    drift = drift_limit(budget, data["drift"])
    return found if drift is None else [*found, drift]


def drift_limit(budget: BudgetSpec, drift: dict[str, Any]) -> BudgetLimit | None:
    """The rise of the error in dB over the long stream, and its limit. None if the budget has no such limit."""
    if budget.drift is None:
        return None
    rises = [o["rise_db"] for o in drift["outputs"].values() if o["verdict"] != "bounded"]
    return BudgetLimit("drift", 0.0 if budget.drift == "bounded" else float(budget.drift), max(rises, default=0.0))


def least_snr(data: Mapping[str, Any]) -> float:
    """The smallest SNR of any output after the last pass, and over the long stream if there was one."""
    last = data["passes"][-1]["against_offline"] if data["passes"] else []
    found = [d["snr_db"] for d in last if d["snr_db"] is not None]
    if data["drift"] is not None:
        found += [o["snr_db"] for o in data["drift"]["outputs"].values()]
    return min(found, default=float("inf"))


def check_budget(data: dict[str, Any], spec_file: SpecFile, proto: onnx.ModelProto, size: int) -> None:
    """Compares the model's numbers with its budget, and records the result.

    Errors:
        SpecError: the budget limits the latency of a model that does not stream.
        ValidationError: a budget is missed; says by how much, and which option comes closest to meeting it.
    """
    budget = spec_file.spec.budget
    latency = [key for key in ("rtf", "latency_ms") if key in budget.model_fields_set]
    if data["latency"] is None and latency:
        raise spec_file.error(
            ("budget", latency[0]),
            "only streaming models are timed, and this one does not stream",
            "remove this limit, or add lift_state",
        )
    missed = [limit for limit in limits_of(budget, data, size) if limit.missed]
    data["budget"] = {**budget.model_dump(), "missed": [limit.line() for limit in missed]}
    if missed:
        raise ValidationError(
            f"the budget is missed: {'; '.join(limit.line() for limit in missed)}",
            where=str(spec_file.source.path),
            hint="; ".join(dict.fromkeys(way_out(limit, spec_file, proto, size, data["drift"]) for limit in missed)),
        )


def way_out(
    limit: BudgetLimit, spec_file: SpecFile, proto: onnx.ModelProto, size: int, drift: dict[str, Any] | None
) -> str:
    """A hint at the option that comes closest to meeting a limit: the mildest that suffices, or else the strongest."""
    options = {p.name: p.options for p in spec_file.spec.passes}
    names, target = set(options), op_set_named(spec_file.spec.target)
    richer = richer_than(target)
    if limit.key == "size_mb":
        return smaller(limit.limit, proto, size, target)
    if limit.key in ("rtf", "latency_ms.p50", "latency_ms.p99"):
        if "fuse" not in names:
            return "add fuse" if richer is None else f"add fuse, with target: {richer.name}"
        if richer is not None:
            return f"set target: {richer.name}, whose own ops fuse more"
        if "quantize" not in names:
            return "add quantize: {mode: dynamic}"
        if limit.key == "rtf":
            return "choose a larger chunk: a call then takes longer, but less time for each frame"
        return "choose a smaller chunk, or raise the budget"
    if limit.key == "snr_db":
        if "budget" in options.get("quantize", {}):
            return "raise quantize.budget.snr_db: it is measured on other streams than those of the validation"
        if "quantize" in names:
            return f"quantize: {{budget: {{snr_db: {limit.limit:g}}}}} leaves the most sensitive nodes in float"
        return "leave out the pass with the smallest SNR in the report"
    if drift is not None and drift["reset_s"] is not None:
        return (
            f"a reset every {drift['reset_s']:g} s, the reset interval that the report recommends, keeps the best ratio"
        )
    return "no reset interval that validate.drift tried helps; leave quantize.states out, or keep more nodes in float"


def smaller(limit_mb: float, proto: onnx.ModelProto, size: int, target: OpSet) -> str:
    opset = next((o.version for o in proto.opset_import if o.domain == ""), 0)
    products = {n.input[1] for n in proto.graph.node if n.op_type in ("MatMul", "Gemm", "FusedMatMul")}
    blocked = sum(float_bytes(t) for t in proto.graph.initializer if t.name in products)
    floats = sum(float_bytes(t) for t in proto.graph.initializer)
    other = None if target.has(BLOCKED) or opset >= FIRST_BLOCKED else op_set_with(BLOCKED)
    runtime = "" if other is None else f", with target: {other.name},"
    ways = (
        ("convert_float: {to: float16}", floats, 1 / 2),
        ("quantize: {mode: weight_only}", floats, 1 / 4),
        (f"quantize: {{mode: weight_only, weights: int4, block: 32}}{runtime}", blocked, 5 / 32),
    )
    estimates = [(way, (size - weights * (1 - share)) / 1e6) for way, weights, share in ways]
    smallest = min(estimates, key=lambda e: e[1])
    way, estimate = next(((w, e) for w, e in estimates if e <= limit_mb), smallest)
    if floats < size / 20:
        return f"its weights in float are only {floats / 1e6:.3g} MB: raise the budget, or make the model smaller"
    return f"{way} would bring it to about {estimate:.3g} MB"


def float_bytes(tensor: onnx.TensorProto) -> int:
    return int(math.prod(tensor.dims)) * FLOAT_BYTES.get(tensor.data_type, 0)
