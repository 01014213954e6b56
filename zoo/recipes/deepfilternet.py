"""DeepFilterNet: denoisers of full-band speech, the networks between its analysis and its synthesis."""

from __future__ import annotations

import sys
import types
from typing import Any

from zoo.recipe import Network, Package

package = Package("DeepFilterNet")
FEATURES = {"feat_erb": 2, "feat_spec": 2}


def networks(module: str) -> Any:
    """A module of the package with default settings; what it imports of torchaudio is gone, and no network needs it."""
    import importlib

    common = types.ModuleType("torchaudio.backend.common")
    common.AudioMetaData = object  # type: ignore[attr-defined]
    sys.modules.update({"torchaudio.backend": types.ModuleType("torchaudio.backend"), common.__name__: common})
    from df.config import config

    config.use_defaults()
    return importlib.import_module(f"df.{module}")


def features() -> dict[str, Any]:
    import torch

    return {"feat_erb": torch.randn(1, 1, 40, 32), "feat_spec": torch.randn(1, 2, 40, 96)}


@package.network("denoiser", "DeepFilterNet encoder", FEATURES, ("torchscript",))
def encoder_1() -> Network:
    return Network(networks("deepfilternet").Encoder(), features())


@package.network("denoiser", "DeepFilterNet2 encoder", FEATURES)
def encoder_2() -> Network:
    return Network(networks("deepfilternet2").Encoder(), features())


@package.network("denoiser", "DeepFilterNet3 encoder", FEATURES)
def encoder_3() -> Network:
    return Network(networks("deepfilternet3").Encoder(), features())


@package.network("denoiser", "DeepFilterNet3 decoder of gains", {"emb": 1, "e3": 2, "e2": 2, "e1": 2, "e0": 2})
def gains() -> Network:
    df = networks("deepfilternet3")
    e0, e1, e2, e3, emb, *_ = df.Encoder().eval()(*features().values())
    return Network(df.ErbDecoder(), {"emb": emb, "e3": e3, "e2": e2, "e1": e1, "e0": e0})


@package.network("denoiser", "DeepFilterNet3 decoder of filter taps", {"emb": 1, "c0": 2})
def taps() -> Network:
    df = networks("deepfilternet3")
    *_, emb, c0, _ = df.Encoder().eval()(*features().values())
    return Network(df.DfDecoder(), {"emb": emb, "c0": c0})
