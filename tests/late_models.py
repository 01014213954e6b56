"""Models that do something else from a late length on."""

from __future__ import annotations

import numpy as np
import onnx
from lifting import model_of, weights

HEAD = "h = Shape (x) t = Gather (h, two)"
NUMBERS = {
    "two": np.array(2),
    "zero": np.array(0),
    "one": np.array(1),
    "front": np.array([0]),
    "time": np.array([2]),
    "small": np.float32(0.01),
    "endless": np.array([2**62]),
    "half": np.array(350),
    "wide": np.array([1, 2, 700]),
    "low": np.float32(0.0),
    "shift": np.array(9, np.uint64),
}


def late_model(body: str, late: int = 700) -> onnx.ModelProto:
    return weights(model_of(f"{HEAD} {body}"), late=np.array(late), **NUMBERS)
