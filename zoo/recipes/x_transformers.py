"""x-transformers: transformers with every attention there is."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("x-transformers")


def decoder(**options: Any) -> Network:
    import torch
    from x_transformers import ContinuousTransformerWrapper, Decoder

    layers = Decoder(dim=128, depth=2, heads=4, attn_dim_head=32, **options)
    net = ContinuousTransformerWrapper(dim_in=80, dim_out=40, max_seq_len=0, attn_layers=layers)
    return Network(net, {"x": torch.randn(1, 64, 80)})


@package.network(
    "sequence model",
    "Decoder: rotary positions, all the past",
    {"x": 1},
    passes={"lift_state": {"attention": {"max_frames": 400}}},
)
def rotary() -> Network:
    return decoder(rotary_pos_emb=True)
