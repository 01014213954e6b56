"""A spec as a file: read, and its mistakes said with their line."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError

from graphc.errors import SpecError
from graphc.spec.messages import first_error, plain_words
from graphc.spec.nearest import nearest
from graphc.spec.schema import BudgetSpec, DriftSpec, LatencySpec, Spec, ToleranceSpec, ValidateSpec
from graphc.spec.stream_schema import InputSpec, StateSpec, StreamSpec
from graphc.spec.yaml_source import YamlFile, read_yaml


class SpecFile:
    """A spec and where it stands: resolves its paths, and gives file, line and column for every complaint."""

    def __init__(self, spec: Spec, source: YamlFile):
        self.spec = spec
        self.source = source

    @property
    def folder(self) -> Path:
        return self.source.path.parent

    @property
    def model_path(self) -> Path:
        return self.folder / self.spec.model

    @property
    def output_path(self) -> Path:
        return self.folder / self.spec.output

    def error(self, keys: tuple[str | int, ...], reason: str, hint: str | None = None) -> SpecError:
        """An error at the value under ``keys``."""
        where, path = self.source.place(keys)
        return SpecError(f"{path}: {reason}" if path else reason, hint=hint, where=where)


def load_spec(path: str | Path) -> SpecFile:
    """Reads and checks a spec. No model is opened.

    Errors:
        SpecError: with file, line, column, the key's path and, for an unknown key, the nearest right one.
    """
    if not is_text(str(path)):
        raise SpecError("the spec's name is not UTF-8", where=ascii(str(path)))
    source = read_yaml(Path(path))
    try:
        spec = Spec.model_validate(source.data)
    except PydanticError as err:
        raise first_complaint(err, source) from None
    return SpecFile(spec, source)


def is_text(name: str) -> bool:
    """Whether a file's name is text; Python keeps bytes that are none as halves of surrogate pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def first_complaint(err: PydanticError, source: YamlFile) -> SpecError:
    first = first_error(err.errors(include_url=False))
    keys = source.existing(tuple(k for k in first["loc"]))
    where, path = source.place(keys)
    missing = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        known = known_keys(source.existing(tuple(first["loc"]))[:-1])
        return SpecError(f"{path}: unknown key", hint=nearest(missing, known), where=where)
    if first["type"] == "missing":
        within = f"{path}: " if path else ""
        return SpecError(f"{within}the key '{missing}' is missing", where=where)
    message = plain_words(first)
    return SpecError(f"{path}: {message}" if path else message, where=where)


def known_keys(keys: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand under a path of the spec."""
    here: type[BaseModel] | None = Spec
    table: dict[str, type[BaseModel]] = {
        "stream": StreamSpec,
        "validate": ValidateSpec,
        "budget": BudgetSpec,
        "drift": DriftSpec,
        "latency_ms": LatencySpec,
        "tolerance": ToleranceSpec,
        "inputs": InputSpec,
        "states": StateSpec,
    }
    for key in keys:
        here = table.get(str(key), here)
    assert here is not None
    return [field.alias or name for name, field in here.model_fields.items()]
