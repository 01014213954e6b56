"""The LiteRT file: tensors, buffers and operators of its schema (tensorflow/lite/schema/schema.fbs)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
TYPES = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "float64": "FLOAT64",
    "int64": "INT64",
    "int32": "INT32",
    "int16": "INT16",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
}
OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CONCATENATION": "ConcatenationOptions",
    "SPLIT": "SplitOptions",
    "SOFTMAX": "SoftmaxOptions",
    "GATHER": "GatherOptions",
    "CAST": "CastOptions",
    "CUMSUM": "CumsumOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "GELU": "GeluOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "MIRROR_PAD": "MirrorPadOptions",
    "ARG_MAX": "ArgMaxOptions",
    "ARG_MIN": "ArgMinOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
}
LAST_OF_ONE_BYTE = 127
FIRST_VERSIONS = {"BROADCAST_TO": 2}


class FlatModel:
    """A model with one subgraph. Each call adds a tensor or an operator."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.buffers = [schema.BufferT()]
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: dict[str, int] = {}

    def tensor(self, name: str, shape: Sequence[int], dtype: np.dtype[Any], content: Array | None = None) -> int:
        """Adds a tensor. Returns its index."""
        buffer = 0
        if content is not None:
            data = np.frombuffer(np.ascontiguousarray(content).tobytes(), np.uint8)
            self.buffers.append(self.schema.BufferT(data=data))
            buffer = len(self.buffers) - 1
        kind = getattr(self.schema.TensorType, TYPES[str(dtype)])
        self.tensors.append(self.schema.TensorT(shape=list(shape), type=kind, buffer=buffer, name=name, hasRank=True))
        return len(self.tensors) - 1

    def operator(self, op: str, inputs: Sequence[int], outputs: Sequence[int], options: Mapping[str, Any]) -> None:
        """Adds an operator. ``inputs`` are indices of tensors, -1 for an absent one."""
        code = self.codes.setdefault(op, len(self.codes))
        made = self.schema.OperatorT(opcodeIndex=code, inputs=list(inputs), outputs=list(outputs))
        if op in OPTIONS:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, OPTIONS[op])
            made.builtinOptions = getattr(self.schema, f"{OPTIONS[op]}T")(**options)
        self.operators.append(made)

    def packed(self, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> bytes:
        """The file. Its only signature lists the ports by name. Operators that reach no output are left out."""
        import flatbuffers

        schema = self.schema
        self.drop_unused(set(outputs.values()))
        mapped = [
            [schema.TensorMapT(name=name, tensorIndex=index) for name, index in ports.items()]
            for ports in (inputs, outputs)
        ]
        graph = schema.SubGraphT(
            tensors=self.tensors,
            inputs=list(inputs.values()),
            outputs=list(outputs.values()),
            operators=self.operators,
            name="main",
        )
        model = schema.ModelT(
            version=3,
            operatorCodes=[self.code(op) for op in self.codes],
            subgraphs=[graph],
            buffers=self.buffers,
            signatureDefs=[
                schema.SignatureDefT(
                    inputs=mapped[0], outputs=mapped[1], signatureKey="serving_default", subgraphIndex=0
                )
            ],
        )
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def drop_unused(self, wanted: set[int]) -> None:
        kept = []
        for operator in reversed(self.operators):
            if wanted & set(operator.outputs):
                kept.append(operator)
                wanted |= set(operator.inputs)
        self.operators = kept[::-1]

    def code(self, op: str) -> Any:
        number = getattr(self.schema.BuiltinOperator, op)
        return self.schema.OperatorCodeT(
            builtinCode=number,
            deprecatedBuiltinCode=min(number, LAST_OF_ONE_BYTE),
            version=FIRST_VERSIONS.get(op, 1),
        )
