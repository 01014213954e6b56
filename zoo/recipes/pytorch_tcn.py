"""pytorch-tcn: temporal convolutional networks."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("pytorch-tcn")


@package.network("wake word", "TCN, causal", {"x": 2})
def tcn() -> Network:
    import torch
    from pytorch_tcn import TCN

    net = TCN(40, [64] * 4, kernel_size=3, causal=True, use_norm="weight_norm", input_shape="NCL")
    return Network(net, {"x": torch.randn(1, 40, 100)})


@package.network("wake word", "TCN, padded on both sides", {"x": 2})
def tcn_symmetric() -> Network:
    import torch
    from pytorch_tcn import TCN

    net = TCN(40, [64] * 4, kernel_size=3, causal=False, use_norm="batch_norm", input_shape="NCL")
    return Network(net, {"x": torch.randn(1, 40, 100)})
