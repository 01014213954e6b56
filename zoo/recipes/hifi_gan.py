"""HiFi-GAN: a vocoder."""

from __future__ import annotations

from types import SimpleNamespace

from zoo.recipe import Network, Package

package = Package("hifi-gan")


@package.network("vocoder", "HiFi-GAN generator", {"mel": 2})
def generator() -> Network:
    import torch
    from hifi_gan.models import Generator

    config = SimpleNamespace(
        resblock="1",
        upsample_rates=[8, 8, 2, 2],
        upsample_kernel_sizes=[16, 16, 4, 4],
        upsample_initial_channel=64,
        resblock_kernel_sizes=[3, 7, 11],
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
    )
    return Network(Generator(config), {"mel": torch.randn(1, 80, 30)})
