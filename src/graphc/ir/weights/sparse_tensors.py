"""Converts sparse constants to dense ones, as onnxruntime does when it loads a model."""

from __future__ import annotations

import math

import numpy as np
import onnx

from graphc.ir.subgraphs import graphs_in
from graphc_runtime.errors import ModelError

LARGEST = 2**28  # bytes


def write_out_sparse(graph: onnx.GraphProto) -> None:
    """Makes the sparse initializers and Constant nodes of a graph dense, except very large ones.

    Errors:
        ModelError: a sparse tensor has an index outside its shape.
    """
    for inner in graphs_in(graph):
        kept = []
        for sparse in inner.sparse_initializer:
            if is_small(sparse):
                inner.initializer.append(dense(sparse, sparse.values.name))
            else:
                kept.append(sparse)
        del inner.sparse_initializer[:]
        inner.sparse_initializer.extend(kept)
        for node in inner.node:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "sparse_value" and is_small(attribute.sparse_tensor):
                    value = dense(attribute.sparse_tensor, "")
                    attribute.CopyFrom(onnx.helper.make_attribute("value", value))


def is_small(sparse: onnx.SparseTensorProto) -> bool:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(sparse.values.data_type)
    size: int = math.prod(sparse.dims) * dtype.itemsize
    return size <= LARGEST


def dense(sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    """The dense tensor, with zeros where no value is stored.

    The stored indices are flat, or have one number for each axis (onnx.proto, SparseTensorProto).
    """
    values, places = onnx.numpy_helper.to_array(sparse.values), onnx.numpy_helper.to_array(sparse.indices)
    shape = tuple(sparse.dims)
    made = np.zeros(math.prod(shape), values.dtype)
    try:
        flat = np.ravel_multi_index(tuple(places.T), shape) if places.ndim == 2 else places
        made[flat] = values
    except (ValueError, IndexError) as err:
        raise ModelError(f"the sparse constant '{sparse.values.name}' is not valid: {err}") from err
    return onnx.numpy_helper.from_array(made.reshape(shape), name)
