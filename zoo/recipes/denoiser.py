"""denoiser: Demucs on waveforms."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("denoiser")
SMALL = {"hidden": 16, "depth": 4, "normalize": False, "resample": 1}
PADDING = "the zero padding of the utterance to a whole number of hops was removed"


def body(net: Any, wav: Any) -> Any:
    """What Demucs computes between its padding and its trimming."""
    skips = []
    for layer in net.encoder:
        wav = layer(wav)
        skips.append(wav)
    wav = net.lstm(wav.permute(2, 0, 1))[0].permute(1, 2, 0)
    for layer in net.decoder:
        wav = layer(wav + skips.pop()[..., : wav.shape[-1]])
    return wav


@package.network("denoiser", "Demucs, causal", {"wav": 2}, ("torchscript",), changed=PADDING)
def demucs() -> Network:
    import torch
    from denoiser.demucs import Demucs

    return Network(Demucs(causal=True, **SMALL), {"wav": torch.randn(1, 1, 852 + 256 * 12)}, body)


@package.network(
    "denoiser",
    "Demucs with a bidirectional LSTM",
    {"wav": 2},
    ("torchscript",),
    changed=PADDING,
    instead="`causal=True`",
)
def demucs_both_ways() -> Network:
    import torch
    from denoiser.demucs import Demucs

    return Network(Demucs(causal=False, **SMALL), {"wav": torch.randn(1, 1, 852 + 256 * 12)}, body)
