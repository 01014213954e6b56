"""onnxruntime's quantizers as functions of a model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import onnx
from graphc_passes._quantize.options import QuantizeOptions

from graphc.api import PassError, loaded, opset_of


def weight_type(config: QuantizeOptions) -> Any:
    from onnxruntime.quantization import QuantType

    return {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int4": QuantType.QInt4}[config.weights]


def activation_type(config: QuantizeOptions) -> Any:
    from onnxruntime.quantization import QuantType

    return {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int16": QuantType.QInt16}[config.activations]


@contextmanager
def quietly() -> Iterator[None]:
    """Hides the advice of the quantizers, which is not meant for graphc's users.

    Errors:
        PassError: a quantizer fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        except Exception as err:
            raise PassError(f"onnxruntime's quantizer failed: {type(err).__name__}: {err}") from err
        finally:
            logging.disable(logging.NOTSET)


def opset_at_least(proto: onnx.ModelProto, oldest: int, what: str, way_out: str) -> None:
    """Refuses a model with an opset older than ``oldest``.

    Errors:
        PassError: names ``what``, the option that needs the later opset.
    """
    opset = opset_of(proto)
    if opset < oldest:
        raise PassError(f"quantize: {what} needs opset {oldest}, but the model has opset {opset}", hint=way_out)


def with_values(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of the model with all weights embedded, as the quantizers expect. The quantizers may change the copy."""
    whole = loaded(proto)
    if whole is not proto:
        return whole
    given = onnx.ModelProto()
    given.CopyFrom(proto)
    return given


def with_ports_of(made: onnx.ModelProto, proto: onnx.ModelProto) -> onnx.ModelProto:
    """The quantized model ``made`` with the ports of its source model, because quantizers lose the types of ports."""
    for kind in ("input", "output"):
        field = getattr(made.graph, kind)
        del field[:]
        field.extend(getattr(proto.graph, kind))
    return made
