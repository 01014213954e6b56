"""Exports streaming encoders and codecs from other packages: ``python examples/export_packages.py [NAME ...]``.

Needs ``pip install graphc[packages]``. The networks are those of transformers and speechbrain with random weights and
few channels. ``NAME.npz`` beside each model holds a stream, and the output of the package's own streaming mode if it
has one; the tests compare the model that graphc compiles with it.

speechbrain imports torchaudio to read files. torchaudio is not built for every torch, so an empty module stands in.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from export import save_bare
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "packages"
SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}


class Called(nn.Module):
    """A network as a function of tensors only."""

    def __init__(self, network: nn.Module, call: Callable[..., Tensor]):
        super().__init__()
        self.network, self.call = network, call

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(self.network, *inputs)


@dataclass(frozen=True)
class Package:
    """One network of a package.

    Args:
        make: builds it.
        inputs: example inputs by name; the first is the stream.
        axis: its stream axis.
        stream: the output of the package's streaming mode for the first input, chunk by chunk; None if it has none.
    """

    make: Callable[[], Called]
    inputs: dict[str, Tensor]
    axis: int
    stream: Callable[[nn.Module, Tensor], Tensor] | None = None
    scripted: bool = False


def by_chunks(network: nn.Module, chunks: Sequence[Tensor], caches: tuple[str, ...], **flags: bool) -> Tensor:
    """The first output of every call. The caches of one call are passed to the next."""
    outputs: list[Tensor] = []
    held: dict[str, Any] = {}
    for chunk in chunks:
        out = network(chunk, **flags, **held)
        held = {name: out[name] for name in caches}
        outputs.append(out[0])
    return torch.cat(outputs, dim=1)


def nemotron() -> nn.Module:
    """NeMo's cache-aware FastConformer: lookahead of 2, so blocks of 3, over 11 frames."""
    from transformers import NemotronAsrStreamingEncoder, NemotronAsrStreamingEncoderConfig

    return NemotronAsrStreamingEncoder(
        NemotronAsrStreamingEncoderConfig(
            **{**SMALL, "num_attention_heads": 4},
            num_hidden_layers=2,
            conv_kernel_size=5,
            subsampling_conv_channels=4,
            num_mel_bins=8,
            sliding_window=10,
            default_num_lookahead_tokens=2,
        )
    )


def nemotron_frames(network: nn.Module, features: Tensor) -> Tensor:
    return network(features, use_cache=False).last_hidden_state


def nemotron_padded(network: nn.Module, features: Tensor, lengths: Tensor) -> Tensor:
    mask = torch.arange(features.shape[1])[None] < lengths[:, None]
    return network(features, attention_mask=mask, use_cache=False).last_hidden_state


def nemotron_stream(network: nn.Module, features: Tensor) -> Tensor:
    return by_chunks(network, features.split(24, dim=1), ("past_key_values", "padding_cache"), use_cache=True)


def moonshine() -> nn.Module:
    """Moonshine's streaming encoder: a different window in every layer, some with lookahead."""
    from transformers.models.moonshine_streaming import (
        configuration_moonshine_streaming,
        modeling_moonshine_streaming,
    )

    windows = [[6, 3], [6, 0], [6, 2]]
    return modeling_moonshine_streaming.MoonshineStreamingEncoder(
        configuration_moonshine_streaming.MoonshineStreamingEncoderConfig(
            **SMALL, num_hidden_layers=3, num_key_value_heads=2, frame_ms=1.0, sliding_windows=windows
        )
    )


def moonshine_frames(network: nn.Module, wave: Tensor) -> Tensor:
    return network(wave, attention_mask=torch.ones(wave.shape, dtype=torch.long)).last_hidden_state


def voxtral() -> nn.Module:
    """Voxtral's realtime encoder: causal convolutions, rotary positions, a sliding window."""
    from transformers.models.voxtral_realtime.configuration_voxtral_realtime import VoxtralRealtimeEncoderConfig
    from transformers.models.voxtral_realtime.modeling_voxtral_realtime import VoxtralRealtimeEncoder

    return VoxtralRealtimeEncoder(
        VoxtralRealtimeEncoderConfig(**SMALL, num_hidden_layers=2, num_mel_bins=8, sliding_window=10, head_dim=8)
    )


def voxtral_frames(network: nn.Module, features: Tensor) -> Tensor:
    return network(features, use_cache=False).last_hidden_state


def voxtral_stream(network: nn.Module, features: Tensor) -> Tensor:
    flags = {"use_cache": True, "use_padding_cache": True}
    return by_chunks(network, features.split(8, dim=2), ("past_key_values", "padding_cache"), **flags)


def mimi() -> nn.Module:
    """The decoder of Mimi: a windowed transformer with rotary positions, then transposed convolutions."""
    from transformers import MimiConfig, MimiModel

    config = MimiConfig(
        **SMALL,
        num_key_value_heads=2,
        num_filters=2,
        upsampling_ratios=[4, 2],
        codebook_size=4,
        codebook_dim=4,
        num_quantizers=2,
        vector_quantization_hidden_dimension=4,
        upsample_groups=16,
        num_hidden_layers=2,
        sliding_window=10,
    )
    return MimiModel(config).decoder


def first_output(network: nn.Module, latents: Tensor) -> Tensor:
    return network(latents)[0]


def encodec() -> nn.Module:
    """The encoder of EnCodec as published: padded by reflection, an LSTM, extra padding up to a full stride."""
    from transformers import EncodecConfig, EncodecModel

    config = EncodecConfig(hidden_size=12, num_filters=3, upsampling_ratios=[4, 2], num_lstm_layers=1, codebook_size=4)
    return EncodecModel(config).encoder


def whole(network: nn.Module, wave: Tensor) -> Tensor:
    return network(wave)


def vibevoice() -> nn.Module:
    """The encoder of VibeVoice's tokenizer: strided causal convolutions between ConvNeXt blocks."""
    from transformers.models.vibevoice_acoustic_tokenizer import (
        configuration_vibevoice_acoustic_tokenizer,
        modeling_vibevoice_acoustic_tokenizer,
    )

    config = configuration_vibevoice_acoustic_tokenizer.VibeVoiceAcousticTokenizerEncoderConfig(
        hidden_size=8, num_filters=4, downsampling_ratios=[2, 2], depths=[1, 1, 1]
    )
    return modeling_vibevoice_acoustic_tokenizer.VibeVoiceAcousticTokenizerEncoderModel(config)


def vibevoice_stream(network: nn.Module, wave: Tensor) -> Tensor:
    return by_chunks(network, wave.split(16, dim=2), ("padding_cache",), use_cache=True)


def torchaudio_in_place() -> None:
    """Puts an empty torchaudio in place if it is not installed."""
    for name in ("torchaudio", "torchaudio.transforms", "torchaudio.functional"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        module.__dict__.update(__version__="2.9.0", list_audio_backends=lambda: [""], Resample=None)
        sys.modules.setdefault(name, module)


def speechbrain_mask(src: Tensor, causal: bool = False, dynchunktrain_config: Any = None) -> Tensor | None:
    """The package's own chunk mask, with ``|`` for a sum of booleans, which no exporter writes as valid ONNX."""
    if dynchunktrain_config is None:
        return None
    size, left = dynchunktrain_config.chunk_size, dynchunktrain_config.left_context_size
    frames = torch.arange(src.size(1), device=src.device)
    chunk = frames // size
    return (frames[None] >= (chunk[:, None] + 1) * size) | (frames[None] < (chunk[:, None] - left) * size)


def speechbrain() -> nn.Module:
    """A Conformer with dynamic chunk convolution: chunks of 8 frames, 2 chunks of left context."""
    torchaudio_in_place()
    from speechbrain.lobes.models.transformer import TransformerASR as Lobe

    Lobe.make_transformer_src_mask = speechbrain_mask
    return Lobe.TransformerASR(
        tgt_vocab=4,
        input_size=8,
        d_model=16,
        nhead=2,
        num_encoder_layers=2,
        num_decoder_layers=0,
        d_ffn=16,
        dropout=0.0,
        encoder_module="conformer",
        attention_type="RelPosMHAXL",
        positional_encoding=None,
        causal=False,
        kernel_size=5,
        normalize_before=True,
    )


def chunks_of_8() -> Any:
    from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

    return DynChunkTrainConfig(8, 2)


def speechbrain_frames(network: nn.Module, features: Tensor) -> Tensor:
    return network.encode(features, dynchunktrain_config=chunks_of_8())


def speechbrain_stream(network: nn.Module, features: Tensor) -> Tensor:
    context = network.make_streaming_context(chunks_of_8())
    return torch.cat([network.encode_streaming(c, context) for c in features.split(8, dim=1)], dim=1)


def packages() -> dict[str, Package]:
    features = torch.randn(1, 240, 8)
    lengths = torch.tensor([240])
    return {
        "nemotron": Package(
            lambda: Called(nemotron(), nemotron_frames), {"features": features}, 1, nemotron_stream, scripted=True
        ),
        "nemotron_padded": Package(
            lambda: Called(nemotron(), nemotron_padded), {"features": features[:, :120], "lengths": lengths // 2}, 1
        ),
        "moonshine": Package(lambda: Called(moonshine(), moonshine_frames), {"wave": torch.randn(1, 16 * 4 * 40)}, 1),
        "voxtral": Package(
            lambda: Called(voxtral(), voxtral_frames), {"features": torch.randn(1, 8, 240)}, 2, voxtral_stream
        ),
        "mimi": Package(lambda: Called(mimi(), first_output), {"latents": torch.randn(1, 16, 40)}, 2),
        "encodec": Package(lambda: Called(encodec(), whole), {"wave": torch.randn(1, 1, 320)}, 2, scripted=True),
        "vibevoice": Package(
            lambda: Called(vibevoice(), first_output), {"wave": torch.randn(1, 1, 160)}, 2, vibevoice_stream
        ),
        "speechbrain": Package(
            lambda: Called(speechbrain(), speechbrain_frames), {"features": features}, 1, speechbrain_stream
        ),
    }


def export(name: str, package: Package) -> Path:
    torch.manual_seed(3)
    module = package.make().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    path = FOLDER / f"{name}.onnx"
    names, inputs = list(package.inputs), tuple(package.inputs.values())
    if package.scripted:
        axes = {names[0]: {package.axis: "time"}}
        torch.onnx.export(
            module, inputs, str(path), dynamo=False, input_names=names, output_names=["out"], dynamic_axes=axes
        )
        proto = onnx.load(path)
    else:
        shapes = [{package.axis: torch.export.Dim.DYNAMIC}] + [None] * (len(inputs) - 1)
        with torch.no_grad():
            proto = torch.onnx.export(
                module, inputs, dynamo=True, input_names=names, output_names=["out"], dynamic_shapes=(tuple(shapes),)
            ).model_proto
    save_bare(proto, path)
    keep_stream(path, package, module)
    return path


def keep_stream(path: Path, package: Package, module: Called) -> None:
    """Saves a stream beside the model, with the package's own outputs for it, whole and streamed."""
    stream = next(iter(package.inputs.values()))
    with torch.no_grad():
        arrays = {"stream": stream.numpy(), "offline": module(*package.inputs.values()).numpy()}
        if package.stream is not None:
            arrays["streamed"] = package.stream(module.network, stream).numpy()
    np.savez_compressed(path.with_suffix(".npz"), **arrays)
    if "streamed" in arrays:
        whole, streamed = arrays["offline"], arrays["streamed"]
        frames = min(whole.shape[1], streamed.shape[1])
        apart = np.abs(whole[:, :frames] - streamed[:, :frames]).max()
        print(f"{path.stem}: whole {whole.shape}, by the package's streaming mode {streamed.shape}, {apart:.1e} apart")


def main() -> None:
    warnings.filterwarnings("ignore")
    for name, package in packages().items():
        if len(sys.argv) == 1 or name in sys.argv[1:]:
            path = export(name, package)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
