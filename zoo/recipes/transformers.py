"""transformers: recognisers, codecs, vocoders."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("transformers")
SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def mimi() -> Any:
    from transformers import MimiConfig, MimiModel

    return MimiModel(
        MimiConfig(
            **SMALL,
            num_filters=8,
            num_key_value_heads=4,
            head_dim=16,
            sliding_window=25,
            codebook_size=64,
            codebook_dim=32,
            vector_quantization_hidden_dimension=32,
            num_quantizers=4,
            num_semantic_quantizers=1,
            upsample_groups=64,
            attn_implementation="eager",
        )
    )


@package.network("codec", "Mimi decoder, from codes", {"codes": 2}, ("dynamo",))
def mimi_decoder() -> Network:
    import torch

    def call(net: Any, codes: Any) -> Any:
        return net.decode(codes, return_dict=False)[0]

    return Network(mimi(), {"codes": torch.randint(0, 64, (1, 4, 10))}, call)


@package.network("codec", "EnCodec decoder", {"z": 2}, ("torchscript",))
def encodec_decoder() -> Network:
    import torch
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(
        target_bandwidths=[1.5], num_filters=8, hidden_size=64, codebook_size=64, upsampling_ratios=[8, 5, 4, 2]
    )
    return Network(EncodecModel(config), {"z": torch.randn(1, 64, 20)}, lambda net, z: net.decoder(z))


@package.network("codec", "DAC encoder", {"wav": 2})
def dac_encoder() -> Network:
    import torch
    from transformers import DacConfig, DacModel

    config = DacConfig(
        encoder_hidden_size=8,
        downsampling_ratios=[2, 4, 8, 8],
        decoder_hidden_size=128,
        upsampling_ratios=[8, 8, 4, 2],
        n_codebooks=4,
        codebook_size=64,
    )
    return Network(DacModel(config), {"wav": torch.randn(1, 1, 5120)}, lambda net, wav: net.encoder(wav))


@package.network(
    "recogniser",
    "Parakeet encoder (FastConformer): attention over all frames",
    {"x": 1},
    passes={"lift_state": {"attention": {"left": 64, "right": 8}}},
)
def parakeet() -> Network:
    import torch
    from transformers import ParakeetEncoder, ParakeetEncoderConfig

    net = ParakeetEncoder(ParakeetEncoderConfig(**SMALL, subsampling_conv_channels=32, attn_implementation="eager"))
    return Network(net, {"x": torch.randn(1, 128, 80)}, lambda net, x: net(x)[0])


@package.network(
    "recogniser",
    "Wav2Vec2-BERT: causal convs, attention over all frames",
    {"x": 1},
    passes={"lift_state": {"attention": {"left": 64, "right": 8}}},
)
def wav2vec2_bert() -> Network:
    import torch
    from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

    net = Wav2Vec2BertModel(Wav2Vec2BertConfig(**SMALL, feature_projection_input_dim=160))
    return Network(net, {"x": torch.randn(1, 100, 160)}, lambda net, x: net(x)[0])


@package.network(
    "recogniser",
    "wav2vec 2.0: group norm over the utterance",
    {"wav": 1},
    instead="`feat_extract_norm: layer`, and a limit on attention",
)
def wav2vec2() -> Network:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    net = Wav2Vec2Model(
        Wav2Vec2Config(
            **SMALL,
            conv_dim=[64] * 7,
            num_conv_pos_embeddings=32,
            num_conv_pos_embedding_groups=4,
            attn_implementation="eager",
        )
    )
    return Network(net, {"wav": torch.randn(1, 16000)}, lambda net, wav: net(wav)[0])


@package.network("vocoder", "SpeechT5 HiFi-GAN", {"mel": 1})
def speecht5_hifigan() -> Network:
    import torch
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    net = SpeechT5HifiGan(SpeechT5HifiGanConfig(upsample_initial_channel=64))
    return Network(net, {"mel": torch.randn(1, 30, 80)})
