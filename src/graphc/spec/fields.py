"""What fields of a spec share: numbers with bounds, and a strict base class."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Frames = Annotated[int, Field(gt=0, le=10_000_000)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Strict(BaseModel):
    """A model that takes no unknown key and converts no type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def as_number(value: object) -> object:
    """True and false as 1 and 0. Other values do not change."""
    return float(value) if isinstance(value, bool) else value


Number = Annotated[Finite | None, BeforeValidator(as_number)]
