"""parallel-wavegan: vocoders, among them causal ones."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("parallel-wavegan")


def generator(name: str, **options: Any) -> Any:
    """A generator of the package, which looks for a window of scipy where it no longer is."""
    import scipy.signal

    scipy.signal.kaiser = scipy.signal.windows.kaiser
    import parallel_wavegan.models

    return getattr(parallel_wavegan.models, name)(in_channels=80, channels=64, **options)


@package.network("vocoder", "HiFi-GAN, causal", {"mel": 2})
def hifigan() -> Network:
    import torch

    net = generator(
        "HiFiGANGenerator",
        upsample_scales=(4, 4, 2, 2),
        upsample_kernel_sizes=(8, 8, 4, 4),
        resblock_kernel_sizes=(3, 7),
        resblock_dilations=[(1, 3, 5)] * 2,
        use_causal_conv=True,
    )
    return Network(net, {"mel": torch.randn(1, 80, 30)})


@package.network("vocoder", "MelGAN, causal", {"mel": 2})
def melgan() -> Network:
    import torch

    causal = {"pad": "ConstantPad1d", "pad_params": {"value": 0.0}, "use_causal_conv": True}
    net = generator("MelGANGenerator", out_channels=1, upsample_scales=[4, 4, 2], stacks=2, **causal)
    return Network(net, {"mel": torch.randn(1, 80, 30)})


@package.network("vocoder", "MelGAN, padded by reflection", {"mel": 2})
def melgan_reflected() -> Network:
    import torch

    net = generator("MelGANGenerator", out_channels=1, upsample_scales=[4, 4, 2], stacks=2)
    return Network(net, {"mel": torch.randn(1, 80, 30)})
