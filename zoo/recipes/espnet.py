"""espnet: encoders of recognisers, separators."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("espnet")
ONE_STREAM = "the padding mask was replaced by one that masks nothing, because a single stream has no padding"


def unpadded(module: Any) -> Any:
    """A call of an encoder whose module makes its padding mask by ``make_pad_mask``."""

    def call(net: Any, x: Any) -> Any:
        import torch

        module.make_pad_mask = lambda *_, **__: x[:, :, 0] != x[:, :, 0]
        return net(x, torch.tensor([200]))[0]

    return call


@package.network(
    "recogniser",
    "Conformer: attention over all frames",
    {"x": 1},
    ("torchscript",),
    changed=ONE_STREAM,
    passes={"lift_state": {"attention": {"left": 64, "right": 0}}},
)
def conformer() -> Network:
    import torch
    from espnet2.asr.encoder import conformer_encoder

    relative = {"rel_pos_type": "latest", "pos_enc_layer_type": "rel_pos", "selfattention_layer_type": "rel_selfattn"}
    net = conformer_encoder.ConformerEncoder(80, 128, 4, 256, 2, input_layer="conv2d", **relative)
    return Network(net, {"x": torch.randn(1, 200, 80)}, unpadded(conformer_encoder))


@package.network("separation", "TCNSeparator, causal", {"x": 1})
def separator() -> Network:
    import torch
    from espnet2.enh.layers.tcn import TemporalConvNet

    net = TemporalConvNet(65, 64, 128, 3, 4, 2, 1, causal=True, norm_type="cLN")
    return Network(net, {"x": torch.randn(1, 60, 65)}, lambda net, x: net(x.transpose(1, 2)))
