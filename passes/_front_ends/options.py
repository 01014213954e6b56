"""What the options of all front ends share: reading options from a file, and refusing an option."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from graphc.api import PassConfig, PassError, nearest

MOST_CONFIG_BYTES = 1_000_000
MOST_SAMPLES = 4096
WITHIN = "set the lowest frequency below the highest, and the highest to half the sampling rate or below"
Samples = Annotated[int, Field(gt=0, le=1_000_000)]
Size = Annotated[int, Field(gt=1, le=MOST_SAMPLES, description=f"samples, {MOST_SAMPLES} at most")]


class KindOptions(PassConfig):
    """Options of a front end, with the names that its library uses. Options in the spec override those in a file."""

    model_config = ConfigDict(allow_inf_nan=False)

    config: str | None = Field(
        min_length=1, default=None, description="a configuration file of the library, for options not given here"
    )

    @classmethod
    def kind(cls) -> str:
        raise NotImplementedError

    @classmethod
    def from_text(cls, text: str) -> Mapping[str, Any]:
        """The options in a configuration file of the library. By default, the file is a YAML or JSON mapping.

        Errors:
            ValueError: the text is not a configuration of the library.
        """
        return yaml_mapping(text)

    def with_file(self, folder: Path) -> Self:
        """These options, with the options of the file ``config`` added if it is set.

        Errors:
            PassError: the file cannot be read or is not a configuration; an option in it is unknown or does not fit.
        """
        if self.config is None:
            return self
        path = folder / self.config
        try:
            found = dict(self.from_text(text_of(path, MOST_CONFIG_BYTES)))
        except OSError as err:
            raise PassError(f"{self.kind()}.config: the file cannot be read: {err.strerror}", where=str(path)) from err
        except (ValueError, YAMLError, RecursionError) as err:
            raise PassError(f"{self.kind()}.config: not a configuration: {err}", where=str(path)) from err
        given = {name: getattr(self, name) for name in self.model_fields_set if name != "config"}
        try:
            return type(self).model_validate({**found, **given})
        except ValidationError as err:
            first = err.errors(include_url=False)[0]
            name = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                hint = nearest(name, list(type(self).model_fields))
                raise PassError(f"{self.kind()}: unknown option '{name}'", where=str(path), hint=hint) from None
            raise PassError(f"{self.kind()}.{name}: {first['msg'].lower()}", where=str(path)) from None

    def refuse(self, option: str, reason: str, hint: str) -> PassError:
        """The error for an option that is impossible in a stream. The caller raises it."""
        return PassError(f"attach_front_end: {self.kind()}.{option}: {reason}", hint=hint)


def text_of(path: Path, most: int) -> str:
    """The text of a file.

    Errors:
        OSError: the file cannot be read.
        ValueError: the file is not a regular file, or is larger than ``most`` bytes.
    """
    if path.stat().st_size > most:
        raise ValueError(f"it is larger than {most} bytes")
    if not path.is_file():
        raise ValueError("it is not a regular file")
    return path.read_text()


def yaml_mapping(text: str) -> Mapping[str, Any]:
    """Parses a YAML or JSON text that is a mapping.

    Errors:
        ValueError: the text is not a mapping.
    """
    found = YAML(typ="safe", pure=True).load(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no mapping of options")
    return found
