"""BigVGAN: a vocoder whose activations are resampled."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("bigvgan")


@package.network("vocoder", "BigVGAN: snakebeta with filters for up- and downsampling", {"mel": 2}, ("dynamo",))
def generator() -> Network:
    import torch
    from bigvgan.bigvgan import BigVGAN
    from bigvgan.env import AttrDict

    config = AttrDict(
        resblock="1",
        num_mels=80,
        upsample_rates=[4, 4, 2, 2],
        upsample_kernel_sizes=[8, 8, 4, 4],
        upsample_initial_channel=64,
        resblock_kernel_sizes=[3, 7],
        resblock_dilation_sizes=[[1, 3, 5]] * 2,
        activation="snakebeta",
        snake_logscale=True,
        use_tanh_at_final=True,
        use_bias_at_final=True,
    )
    return Network(BigVGAN(config, use_cuda_kernel=False), {"mel": torch.randn(1, 80, 30)})
