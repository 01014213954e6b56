"""A share of the recordings, compared in a process of its own, and what became of each."""

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
    """
    Args:
        spec: of the model, compiled before.
        processes: that share the machine's memory.
        op_libraries: whose code may run.
    """

    spec: Path
    files: tuple[Path, ...]
    processes: int = 1
    op_libraries: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """What became of one recording.

    Args:
        frames: of the stream input, that were compared; 0 where the recording was refused.
        whole: frames of the recording, of a minute at most.
        outputs: each output compared with the offline model.
        refused: why it was not compared.
    """

    file: str
    frames: int = 0
    whole: int = 0
    outputs: tuple[Difference, ...] = ()
    refused: str = ""

    @property
    def in_part(self) -> bool:
        """Whether the offline model takes no stream as long as the recording."""
        return 2 * self.frames <= self.whole

    @property
    def equal(self) -> bool:
        return all(d.holds for d in self.outputs)


def run_share(share: Share) -> list[Recorded]:
    """
    Errors:
        ModelError: the spec or what was compiled cannot be used.
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
    """
    Errors:
        ModelError: the process could not begin.
    """
    if "error" in found:
        raise ModelError(found["error"])
    results = [Recorded(**{**r, "outputs": tuple(Difference(**d) for d in r["outputs"])}) for r in found["results"]]
    if [r.file for r in results] != list(files):
        raise ValueError("results of other files")
    return results
