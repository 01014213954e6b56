"""speechbrain: recognisers, speakers, a vocoder."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("speechbrain")


def transformer(kind: str, attention: str, **options: Any) -> Any:
    import torch
    from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR

    return TransformerASR(
        40,
        80,
        d_model=128,
        nhead=4,
        num_encoder_layers=3,
        num_decoder_layers=0,
        d_ffn=256,
        dropout=0.0,
        encoder_module=kind,
        conformer_activation=torch.nn.GELU,
        kernel_size=15,
        attention_type=attention,
        normalize_before=True,
        **options,
    )


def frames() -> dict[str, Any]:
    import torch

    return {"x": torch.randn(1, 64, 80)}


@package.network("recogniser", "Conformer, causal, chunks of 16 and 2 to the left", {"x": 1})
def conformer_in_chunks() -> Network:
    import torch

    def call(net: Any, x: Any) -> Any:
        chunk = torch.arange(x.shape[1]) // 16
        hidden = (chunk[None] > chunk[:, None]) | (chunk[None] < chunk[:, None] - 2)
        y = net.custom_src_module(x)
        return net.encoder(y, src_mask=hidden, pos_embs=net.positional_encoding(y))[0]

    return Network(transformer("conformer", "RelPosMHAXL", causal=True), frames(), call)


@package.network(
    "recogniser",
    "Conformer, causal convs, relative attention over all frames",
    {"x": 1},
    passes={"lift_state": {"attention": {"left": 64, "right": 0}}},
)
def conformer() -> Network:
    return Network(transformer("conformer", "RelPosMHAXL", causal=True), frames(), lambda net, x: net.encode(x))


@package.network(
    "recogniser",
    "Branchformer: attention over all frames",
    {"x": 1},
    passes={"lift_state": {"attention": {"left": 64, "right": 16}}},
)
def branchformer() -> Network:
    net = transformer("branchformer", "RelPosMHAXL", causal=False, csgu_linear_units=256)
    return Network(net, frames(), lambda net, x: net.encode(x))


@package.network(
    "recogniser",
    "Transformer with a causal mask over all the past",
    {"x": 1},
    passes={"lift_state": {"attention": {"max_frames": 400}}},
)
def transformer_causal() -> Network:
    return Network(transformer("transformer", "regularMHA", causal=True), frames(), lambda net, x: net.encode(x))


@package.network(
    "recogniser",
    "CRDNN with unidirectional LSTMs, padded by reflection",
    {"x": 1},
    ("torchscript",),
)
def crdnn() -> Network:
    import torch
    from speechbrain.lobes.models.CRDNN import CRDNN
    from speechbrain.nnet.RNN import LSTM

    net = CRDNN(
        input_shape=[None, None, 40],
        cnn_channels=[16, 32],
        rnn_layers=2,
        rnn_neurons=64,
        dnn_neurons=64,
        rnn_class=LSTM,
        rnn_bidirectional=False,
    )
    return Network(net, {"x": torch.randn(1, 80, 40)})


@package.network(
    "speaker",
    "ECAPA-TDNN: statistics over the utterance",
    {"x": 1},
    instead="a window as long as the utterances that it was trained on, because one embedding has no frames",
)
def ecapa() -> Network:
    import torch
    from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

    net = ECAPA_TDNN(
        80, channels=[64, 64, 64, 64, 192], attention_channels=32, lin_neurons=64, res2net_scale=4, se_channels=32
    )
    return Network(net, {"x": torch.randn(1, 100, 80)})


@package.network("vocoder", "HiFi-GAN generator", {"mel": 2})
def hifigan() -> Network:
    import torch
    from speechbrain.lobes.models.HifiGAN import HifiganGenerator

    net = HifiganGenerator(
        in_channels=80,
        out_channels=1,
        resblock_type="1",
        resblock_dilation_sizes=[[1, 3, 5]] * 3,
        resblock_kernel_sizes=[3, 7, 11],
        upsample_kernel_sizes=[16, 16, 4, 4],
        upsample_initial_channel=64,
        upsample_factors=[8, 8, 2, 2],
    )
    return Network(net, {"mel": torch.randn(1, 80, 30)})
