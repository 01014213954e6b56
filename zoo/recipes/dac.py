"""DAC: a neural codec."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("descript-audio-codec")


def codec() -> Any:
    from dac.model.dac import DAC

    return DAC(
        encoder_dim=8,
        encoder_rates=[2, 4, 8, 8],
        latent_dim=64,
        decoder_dim=128,
        decoder_rates=[8, 8, 4, 2],
        n_codebooks=4,
        codebook_size=64,
        codebook_dim=8,
        sample_rate=16000,
    )


@package.network("codec", "DAC encoder", {"wav": 2})
def encoder() -> Network:
    import torch

    return Network(codec(), {"wav": torch.randn(1, 1, 5120)}, lambda net, wav: net.encoder(wav))


@package.network("codec", "DAC encoder with its quantizer: codes", {"wav": 2})
def codes() -> Network:
    import torch

    return Network(codec(), {"wav": torch.randn(1, 1, 5120)}, lambda net, wav: net.encode(wav)[1])


@package.network("codec", "DAC decoder", {"z": 2})
def decoder() -> Network:
    import torch

    return Network(codec(), {"z": torch.randn(1, 64, 20)}, lambda net, z: net.decoder(z))
