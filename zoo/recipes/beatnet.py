"""BeatNet: beats, downbeats and meter."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("BeatNet")


@package.network("music", "BDA: a convolution and two LSTMs, full size", {"x": 1})
def beats() -> Network:
    import torch
    from BeatNet.model import BDA

    def from_the_start(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        net.hidden, net.cell = torch.zeros(2, 1, 150), torch.zeros(2, 1, 150)
        y: torch.Tensor = net(x)
        return y

    return Network(BDA(272, 150, 2, "cpu"), {"x": torch.randn(1, 60, 272)}, from_the_start)
