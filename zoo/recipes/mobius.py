"""mobius-onnx: graphs written without an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.recipe import Package

package = Package("mobius-onnx")
CACHE = 6


def write(part: str, path: Path, **options: Any) -> None:
    """A part of its FastConformer transducer with random weights."""
    import numpy as np
    import onnx
    import onnx_ir as ir
    from mobius._builder import build_from_module
    from mobius._configs import ArchitectureConfig
    from mobius.models import EncDecRNNTModel

    small = {
        "vocab_size": 33,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 8,
        "num_key_value_heads": 4,
        "intermediate_size": 64,
        "dtype": ir.DataType.FLOAT,
        "fastconformer_feat_in": 32,
        "fastconformer_subsampling_conv_channels": 8,
        "fastconformer_conv_kernel_size": 9,
        "fastconformer_att_context_size": (CACHE, 1),
        "fastconformer_streaming_cache_size": CACHE,
        "fastconformer_streaming_drop_extra": 2,
        "rnnt_pred_hidden": 48,
        "rnnt_pred_rnn_layers": 2,
        "rnnt_joint_hidden": 48,
        "rnnt_num_classes": 32,
    }
    config = ArchitectureConfig(**(small | options))
    model = build_from_module(EncDecRNNTModel(config), config, task="fastconformer-rnnt")[part]
    rng = np.random.default_rng(0)
    for value in model.graph.initializers.values():
        if value.const_value is None:
            shape = [size if isinstance(size, int) else 1 for size in value.shape]
            scale = 0.3 if len(shape) > 1 else 0.1
            value.const_value = ir.tensor(rng.standard_normal(shape).astype(np.float32) * np.float32(scale))
    onnx.save(ir.serde.serialize_model(model), path)


@package.network("recogniser", "FastConformer: 6 to the left, 1 to the right", {"audio_signal": 1}, ("mobius",))
def fastconformer(path: Path) -> None:
    write("encoder", path)


@package.network("recogniser", "FastConformer: 70 to the left, 13 to the right", {"audio_signal": 1}, ("mobius",))
def fastconformer_wide(path: Path) -> None:
    write("encoder", path, fastconformer_att_context_size=(70, 13))


@package.network("recogniser", "RNN-T predictor with its own states", {"targets": 1}, ("mobius",))
def predictor(path: Path) -> None:
    write("decoder", path)
