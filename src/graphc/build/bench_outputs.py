"""``graphc bench``: times the calls of a compiled model, on onnxruntime and on the spec's targets, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphc.build.output_files import output_paths
from graphc.build.validate_and_bench import compiled_session
from graphc.errors import SpecError
from graphc.measure.bench import Latency, measure, measure_in_turns
from graphc.measure.memory import memory_of
from graphc.offline.prepare import offline_of
from graphc.passes.plan import source_of
from graphc.passes.registry import load_registry
from graphc.spec.schema import BudgetSpec
from graphc.spec.spec_file import SpecFile, load_spec
from graphc_runtime.session import StreamSession

SECONDS = 30.0


def bench_spec(path: Path, calls: int, targets: Sequence[str] = ()) -> dict[str, Any]:
    """Measures the latency of a call on onnxruntime and, with ``targets``, also on each target, in turns.

    Args:
        targets: names of targets, or ``all`` for all compiled targets that can run here.

    Errors:
        GraphcError: the spec or the outputs cannot be used.
    """
    spec_file = load_spec(path)
    session = compiled_session(spec_file)
    assert spec_file.spec.stream is not None
    offline = offline_of(source_of(spec_file, load_registry()), spec_file.spec.stream, spec_file)
    if not targets:
        latency = measure(session, offline, calls, SECONDS)
        return {"spec": str(path), **latency.as_dict(), "lines": [line_of(path.name, latency)]}
    ran = [name for name, entry in session.manifest.targets.items() if entry.ran]
    names = ran if "all" in targets else list(targets)
    if not names:
        raise SpecError(
            "the model was not compiled for any target that runs here",
            hint="name some under `targets` in the spec, and compile again",
            where=str(path),
        )
    manifest = output_paths(spec_file)["manifest"]
    sessions = {"onnxruntime": session, **{n: StreamSession(manifest, target=n) for n in names}}
    found = measure_in_turns(sessions, offline, calls, SECONDS)
    rows = {name: row(spec_file, session, name, latency) for name, latency in found.items()}
    best = cheapest(rows, spec_file.spec.budget)
    return {"spec": str(path), "targets": rows, "cheapest": best, "lines": table(path.name, rows, best)}


def row(spec_file: SpecFile, session: StreamSession, name: str, latency: Latency) -> dict[str, Any]:
    """A row of the table: times, the size of the model's files, and how close the target is to the offline model."""
    paths, entry = output_paths(spec_file), session.manifest.targets.get(name)
    stem = paths["model"].with_suffix("").name
    own = [p for p in paths["model"].parent.glob(f"{stem}.{name}.*") if entry is not None]
    files = own or [p for p in (paths["model"], paths["data"]) if p.is_file()]
    return {
        **latency.as_dict(),
        "bytes": sum(p.stat().st_size for p in files),
        "snr_db": None if entry is None else entry.snr_db,
        "memory_bytes": memory_of(paths["manifest"], None if entry is None else name),
    }


def cheapest(rows: Mapping[str, Mapping[str, Any]], budget: BudgetSpec) -> str | None:
    """The target with the shortest call that is within the budget for size, times and SNR. None if there is none."""

    def keeps(found: Mapping[str, Any]) -> bool:
        within = (
            (found["bytes"] / 1e6, budget.size_mb),
            (found["rtf"], budget.rtf),
            (found["p50_ms"], budget.latency_ms.p50),
            (found["p99_ms"], budget.latency_ms.p99),
        )
        loud = found["snr_db"] is None or budget.snr_db is None or found["snr_db"] >= budget.snr_db
        return loud and all(most is None or (value is not None and value <= most) for value, most in within)

    return min((name for name in rows if keeps(rows[name])), key=lambda name: float(rows[name]["p50_ms"]), default=None)


def line_of(name: str, latency: Latency) -> str:
    line = f"{name}: a call takes {latency.p50_ms:.3f} ms (p90 {latency.p90_ms:.3f}, p99 {latency.p99_ms:.3f})"
    return line if latency.rtf is None else f"{line}, real-time factor {latency.rtf:.4f}"


def table(name: str, rows: dict[str, dict[str, Any]], best: str | None) -> list[str]:
    """The rows of the table, fastest first, each compared with onnxruntime."""
    base = rows["onnxruntime"]["p50_ms"]
    heads = ("ms a call", "p99", "of onnxruntime", "MB", "memory, MB", "SNR")
    energy = any(found["energy_mj"] is not None for found in rows.values())
    head = "".join(f" {text:>14}" for text in (*heads, *(("mJ a call",) if energy else ())))
    lines = [f"{name}: {'target':12}{head}"]
    for target, found in sorted(rows.items(), key=lambda item: item[1]["p50_ms"]):
        snr = "" if target == "onnxruntime" else f"{found['snr_db']:.1f} dB" if found["snr_db"] is not None else "exact"
        memory = "–" if found["memory_bytes"] is None else f"{found['memory_bytes'] / 1e6:.1f}"
        times = (f"{found['p50_ms']:.3f}", f"{found['p99_ms']:.3f}", f"{found['p50_ms'] / base:.2f}")
        cells = (*times, f"{found['bytes'] / 1e6:.2f}", memory, snr)
        used = f" {found['energy_mj']:14.2f}" if found["energy_mj"] is not None else ""
        lines.append(f"{' ' * len(name)}  {target:12}" + "".join(f" {cell:>14}" for cell in cells) + used)
    if not energy:
        lines.append("energy: not measurable here (no readable counter in /sys/class/powercap)")
    lines.append(f"the cheapest within the budget: {best or 'none'}")
    return lines
