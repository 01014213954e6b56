"""The size of a model in bytes."""

from __future__ import annotations

import onnx

from graphc.ir.weights.weight_files import kept_bytes

PROTO_LIMIT = 2**31 - 2**20


def size_of(model: onnx.ModelProto) -> int:
    """The bytes of a model with its weights."""
    return held_size(model) + kept_bytes(model.graph.initializer)


def weight_bytes(model: onnx.ModelProto) -> int:
    """The bytes of a model's weights, which are nearly all of a large model. Counting the rest takes much longer."""
    return held_weights(model) + kept_bytes(model.graph.initializer)


def held_weights(model: onnx.ModelProto) -> int:
    """The bytes of the weights in the model itself."""
    return sum(len(t.raw_data) for t in model.graph.initializer)


def held_size(model: onnx.ModelProto) -> int:
    """The bytes of a model without weights in files. protobuf cannot measure more than two gigabytes itself."""
    weights = held_weights(model)
    return weights if weights >= PROTO_LIMIT else int(model.ByteSize())
