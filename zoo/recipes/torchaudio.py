"""torchaudio: recognisers, separation, parts of speech synthesis."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("torchaudio")


@package.network(
    "recogniser",
    "Conformer: attention over all frames",
    {"x": 1},
    ("dynamo",),
    passes={"lift_state": {"attention": {"left": 64, "right": 0}}},
)
def conformer() -> Network:
    import torch
    from torchaudio.models import Conformer

    def call(net: Any, x: Any) -> Any:
        return net(x, torch.full((1,), x.shape[1], dtype=torch.int32))[0]

    return Network(Conformer(80, 4, 256, 3, 31), {"x": torch.randn(1, 64, 80)}, call)


@package.network(
    "separation",
    "ConvTasNet, global layer norm over the utterance",
    {"wav": 2},
    instead="a causal ConvTasNet with cumulative norm, such as asteroid's",
)
def conv_tasnet() -> Network:
    import torch
    from torchaudio.models import ConvTasNet

    net = ConvTasNet(
        num_sources=2,
        enc_kernel_size=16,
        enc_num_feats=128,
        msk_kernel_size=3,
        msk_num_feats=64,
        msk_num_hidden_feats=128,
        msk_num_layers=4,
        msk_num_stacks=2,
    )
    return Network(net, {"wav": torch.randn(1, 1, 8000)})


@package.network("synthesis", "Tacotron 2 postnet", {"mel": 2})
def postnet() -> Network:
    import torch
    from torchaudio.models.tacotron2 import _Postnet

    net = _Postnet(n_mels=80, postnet_embedding_dim=128, postnet_kernel_size=5, postnet_n_convolution=5)
    return Network(net, {"mel": torch.randn(1, 80, 100)})


@package.network("vocoder", "WaveRNN: MelResNet", {"mel": 2})
def mel_resnet() -> Network:
    import torch
    from torchaudio.models.wavernn import MelResNet

    net = MelResNet(n_res_block=4, n_freq=80, n_hidden=64, n_output=64, kernel_size=5)
    return Network(net, {"mel": torch.randn(1, 80, 100)})
