"""FunASR: voice activity by FSMN, recognisers by SANM."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("funasr")


@package.network("voice activity", "FSMN", {"x": 1})
def fsmn() -> Network:
    import torch
    from funasr.models.fsmn_vad_streaming.encoder import FSMN

    net = FSMN(400, 140, 4, 250, 128, 20, 0, 1, 0, 140, 248)
    return Network(net, {"x": torch.randn(1, 60, 400)}, lambda net, x: net(x, {}))


@package.network("voice activity", "FSMN with lookahead", {"x": 1})
def fsmn_lookahead() -> Network:
    import torch
    from funasr.models.fsmn_vad_streaming.encoder import FSMN

    net = FSMN(400, 140, 4, 250, 128, 10, 2, 1, 1, 140, 248)
    return Network(net, {"x": torch.randn(1, 60, 400)}, lambda net, x: net(x, {}))


@package.network(
    "recogniser",
    "SANMEncoder (Paraformer, SenseVoice): attention over all frames",
    {"x": 1},
    changed="the padding mask was replaced by one that masks nothing, because a single stream has no padding",
    passes={"lift_state": {"attention": {"left": 40, "right": 8}}},
)
def sanm() -> Network:
    import torch
    from funasr.models.sanm import encoder

    def call(net: Any, x: Any) -> Any:
        encoder.make_pad_mask = lambda *_, **__: x[:, :, 0] != x[:, :, 0]
        return net(x, torch.tensor([60]))[0]

    net = encoder.SANMEncoder(560, 128, 4, 256, 3, input_layer="pe", kernel_size=11, sanm_shfit=0)
    return Network(net, {"x": torch.randn(1, 60, 560)}, call)
