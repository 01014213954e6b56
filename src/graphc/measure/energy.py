"""Measures the energy of a call with the counter of the processor's package (RAPL; the Linux kernel's powercap)."""

from __future__ import annotations

from pathlib import Path

COUNTER = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
RANGE = COUNTER.with_name("max_energy_range_uj")


class EnergyCounter:
    """The counter of the processor's energy for all programs together, which wraps around and may not be readable."""

    def __init__(self) -> None:
        self.range = read(RANGE)
        self.is_here = read(COUNTER) is not None and self.range is not None

    def now(self) -> int:
        """Microjoules since a fixed moment; 0 without a counter."""
        return read(COUNTER) or 0 if self.is_here else 0

    def since(self, before: int) -> int:
        """Microjoules since an earlier result of ``now``."""
        gone = self.now() - before
        return gone if gone >= 0 else gone + (self.range or 0)


def read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
