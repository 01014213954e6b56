"""What a search for precisions measures: signal-to-noise ratios, saved so that an interrupted search can resume."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from graphc_passes._quantize.options import QuantizeOptions

from graphc.api import PassContext, PassError, write_all

Outputs = Sequence[dict[str, Any]]

LARGEST_TABLE = 100_000_000


def least_snr(want: Outputs, got: Outputs) -> float:
    """The SNR of the worst output over all streams, in dB."""
    found: list[float] = []
    for name in want[0]:
        signal = noise = 0.0
        for a, b in zip(want, got, strict=True):
            exact, seen = np.asarray(a[name], np.float64), np.asarray(b[name], np.float64)
            finite = np.isfinite(exact)
            signal += float(np.sum(exact[finite] ** 2))
            noise += float(np.sum((exact - seen)[finite] ** 2))
        if not np.isfinite(noise):
            return -math.inf
        found.append(math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise))
    return min(found, default=math.inf)


def noise_of(snr_db: float) -> float:
    return float(10 ** (-snr_db / 10))


@dataclass
class Measurements:
    """The values measured so far, by name.

    Args:
        path: the file that every new value is saved to, so that an interrupted search can resume; None to save nothing.
        key: a digest of the model and the options. Saved values with another key are not used.
    """

    path: Path | None
    key: str
    values: dict[str, float]
    lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def opened(cls, proto: onnx.ModelProto, config: QuantizeOptions, context: PassContext) -> Measurements:
        assert config.budget is not None
        settings = config.model_dump_json(exclude={"budget"})
        key = sha256(proto.SerializeToString(deterministic=True) + settings.encode()).hexdigest()
        path = None if config.budget.table is None else context.folder / config.budget.table
        values: dict[str, float] = {}
        if path is not None and path.exists():
            try:
                if path.stat().st_size > LARGEST_TABLE:
                    raise ValueError("it is too large")
                held = json.loads(path.read_text())
                values = {str(k): float(v) for k, v in held["measured"].items()}
                values = values if held["model"] == key else {}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
                raise PassError(
                    f"quantize.budget.table: '{path}' exists, but holds no measurements of an earlier search",
                    hint="name another file, or remove it",
                ) from err
        return cls(path, key, values)

    def value(self, name: str, measure: Callable[[], float]) -> float:
        if name in self.values:
            return self.values[name]
        found = measure()
        with self.lock:
            self.values[name] = found
            if self.path is not None:
                write_all({self.path: json.dumps({"model": self.key, "measured": self.values}, indent=1).encode()})
        return found
