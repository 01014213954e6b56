"""``graphc validate --recordings``: compares many recordings on an engine, and summarizes the results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from uuid import uuid4

from graphc.build.report import finite
from graphc.engines.engine import Engine
from graphc.offline.recordings import recording_files
from graphc.recorded.share import Recorded, Share, run_share
from graphc.spec.spec_file import SpecFile
from graphc.system.words import counted
from graphc.validate.compare import Difference
from graphc_runtime.errors import ModelError
from graphc_runtime.ort_model import OP_LIBRARIES

SHARES_A_SLOT = 4
ENOUGH_FOR_A_PROCESS, MOST_IN_A_SHARE = 8, 50
MOST_TOLD = 10
Progress = Callable[[str, int, int], None]


def check_recordings(spec_file: SpecFile, paths: Sequence[str], engine: Engine, progress: Progress) -> dict[str, Any]:
    """Streams every recording through the compiled model, and compares each with the offline model.

    Args:
        paths: recordings, saved features, or folders of these.

    Errors:
        InputError: there is no recording at a path.
        ModelError: the spec or the compiled model cannot be used, or no recording could be compared.
    """
    files = [path.resolve() for path in recording_files(paths, Path())]
    spec, libraries = spec_file.source.path.resolve(), tuple(path.resolve() for path in OP_LIBRARIES)
    work = [Share(spec, part, engine.slots, libraries) for part in shares(files, engine.slots)]
    results = results_of(work, engine, progress)
    refused = [r for r in results if r.refused]
    compared = [r for r in results if not r.refused]
    if not compared:
        raise ModelError(f"none of {len(results)} recordings could be compared; the first: {refused[0].refused}")
    name = spec_file.source.path.name
    frame_ms = spec_file.spec.stream.frame_ms if spec_file.spec.stream is not None else None
    return {
        "spec": str(spec_file.source.path),
        "holds": all(r.equal for r in compared),
        "refused": len(refused),
        "recordings": [finite(asdict(r)) for r in results],
        "lines": [f"{name}: {line}" for line in lines_of(compared, refused, frame_ms)],
    }


def shares(files: Sequence[Path], slots: int) -> list[tuple[Path, ...]]:
    """Splits files into shares of about equal size: a few for each slot, each large enough to be worth a process."""
    enough = min(ENOUGH_FOR_A_PROCESS, math.ceil(len(files) / slots))
    size = min(MOST_IN_A_SHARE, max(enough, math.ceil(len(files) / (SHARES_A_SLOT * slots))))
    return [tuple(files[i : i + size]) for i in range(0, len(files), size)]


def results_of(work: Sequence[Share], engine: Engine, progress: Progress) -> list[Recorded]:
    """The results of all shares, in the order of their files."""
    total, done = sum(len(share.files) for share in work), 0
    run = uuid4().hex
    found: dict[int, list[Recorded]] = {}
    running: dict[Any, int] = {}
    left = list(enumerate(work))
    while left or running:
        while left and len(running) < engine.slots:
            number, share = left.pop(0)
            running[engine.submit(run_share, share, f"recordings-{run}-{number}")] = number
        progress("recordings", done, total)
        for future, results in engine.first(list(running)):
            found[running.pop(future)] = results
            done += len(results)
    progress("recordings", done, total)
    return [result for number in sorted(found) for result in found[number]]


def lines_of(compared: Sequence[Recorded], refused: Sequence[Recorded], frame_ms: float | None) -> list[str]:
    frames = sum(r.frames for r in compared)
    length = f"{frames * frame_ms / 60_000:.1f} min" if frame_ms is not None else f"{frames:,} frames"
    parts = sum(r.in_part for r in compared)
    told_parts = f"; of {parts} only the first part, because the offline model takes no longer stream" if parts else ""
    lines = [f"{counted(len(compared), 'recording')}, {length} of stream{told_parts}"]
    lines += [output_line(name, compared) for name in dict.fromkeys(d.output for r in compared for d in r.outputs)]
    told = [f"{Path(r.file).name}: refused: {r.refused}" for r in refused[:MOST_TOLD]]
    if len(refused) > MOST_TOLD:
        told.append(f"{len(refused) - MOST_TOLD} more were refused; --json lists all")
    return lines + told


def output_line(name: str, compared: Sequence[Recorded]) -> str:
    """A line on how an output compares over all recordings, with the names of the worst recordings."""
    found = [(r.file, d) for r in compared for d in r.outputs if d.output == name]
    off = [(file, d) for file, d in found if not d.holds]
    file, most = max(found, key=lambda pair: pair[1].max_abs)
    line = f"{name}: {f'NOT EQUAL in {len(off)} of {len(found)}' if off else 'equal'}: "
    line += f"largest error {most.max_abs:.3g} ({Path(file).name})"
    heard = [(d.snr_db, file) for file, d in found if d.snr_db is not None]
    if heard:
        snr, file = min(heard)
        line += f", lowest SNR {snr:.1f} dB ({Path(file).name})"
    return line + (f"; {off[0][1].reason} in {first_place(*off[0])}" if off else "")


def first_place(file: str, difference: Difference) -> str:
    return Path(file).name + (f" at frame {difference.frame}" if difference.frame is not None else "")
