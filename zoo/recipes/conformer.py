"""conformer: the Conformer block on its own."""

from __future__ import annotations

from zoo.recipe import Network, Package

package = Package("conformer")


@package.network(
    "recogniser",
    "Conformer: attention over all frames",
    {"x": 1},
    passes={"lift_state": {"attention": {"left": 64, "right": 0}}},
)
def conformer() -> Network:
    import torch
    from conformer import Conformer

    net = Conformer(dim=128, depth=2, dim_head=32, heads=4, ff_mult=2, conv_kernel_size=15)
    return Network(net, {"x": torch.randn(1, 64, 128)})


@package.network("recogniser", "ConformerConvModule, causal", {"x": 1})
def conv_module() -> Network:
    import torch
    from conformer.conformer import ConformerConvModule

    return Network(ConformerConvModule(128, causal=True, kernel_size=15), {"x": torch.randn(1, 64, 128)})
