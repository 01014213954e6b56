"""The names of a compilation's output files, and a check that they overwrite no input."""

from __future__ import annotations

from pathlib import Path

from graphc.manifest.model_files import paths_beside
from graphc.spec.spec_file import SpecFile


def check_output(spec_file: SpecFile) -> None:
    """Refuses to overwrite an input.

    Errors:
        SpecError: an output is the model or the spec, by name or by link.
    """
    for path in output_paths(spec_file).values():
        for source in (spec_file.model_path, spec_file.source.path):
            if path.exists() and source.exists() and path.samefile(source):
                raise spec_file.error(("output",), f"'{path}' is an input of the compilation", "name another output")


def output_paths(spec_file: SpecFile) -> dict[str, Path]:
    return paths_beside(spec_file.output_path)
