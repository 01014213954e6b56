"""asteroid: separation and enhancement of speech."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("asteroid")
BLOCKS = {"n_blocks": 4, "n_repeats": 2, "bn_chan": 64, "hid_chan": 128, "skip_chan": 64}
CAUSAL = {"norm_type": "cLN", "causal": True}


@package.network("separation", "ConvTasNet, causal, cumulative layer norm", {"wav": 2})
def conv_tasnet() -> Network:
    import torch
    from asteroid.models import ConvTasNet

    return Network(ConvTasNet(n_src=2, n_filters=128, **BLOCKS, **CAUSAL), {"wav": torch.randn(1, 1, 4000)})


@package.network(
    "separation",
    "ConvTasNet, global layer norm over the utterance",
    {"wav": 2},
    ("torchscript",),
    instead="`norm_type='cLN', causal=True`",
)
def conv_tasnet_global() -> Network:
    import torch
    from asteroid.models import ConvTasNet

    return Network(ConvTasNet(n_src=2, n_filters=128, **BLOCKS), {"wav": torch.randn(1, 1, 4000)})


@package.network("separation", "TDConvNet masker, causal", {"x": 2})
def masker() -> Network:
    import torch
    from asteroid.masknn import TDConvNet

    return Network(TDConvNet(64, 1, **BLOCKS, **CAUSAL), {"x": torch.randn(1, 64, 100)})
