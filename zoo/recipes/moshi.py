"""moshi: Mimi, its codec."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("moshi")
SEANET: dict[str, Any] = {
    "channels": 1,
    "dimension": 64,
    "causal": True,
    "n_filters": 8,
    "n_residual_layers": 1,
    "activation": "ELU",
    "compress": 2,
    "dilation_base": 2,
    "disable_norm_outer_blocks": 0,
    "kernel_size": 7,
    "residual_kernel_size": 3,
    "last_kernel_size": 3,
    "norm": "none",
    "pad_mode": "constant",
    "ratios": [8, 6, 5, 4],
    "true_skip": True,
}


@package.network("codec", "Mimi encoder", {"wav": 2})
def encoder() -> Network:
    import torch
    from moshi.modules import SEANetEncoder

    return Network(SEANetEncoder(**SEANET), {"wav": torch.randn(1, 1, 9600)})


@package.network("codec", "Mimi decoder", {"z": 2})
def decoder() -> Network:
    import torch
    from moshi.modules import SEANetDecoder

    return Network(SEANetDecoder(**SEANET), {"z": torch.randn(1, 64, 20)})


@package.network("codec", "Mimi transformer: 25 frames of context", {"z": 2})
def transformer() -> Network:
    import torch
    from moshi.modules.transformer import ProjectedTransformer

    net = ProjectedTransformer(
        d_model=64,
        num_heads=4,
        num_layers=2,
        causal=True,
        layer_scale=0.01,
        context=25,
        conv_layout=True,
        max_period=10000,
        gating="none",
        norm="layer_norm",
        positional_embedding="rope",
        dim_feedforward=128,
        input_dimension=64,
        output_dimensions=[64],
    )
    return Network(net, {"z": torch.randn(1, 64, 50)}, lambda net, z: net(z)[0])
