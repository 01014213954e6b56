"""Random inputs for models that do not stream."""

from __future__ import annotations

import numpy as np
import onnx

from graphc.ir.ort_session import Session
from graphc.offline.feeds import Feeds
from graphc.offline.random_values import random_values
from graphc.offline.reference import Offline
from graphc.spec.input_roles import graph_ports
from graphc_runtime.errors import ModelError, RunError


def whole_feeds(source: onnx.ModelProto, offline: Offline | None, count: int, seed: int) -> list[Feeds]:
    """Random inputs for a model that does not stream. With ``offline``, at lengths that it accepts.

    Errors:
        ModelError: the model runs at none of the sizes tried.
    """
    rng = np.random.default_rng(seed)
    if offline is not None:
        lengths = offline.some_lengths()
        return [offline.draw(lengths[i % len(lengths)], rng) for i in range(count)]
    ports, _ = graph_ports(source)
    session = Session(source)
    reason = "no size was tried"
    for size in (2, 1, 3, 4, 8, 16, 32, 64, 100, 128):
        feeds = []
        for _ in range(count):
            feed = {}
            for port in ports:
                shape = [d if isinstance(d, int) else size for d in port.dims]
                dtype = onnx.helper.tensor_dtype_to_np_dtype(port.elem_type)
                feed[port.name] = random_values(rng, shape, dtype, None, None, None, 1.0)
            feeds.append(feed)
        try:
            session.run(feeds[0])
        except RunError as err:
            reason = str(err)
            continue
        return feeds
    raise ModelError(f"the model runs on none of the random inputs tried: {reason}")
