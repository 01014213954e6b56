"""Ops whose result is known before the model runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.value import Value, known


@rule("Shape")
def shape(e: Emitter, node: Node) -> Sequence[Value]:
    sizes = node.value(0).shape[node.attributes.get("start", 0) : node.attributes.get("end")]
    return [known(np.array(sizes, np.int64))]


@rule("Size")
def size(e: Emitter, node: Node) -> Sequence[Value]:
    return [known(np.array(np.prod(node.value(0).shape), np.int64))]


@rule("Trilu")
def trilu(e: Emitter, node: Node) -> Sequence[Value]:
    x, diagonal = node.value(0), node.array(1, "diagonal")
    offset = 0 if diagonal is None else int(diagonal.reshape(-1)[0])
    ones = np.ones(x.shape[-2:], bool)
    kept = np.triu(ones, offset) if node.attributes.get("upper", 1) else np.tril(ones, offset)
    return [e.elementwise("SELECT_V2", [known(kept), x, e.number(0, x)])]
