"""Reads a spec from a file, and reports mistakes with their line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError

from graphc.errors import SpecError
from graphc.spec.messages import first_error, plain_words
from graphc.spec.nearest import nearest
from graphc.spec.nested_options import options_at
from graphc.spec.pipeline_schema import PipelineFileSpec
from graphc.spec.schema import Spec
from graphc.spec.yaml_source import YamlFile, read_yaml


class Located:
    """The content of a YAML file, with the line and column of every value for error messages."""

    def __init__(self, source: YamlFile):
        self.source = source

    @property
    def folder(self) -> Path:
        return self.source.path.parent

    def error(self, keys: tuple[str | int, ...], reason: str, hint: str | None = None) -> SpecError:
        """An error at the value under ``keys``."""
        where, path = self.source.place(keys)
        return SpecError(f"{path}: {reason}" if path else reason, hint=hint, where=where)


class SpecFile(Located):
    """A spec and its file. Paths in the spec are relative to the file's folder."""

    def __init__(self, spec: Spec, source: YamlFile):
        super().__init__(source)
        self.spec = spec

    @property
    def model_path(self) -> Path:
        return self.folder / self.spec.model

    @property
    def output_path(self) -> Path:
        return self.folder / self.spec.output


class PipelineFile(Located):
    """A spec of several models and its file."""

    def __init__(self, spec: PipelineFileSpec, source: YamlFile):
        super().__init__(source)
        self.spec = spec

    @property
    def output_folder(self) -> Path:
        return self.folder / self.spec.output

    def stage_file(self, name: str) -> SpecFile:
        """The spec of a stage, with its output in the pipeline's folder.

        Errors:
            SpecError: as for ``load_spec``.
        """
        file = load_spec(self.folder / self.spec.pipeline.stages[name].spec)
        output = os.path.relpath(self.output_folder.resolve() / f"{name}.onnx", file.folder.resolve())
        return SpecFile(file.spec.model_copy(update={"output": output}), file.source)


def load_spec(path: str | Path) -> SpecFile:
    """Reads and checks a spec of one model. The model is not opened.

    Errors:
        SpecError: the spec is not valid; names the file, line, column and key and, for an unknown key, the nearest
            known one. Also raised for a spec of several models.
    """
    found = load_any_spec(path)
    if isinstance(found, PipelineFile):
        raise found.error(("pipeline",), "expected the spec of a single model", "name the spec of one of its stages")
    return found


def load_any_spec(path: str | Path) -> SpecFile | PipelineFile:
    """Reads and checks a spec of one model, or of several.

    Errors:
        SpecError: the spec is not valid; names the file, line, column and key and, for an unknown key, the nearest
            known one.
    """
    if not is_text(str(path)):
        raise SpecError("the spec's name is not UTF-8", where=ascii(str(path)))
    source = read_yaml(Path(path))
    if isinstance(source.data, dict) and "pipeline" in source.data:
        try:
            return PipelineFile(PipelineFileSpec.model_validate(source.data), source)
        except PydanticError as err:
            raise first_complaint(err, source, PipelineFileSpec) from None
    try:
        return SpecFile(Spec.model_validate(source.data), source)
    except PydanticError as err:
        raise first_complaint(err, source, Spec) from None


def is_text(name: str) -> bool:
    """Whether a file's name is valid text. Python represents bytes that are not UTF-8 as unpaired surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def first_complaint(err: PydanticError, source: YamlFile, root: type[BaseModel]) -> SpecError:
    first = first_error(err.errors(include_url=False))
    where, path = source.place(source.existing(tuple(first["loc"])))
    said, hint = complaint(first, root)
    return SpecError(f"{path}: {said}" if path else said, hint=hint, where=where)


def complaint(error: Any, root: type[BaseModel]) -> tuple[str, str | None]:
    """One pydantic error as a clause of a message, and a hint if a key does not exist."""
    if error["type"] != "extra_forbidden":
        return plain_words(error), None
    *above, name = error["loc"]
    return "unknown key", nearest(str(name), options_at(root, above))
