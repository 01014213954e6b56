"""LiteRT (TensorFlow Lite): https://ai.google.dev/edge/litert. ``graphc.emit.tflite`` writes the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from graphc.emit.tflite.convert import FlatFile, rules_of_ops, to_tflite
from graphc.targets.target import Converted, QuantizingOptions, StreamingModel, Target, TargetOptions
from graphc_runtime.errors import InstallError, TargetError
from graphc_runtime.native.ports import Array, NativePort, Runner
from graphc_runtime.native.quiet_libraries import silent
from graphc_runtime.native.runtimes.litert import open_runner

PRODUCTS = ("FULLY_CONNECTED", "BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D_TRANSPOSE")
PORTS = ("INPUT", "OUTPUT")
Precision = Literal["dynamic_int8", "dynamic_int4", "weight_only_int8", "static_int8"]
RECIPES = {
    "dynamic_int8": "dynamic_wi8_afp32",
    "dynamic_int4": "dynamic_wi4_afp32",
    "weight_only_int8": "weight_only_wi8_afp32",
    "static_int8": "static_wi8_ai8",
}
SIGNATURE = "serving_default"


class LiteRtOptions(QuantizingOptions):
    """``quantize``: weights in eight or four bits; the products in integers (dynamic, static) or in float."""

    quantize: Precision | None = None


class LiteRt(Target):
    name: ClassVar[str] = "litert"
    summary: ClassVar[str] = "Google's LiteRT (TensorFlow Lite): Android, iOS, boards"
    package: ClassVar[str] = "ai-edge-litert"
    module: ClassVar[str] = "ai_edge_litert"
    extra: ClassVar[str] = "litert"
    license: ClassVar[str] = "Apache-2.0"
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)
    Options: ClassVar[type[TargetOptions]] = LiteRtOptions

    def ops(self) -> list[str]:
        return rules_of_ops()

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        flat = to_tflite(model.proto, model.states)
        content = flat.content
        if options.quantize is not None:
            content = quantized(flat, options.quantize, model.calibration)
        return Converted({".tflite": content}, native_ports(model, flat))

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return open_runner(path, inputs, outputs, threads)


def native_ports(model: StreamingModel, flat: FlatFile) -> dict[str, NativePort]:
    """The ports under their own names. A port that a convolution reads may have its channels last."""
    found = {}
    for port in model.ports:
        order = flat.orders[port.name]
        moved = None if order == tuple(range(len(order))) else order
        shape = tuple(port.shape[axis] for axis in order)
        index = flat.inputs.get(port.name, flat.outputs.get(port.name))
        found[port.name] = NativePort(port.name, index, str(port.dtype), shape, moved)
    return found


def quantized(flat: FlatFile, precision: Precision, calls: Callable[[], Iterator[Mapping[str, Array]]]) -> bytes:
    """Quantizes the model with ai-edge-quantizer: https://github.com/google-ai-edge/ai-edge-quantizer.

    Errors:
        InstallError: the quantizer is not installed.
        TargetError: the quantizer does not support the model.
    """
    try:
        with silent():
            from ai_edge_quantizer import quantizer, recipe
    except ImportError as err:
        raise InstallError("ai-edge-quantizer is not installed", hint="pip install 'graphc[litert]'") from err
    try:
        with silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = quantizer.Quantizer(bytearray(flat.content))
            made.load_quantization_recipe(getattr(recipe, RECIPES[precision])())
            kept = [op for op in recipe.TFLOperationName if stays_float(op.name, precision)]
            for op in kept:
                made.update_quantization_recipe(".*", op, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE)
            calibration = None
            if made.need_calibration:
                some = [stored(flat, feeds) for feeds in calls()]
                calibration = made.calibrate({SIGNATURE: some})
            return bytes(made.quantize(calibration).quantized_model)
    except (RuntimeError, ValueError, KeyError) as err:
        other = "set quantize: dynamic_int8" if precision == "static_int8" else "set another quantize"
        raise TargetError(
            f"ai-edge-quantizer cannot quantize the model by {precision}: {str(err).strip()[:300]}",
            hint=f"{other} under the target litert, or leave quantize out",
        ) from err


def stays_float(op: str, precision: Precision) -> bool:
    """Whether an op, by the quantizer's name, is left as it is.

    Static scales make only products faster. Integers in other ops cost more than they save, masks of minus infinity
    have no scale, and LiteRT aborts on some sums of integers.
    """
    static = precision == "static_int8" and op not in (*PRODUCTS, "ALL_SUPPORTED")
    return static or op in PORTS


def stored(flat: FlatFile, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs of a call in the model's own layout.

    onnxruntime gives 64-bit integers of C's type ``long long``, where LiteRT takes only those of type ``long``.
    """
    given = {name: np.transpose(feeds[name], flat.orders[name]) for name in flat.inputs}
    return {name: np.ascontiguousarray(value.astype(value.dtype.name)) for name, value in given.items()}


TARGET = LiteRt()
