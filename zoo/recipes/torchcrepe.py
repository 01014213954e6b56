"""torchcrepe: pitch."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("torchcrepe")


@package.network("pitch", "CREPE tiny: each frame on its own", {"frames": 0}, told=("--input", "frames=0"))
def pitch() -> Network:
    import torch
    from torchcrepe.model import Crepe

    return Network(Crepe("tiny"), {"frames": torch.randn(20, 1024)})
