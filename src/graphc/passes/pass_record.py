"""The record of each pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from graphc.validate.compare import Difference


@dataclass
class PassRecord:
    """What one pass did, as the report shows it. Sizes are in bytes, times in seconds."""

    name: str
    options: dict[str, Any]
    seconds: float
    check_seconds: float
    nodes_before: int
    nodes_after: int
    size_before: int
    size_after: int
    ops_before: dict[str, int]
    ops_after: dict[str, int]
    notes: list[str]
    counts: dict[str, int]
    tolerance: dict[str, float | None]
    warnings: list[str] = field(default_factory=list)
    against_offline: list[Difference] = field(default_factory=list)
    against_before: list[Difference] = field(default_factory=list)
    reference_change: list[Difference] = field(default_factory=list)

    @property
    def max_abs(self) -> float:
        return max((d.max_abs for d in self.against_offline), default=0.0)
