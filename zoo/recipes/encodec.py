"""EnCodec: a neural codec, causal at 24 kHz."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("encodec")
WHOLE_FRAMES = "the padding to whole frames was removed, because the export fixes its size; feed whole frames"


def seanet(kind: str, **options: Any) -> Any:
    from encodec import modules
    from encodec.modules import conv

    conv.get_extra_padding_for_conv1d = lambda *_: 0
    causal = {"dimension": 64, "n_filters": 8, "ratios": [8, 5, 4, 2], "causal": True, "norm": "weight_norm"}
    return getattr(modules, f"SEANet{kind}")(**causal, **options)


@package.network("codec", "EnCodec 24 kHz encoder", {"wav": 2}, ("torchscript",), changed=WHOLE_FRAMES)
def encoder() -> Network:
    import torch

    return Network(seanet("Encoder", lstm=2, pad_mode="reflect"), {"wav": torch.randn(1, 1, 6400)})


@package.network("codec", "EnCodec 24 kHz decoder", {"z": 2}, ("torchscript",), changed=WHOLE_FRAMES)
def decoder() -> Network:
    import torch

    return Network(seanet("Decoder", lstm=2, pad_mode="reflect"), {"z": torch.randn(1, 64, 20)})


@package.network("codec", "EnCodec encoder, padded with zeros", {"wav": 2}, ("torchscript",), changed=WHOLE_FRAMES)
def encoder_of_zeros() -> Network:
    import torch

    return Network(seanet("Encoder", lstm=2, pad_mode="constant"), {"wav": torch.randn(1, 1, 6400)})


@package.network("codec", "EnCodec decoder, padded with zeros", {"z": 2}, ("torchscript",), changed=WHOLE_FRAMES)
def decoder_of_zeros() -> Network:
    import torch

    return Network(seanet("Decoder", lstm=2, pad_mode="constant"), {"z": torch.randn(1, 64, 20)})
