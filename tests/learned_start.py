"""A small model with a first value that was learned."""

from __future__ import annotations

import numpy as np
import onnx
from conftest import small_model


def learned_start() -> onnx.ModelProto:
    model = small_model()
    start = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(1, 1, 4), "start")
    model.graph.initializer.append(start)
    model.graph.node[2].input.extend(["", "start", "start"])
    return model
