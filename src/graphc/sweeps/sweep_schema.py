"""A sweep: the spec to vary, the values to try, and the goals."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from graphc.spec.fields import Finite, Strict

Metric = Literal["latency_ms", "p99_ms", "rtf", "size_mb", "snr_db", "delay_ms", "state_kb"]


class RangeSpec(Strict):
    """A range of numbers, for a search."""

    low: Finite
    high: Finite
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    log: bool = False

    @model_validator(mode="after")
    def ordered(self) -> RangeSpec:
        if self.low >= self.high:
            raise ValueError("low must be smaller than high")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log needs low above 0, and no step")
        return self

    @property
    def whole(self) -> bool:
        """Whether the range holds integers only: its bounds and step are integers."""
        return all(float(n).is_integer() for n in (self.low, self.high, self.step or 1)) and not self.log

    @property
    def first(self) -> int | float:
        return int(self.low) if self.whole else self.low


def kind_of(value: object) -> str:
    return "range" if isinstance(value, dict | RangeSpec) else "list"


Values = Annotated[
    Annotated[list[Any], Tag("list")] | Annotated[RangeSpec, Tag("range")],
    Discriminator(kind_of),
]


class SearchSpec(Strict):
    """How variants are chosen: the whole grid, or a number of trials by a sampler of Optuna."""

    sampler: Literal["grid", "random", "tpe", "nsga2"] = "grid"
    trials: Annotated[int, Field(gt=0, le=100_000)] | None = Field(
        default=None, description="how many variants; not for the grid"
    )
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def counted(self) -> SearchSpec:
        if (self.sampler == "grid") != (self.trials is None):
            raise ValueError("the samplers random, tpe and nsga2 need trials, and grid takes none")
        return self


class SweepSpec(Strict):
    """A whole sweep, as read from YAML. Paths are relative to its folder."""

    version: Literal[1]
    spec: str = Field(description="the spec to vary; its budget says which variants are good enough")
    output: str = Field(description="a folder for the trials, the table, the page and the best spec")
    vary: dict[str, Values] = Field(
        min_length=1,
        description="values by their place in the spec, as `stream.chunk: [8, 16]` or `passes.quantize.mode: [dynamic, "
        "static]`; null omits a pass or a key; {low, high, step, log} is a range",
    )
    minimise: list[Metric] = Field(default=["latency_ms", "size_mb"], description="the first decides which is best")
    maximise: list[Metric] = Field(default=["snr_db"], description="numbers to maximise")
    search: SearchSpec = SearchSpec()
    storage: str | None = Field(
        default=None, description="where Optuna keeps the study, as a URL; default: study.db in the output folder"
    )

    @field_validator("vary", mode="before")
    @classmethod
    def lists_have_values(cls, value: object) -> object:
        for place, values in value.items() if isinstance(value, dict) else ():
            if isinstance(values, list) and not values:
                raise ValueError(f"{place}: the list is empty")
        return value

    @model_validator(mode="after")
    def goals(self) -> SweepSpec:
        named = [*self.minimise, *self.maximise]
        if not named:
            raise ValueError("minimise or maximise must name at least one number")
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' appears twice in minimise and maximise")
        ranges = [place for place, values in self.vary.items() if isinstance(values, RangeSpec)]
        if ranges and self.search.sampler == "grid":
            raise ValueError(f"'{ranges[0]}' is a range, not a grid: give a list, or search: {{sampler: tpe}}")
        return self
