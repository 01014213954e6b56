"""SNAC: a neural codec with several rates."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("snac")


def codec(window: int | None = None) -> Any:
    from snac import SNAC

    return SNAC(
        sampling_rate=24000,
        encoder_dim=8,
        encoder_rates=[2, 4, 8, 8],
        latent_dim=None,
        decoder_dim=128,
        decoder_rates=[8, 8, 4, 2],
        attn_window_size=window,
        codebook_size=64,
        codebook_dim=8,
        vq_strides=[4, 2, 1],
        noise=False,
        depthwise=True,
    )


@package.network("codec", "SNAC encoder", {"wav": 2})
def encoder() -> Network:
    import torch

    return Network(codec(), {"wav": torch.randn(1, 1, 8192)}, lambda net, wav: net.encoder(wav))


@package.network(
    "codec",
    "SNAC encoder with attention in windows of 8",
    {"wav": 2},
    ("torchscript",),
    instead="the model without attention (`attn_window_size=None`)",
)
def encoder_with_attention() -> Network:
    import torch

    return Network(codec(8), {"wav": torch.randn(1, 1, 8192)}, lambda net, wav: net.encoder(wav))


@package.network("codec", "SNAC decoder", {"z": 2})
def decoder() -> Network:
    import torch

    return Network(codec(), {"z": torch.randn(1, 128, 16)}, lambda net, z: net.decoder(z))
