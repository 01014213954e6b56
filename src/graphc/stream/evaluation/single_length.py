"""Finds the node that limits a model with a symbolic time axis to one length."""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Constant, Node, is_sparse, label
from graphc.offline.reference import Offline
from graphc.stream.evaluation.record import Evaluation
from graphc_runtime.errors import RunError, StreamError

LARGEST_READ = 4096


def one_length_only(offline: Offline, evaluation: Evaluation) -> StreamError | None:
    """The error for a model that runs at only one length; None if it runs at others, or if it declares one length."""
    if len(evaluation.lengths) > 1 or offline.declared is not None:
        return None
    (only,) = evaluation.lengths
    try:
        offline.run(offline.draw(only + 1, np.random.default_rng(0)))
    except (RunError, ValueError) as err:
        holder = next((n for n in evaluation.graph.nodes if holds(n, only)), None)
        return StreamError(
            f"the model runs only at {only} frames"
            + (", a size that this node fixes" if holder is not None else "")
            + f"; at {only + 1} frames: {err}",
            node=label(holder) if holder is not None else None,
            hint=rates_or_sizes(offline, only),
        )
    return None


def rates_or_sizes(offline: Offline, only: int) -> str:
    """The hint of ``one_length_only``: correct rates in the spec, or export sizes that depend on the input's length."""
    rates = {name: role.rate for name, role in offline.streams().items() if role.rate != 1}
    if not rates:
        return f"export it again so that sizes depend on its input, or set stream.window: {only}"
    told = ", ".join(f"{name}: {rate}" for name, rate in rates.items())
    return f"correct the rate in stream.inputs ({told}); if it is right, export again so that sizes depend on the input"


def holds(node: Node, number: int) -> bool:
    """Whether a node reads an integer constant that has ``number`` among its values or in its shape."""
    for tensor in node.inputs:
        if not isinstance(tensor, Constant) or is_sparse(tensor) or np.dtype(tensor.dtype).kind not in "iu":
            continue
        if number in tensor.shape or (np.prod(tensor.shape) <= LARGEST_READ and (tensor.values == number).any()):
            return True
    return False
