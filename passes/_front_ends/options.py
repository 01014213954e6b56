"""What the options of all kinds share: the file that they may come from, and how an option is refused."""

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
    """Options named as the library of a kind names them; those given in the spec go before those of a file."""

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
            ValueError: the text is not such a file.
        """
        return yaml_mapping(text)

    def with_file(self, folder: Path) -> Self:
        """These options, with those of the file added if one is named.

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
        """The error for an option that a stream cannot have."""
        return PassError(f"attach_front_end: {self.kind()}.{option}: {reason}", hint=hint)


def text_of(path: Path, most: int) -> str:
    """The text of a file.

    Errors:
        OSError: it cannot be read.
        ValueError: not a regular file, or larger than ``most`` bytes.
    """
    if path.stat().st_size > most:
        raise ValueError(f"it is larger than {most} bytes")
    if not path.is_file():
        raise ValueError("it is not a regular file")
    return path.read_text()


def yaml_mapping(text: str) -> Mapping[str, Any]:
    """Parses a YAML or JSON text that is a mapping.

    Errors:
        ValueError: it is not a mapping.
    """
    found = YAML(typ="safe", pure=True).load(text)
    if not isinstance(found, dict):
        raise ValueError("it holds no mapping of options")
    return found
