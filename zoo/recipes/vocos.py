"""Vocos: a vocoder without upsampling; its inverse STFT stays outside."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("vocos")


@package.network("vocoder", "Vocos backbone (ConvNeXt)", {"mel": 2})
def backbone() -> Network:
    import torch
    from vocos.models import VocosBackbone

    return Network(VocosBackbone(80, 128, 256, 4), {"mel": torch.randn(1, 80, 50)})


@package.network("vocoder", "Vocos backbone (ResNet)", {"mel": 2})
def resnet_backbone() -> Network:
    import torch
    from vocos.models import VocosResNetBackbone

    return Network(VocosResNetBackbone(80, 64, 2), {"mel": torch.randn(1, 80, 50)})
