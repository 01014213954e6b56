"""A share of the recordings, compared in a separate process, and the result for each recording."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.engines.child import run_child
from graphc.validate.compare import Difference
from graphc_runtime.errors import ModelError


@dataclass(frozen=True)
class Share:
    """Recordings to compare in one process.

    Args:
        spec: the spec of the compiled model.
        processes: the number of processes that share the machine's memory.
        op_libraries: libraries of custom ops whose code may run.
    """

    spec: Path
    files: tuple[Path, ...]
    processes: int = 1
    op_libraries: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """The result for one recording.

    Args:
        frames: the frames of the stream input that were compared; 0 if the recording was refused.
        whole: the frames of the recording, or of its first minute if it is longer.
        outputs: each output compared with the offline model.
        refused: why the recording was not compared; empty if it was compared.
    """

    file: str
    frames: int = 0
    whole: int = 0
    outputs: tuple[Difference, ...] = ()
    refused: str = ""

    @property
    def in_part(self) -> bool:
        """Whether at most half of the recording was compared, because the offline model accepts no longer stream."""
        return 2 * self.frames <= self.whole

    @property
    def equal(self) -> bool:
        return all(d.holds for d in self.outputs)


def run_share(share: Share) -> list[Recorded]:
    """Compares the recordings of a share in a separate process.

    Errors:
        ModelError: the spec or the compiled model cannot be used.
    """
    files = [str(file) for file in share.files]
    told = {"spec": str(share.spec), "files": files, "processes": share.processes}
    libraries = [str(p) for p in share.op_libraries]
    ended = run_child("graphc.recorded.share_process", {**told, "op_libraries": libraries})
    try:
        return read(json.loads(ended.printed), files)
    except (ValueError, TypeError, KeyError):
        return [Recorded(file, refused=ended.why) for file in files]


def read(found: Mapping[str, Any], files: Sequence[str]) -> list[Recorded]:
    """The results that the process printed.

    Errors:
        ModelError: the process could not use the spec or the compiled model.
        ValueError: the results are for other files.
    """
    if "error" in found:
        raise ModelError(found["error"])
    results = [Recorded(**{**r, "outputs": tuple(Difference(**d) for d in r["outputs"])}) for r in found["results"]]
    if [r.file for r in results] != list(files):
        raise ValueError("results of other files")
    return results
