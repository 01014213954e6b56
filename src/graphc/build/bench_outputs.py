"""``graphc bench``: the calls of what was compiled, on onnxruntime and on the spec's targets, in one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphc.build.output_files import output_paths
from graphc.build.revalidate import compiled_session
from graphc.client.session import StreamSession
from graphc.errors import SpecError
from graphc.ir.model import read_model
from graphc.measure.bench import Latency, measure, measure_in_turns
from graphc.offline.prepare import offline_of
from graphc.spec.spec_file import SpecFile, load_spec

SECONDS = 30.0


def bench_spec(path: Path, calls: int, targets: Sequence[str] = ()) -> dict[str, Any]:
    """Latency of a call; with targets, that of each beside onnxruntime's, in turns.

    Args:
        targets: names, or ``all`` for those that the model was compiled for.

    Errors:
        GraphcError: the spec or the outputs cannot be used.
    """
    spec_file = load_spec(path)
    session = compiled_session(spec_file)
    assert spec_file.spec.stream is not None
    offline = offline_of(read_model(spec_file.model_path), spec_file.spec.stream, spec_file)
    if not targets:
        latency = measure(session, offline, calls, SECONDS)
        return {"spec": str(path), **latency.as_dict(), "lines": [line_of(path.name, latency)]}
    names = list(session.manifest.targets) if "all" in targets else list(targets)
    if not names:
        raise SpecError("the model was compiled for no target", hint="name some in the spec's targets", where=str(path))
    manifest = output_paths(spec_file)["manifest"]
    sessions = {"onnxruntime": session, **{n: StreamSession(manifest, target=n) for n in names}}
    found = measure_in_turns(sessions, offline, calls, SECONDS)
    rows = {name: row(spec_file, session, name, latency) for name, latency in found.items()}
    return {"spec": str(path), "targets": rows, "lines": table(path.name, rows)}


def row(spec_file: SpecFile, session: StreamSession, name: str, latency: Latency) -> dict[str, Any]:
    """One line of the table: times, the size of the model's files, and how near it is."""
    paths, entry = output_paths(spec_file), session.manifest.targets.get(name)
    stem = paths["model"].with_suffix("").name
    own = [p for p in paths["model"].parent.glob(f"{stem}.{name}.*") if entry is not None]
    files = own or [p for p in (paths["model"], paths["data"]) if p.is_file()]
    return {
        **latency.as_dict(),
        "bytes": sum(p.stat().st_size for p in files),
        "snr_db": None if entry is None else entry.snr_db,
    }


def line_of(name: str, latency: Latency) -> str:
    line = f"{name}: a call takes {latency.p50_ms:.3f} ms (p90 {latency.p90_ms:.3f}, p99 {latency.p99_ms:.3f})"
    return line if latency.rtf is None else f"{line}, real-time factor {latency.rtf:.4f}"


def table(name: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    """The rows, fastest first, each beside onnxruntime's."""
    base = rows["onnxruntime"]["p50_ms"]
    lines = [f"{name}: {'target':12} {'ms a call':>9} {'p99':>8} {'of onnxruntime':>14} {'MB':>7} {'SNR':>9}"]
    for target, found in sorted(rows.items(), key=lambda item: item[1]["p50_ms"]):
        snr = "" if target == "onnxruntime" else f"{found['snr_db']:.1f} dB" if found["snr_db"] is not None else "exact"
        lines.append(
            f"{' ' * len(name)}  {target:12} {found['p50_ms']:9.3f} {found['p99_ms']:8.3f} "
            f"{found['p50_ms'] / base:14.2f} {found['bytes'] / 1e6:7.2f} {snr:>9}"
        )
    return lines
