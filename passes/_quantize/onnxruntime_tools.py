"""onnxruntime's quantizers as functions of a model."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from graphc_passes._quantize.options import QuantizeOptions

from graphc.api import PassError


def weight_type(config: QuantizeOptions) -> Any:
    from onnxruntime.quantization import QuantType

    return {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int4": QuantType.QInt4}[config.weights]


def activation_type(config: QuantizeOptions) -> Any:
    from onnxruntime.quantization import QuantType

    return {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8, "int16": QuantType.QInt16}[config.activations]


@contextmanager
def quietly() -> Iterator[None]:
    """The quantizers' advice is not for graphc's users.

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


def called(proto: onnx.ModelProto, quantizer: Callable[..., None], **options: Any) -> onnx.ModelProto:
    """What a quantizer writes for a model."""
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder, quietly():
        target = Path(folder) / "quantized.onnx"
        quantizer(proto, target, **options)
        return onnx.load(target)


def with_ports_of(made: onnx.ModelProto, proto: onnx.ModelProto) -> onnx.ModelProto:
    """A quantized model with the ports of the model that it was made of; quantizers drop their types."""
    for kind in ("input", "output"):
        field = getattr(made.graph, kind)
        del field[:]
        field.extend(getattr(proto.graph, kind))
    return made
