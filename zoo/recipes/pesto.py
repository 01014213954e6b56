"""PESTO: pitch."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("pesto-pitch")


@package.network("pitch", "Resnet1d: each frame on its own", {"cqt": 0}, told=("--input", "cqt=0"))
def pitch() -> Network:
    import torch
    from pesto.model import Resnet1d

    net = Resnet1d(n_chan_input=1, n_chan_layers=[20, 20, 10, 1], n_bins_in=216, output_dim=128)
    return Network(net, {"cqt": torch.randn(20, 1, 216)})
