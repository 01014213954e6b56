"""Reads a sweep from a file, and the spec that it varies."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError as PydanticError

from graphc.spec.spec_file import Located, SpecFile, first_complaint, load_spec
from graphc.spec.yaml_source import YamlFile, read_yaml
from graphc.sweeps.sweep_schema import RangeSpec, SweepSpec
from graphc.sweeps.variant import changed


class SweepFile(Located):
    """A sweep and its file."""

    def __init__(self, sweep: SweepSpec, source: YamlFile, base: SpecFile):
        super().__init__(source)
        self.sweep, self.base = sweep, base

    @property
    def output_folder(self) -> Path:
        return self.folder / self.sweep.output


def load_sweep(path: str | Path) -> SweepFile:
    """Reads and checks a sweep, its spec, and that every place that it varies exists.

    Errors:
        SpecError: the sweep or its spec is not valid; names the file, line, column and key.
    """
    source = read_yaml(Path(path))
    try:
        sweep = SweepSpec.model_validate(source.data)
    except PydanticError as err:
        raise first_complaint(err, source, SweepSpec) from None
    base = load_spec(source.path.parent / sweep.spec)
    file = SweepFile(sweep, source, base)
    for place, values in sweep.vary.items():
        for value in [values.first] if isinstance(values, RangeSpec) else values:
            try:
                changed(base, {place: value})
            except ValueError as err:
                raise file.error(("vary", place), str(err)) from None
    return file
