"""Writes an encoder of 0.6 B parameters, a cache-aware FastConformer, with mobius-onnx: offline, and streaming by hand.

    python benchmarks/large/export_nemotron.py FOLDER [--layers 24]

Runs in an environment of its own, with ``pip install mobius-onnx==0.1.0``. The shape is that of NVIDIA's Nemotron
Speech Streaming 0.6 B: 24 layers, d 1024, 8 heads, kernel 9, 70 left frames, chunks of 0.56 s. The weights are those of
an untrained network, as PyTorch initializes them. Both graphs have the same ones.
"""

from __future__ import annotations

import argparse
import math
import zlib
from pathlib import Path

import numpy as np
import onnx_ir as ir
from mobius._builder import build_from_module
from mobius._configs import ArchitectureConfig
from mobius.models import EncDecRNNTModel

LEFT, RIGHT = 70, 6


def weight(name: str, shape: list[int]) -> np.ndarray:
    """Values as PyTorch initializes a layer; a norm has weight 1 and bias 0."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if "norm" in name:
        return np.full(shape, float(name.endswith("weight")), np.float32)
    inputs = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
    return rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(math.sqrt(inputs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layers", type=int, default=24)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    config = ArchitectureConfig(
        vocab_size=1025,
        hidden_size=1024,
        num_hidden_layers=args.layers,
        num_attention_heads=8,
        head_dim=128,
        num_key_value_heads=8,
        intermediate_size=4096,
        dtype=ir.DataType.FLOAT,
        fastconformer_feat_in=128,
        fastconformer_subsampling_conv_channels=256,
        fastconformer_conv_kernel_size=9,
        fastconformer_att_context_size=(LEFT, RIGHT),
        fastconformer_streaming_cache_size=LEFT,
        fastconformer_streaming_drop_extra=2,
        rnnt_pred_hidden=640,
        rnnt_pred_rnn_layers=2,
        rnnt_joint_hidden=640,
        rnnt_num_classes=1024,
    )
    package = build_from_module(EncDecRNNTModel(config), config, task="fastconformer-rnnt")
    for name in ("encoder", "encoder_streaming"):
        model = package[name]
        filled = [key for key, value in model.graph.initializers.items() if value.const_value is None]
        for key in filled:
            value = model.graph.initializers[key]
            value.const_value = ir.tensor(weight(key, [int(size) for size in value.shape]))
        ir.save(model, args.folder / f"{name}.onnx", external_data=f"{name}.data")
        for key in filled:
            model.graph.initializers[key].const_value = None


if __name__ == "__main__":
    main()
