"""The values of a model's inputs, by name."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
Feeds = dict[str, Array]
