"""``graphc verify`` for a pipeline's folder: checks every file against the record that was written with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graphc.build.verify_output import read_report
from graphc.pipelines.compile_pipeline import REPORT, REPORT_FORMAT
from graphc_runtime.contract.first_values import file_digest


def verify_pipeline(folder: Path) -> dict[str, Any]:
    """Checks that the files of a folder are from one compilation.

    Errors:
        ModelError: the folder has no valid record.
    """
    report = read_report(folder / REPORT, REPORT_FORMAT, ("outputs", "fingerprint"))
    broken: list[str] = []
    for name, sha in report["outputs"].items():
        try:
            if Path(name).name != name:
                broken.append(f"the record names '{name}', which is not a file of this folder")
            elif file_digest(folder / name) != sha:
                broken.append(f"{name} is not the file that was written")
        except OSError as err:
            broken.append(f"{name} cannot be read: {err.strerror}")
    lines = [
        f"{folder.name}: {line}" for line in broken or [f"all {len(report['outputs'])} files are as they were written"]
    ]
    return {"output": str(folder), "holds": not broken, "broken": broken, "since": [], "lines": lines}
