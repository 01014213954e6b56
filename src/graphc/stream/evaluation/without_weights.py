"""Removes large weights from a model, for runs that need only sizes and time-only values."""

from __future__ import annotations

import math
from collections.abc import Set

import numpy as np
import onnx
from onnx import helper

from graphc.ir.graph import Constant, Graph, reads
from graphc.ir.import_export import FLOATS
from graphc.ir.weights.made_weights import MadeWeights

SMALLEST = 2**14


def hollow(model: onnx.ModelProto, graph: Graph, carried: Set[str], made: MadeWeights) -> None:
    """Replaces large weights that are read only to compute data tensors by zeros, which the model creates when it runs.

    Args:
        model: the model of ``graph``, which is changed in place.
        carried: the names of all data tensors.
        made: the weights that nodes compute from other weights; these nodes are not in the model.
    """
    kept = {t.name for t in graph.outputs}
    inner = {id(n) for n in made.nodes}
    for node in graph.nodes:
        if id(node) not in inner and not any(t.name in carried for t in node.outputs):
            kept |= {t.name for t in reads(node) if isinstance(t, Constant) or t.name in made.values}
    weights = list(model.graph.initializer)
    large = [w for w in weights if w.name not in kept and w.data_type in FLOATS and math.prod(w.dims) >= SMALLEST]
    names = {w.name for w in large}
    del model.graph.initializer[:]
    model.graph.initializer.extend(w for w in weights if w.name not in names)
    for number, weight in enumerate(large):
        size, dtype = f"{weight.name}//size{number}", helper.tensor_dtype_to_np_dtype(weight.data_type)
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(weight.dims, np.int64), size))
        zero = onnx.numpy_helper.from_array(np.zeros(1, dtype))
        model.graph.node.insert(number, helper.make_node("ConstantOfShape", [size], [weight.name], value=zero))
