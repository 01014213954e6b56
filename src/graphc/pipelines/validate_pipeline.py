"""``graphc validate`` for a pipeline: compares each stage with its own offline model."""

from __future__ import annotations

from typing import Any

from graphc.build.validate_and_bench import validate_spec
from graphc.spec.spec_file import PipelineFile


def validate_pipeline(file: PipelineFile) -> dict[str, Any]:
    """Compares every streaming stage with its offline model, on streams as the stage's spec asks for them.

    The joined model was compared with its stages when it was compiled; it has the same nodes.

    Errors:
        GraphcError: a spec, a model or the outputs cannot be used.
    """
    path = file.source.path
    files = {name: file.stage_file(name) for name in file.spec.pipeline.stages}
    found = {
        name: validate_spec(stage, f"{path.name}: {name}")
        for name, stage in files.items()
        if stage.spec.stream is not None
    }
    return {
        "spec": str(path),
        "holds": all(stage["holds"] for stage in found.values()),
        "stages": found,
        "lines": [line for stage in found.values() for line in stage["lines"]],
    }
