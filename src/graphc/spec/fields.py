"""Shared types of the spec's schema: numbers with bounds, and a strict base class."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Frames = Annotated[int, Field(gt=0, le=10_000_000)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Strict(BaseModel):
    """A pydantic model that rejects unknown keys and does not convert types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def as_number(value: object) -> object:
    """Converts true and false to 1.0 and 0.0. Returns other values unchanged."""
    return float(value) if isinstance(value, bool) else value


Number = Annotated[Finite | None, BeforeValidator(as_number)]
