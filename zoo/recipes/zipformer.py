"""Zipformer, as icefall trains it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from zoo.recipe import Network, Package

package = Package("zipformer")


def module() -> Any:
    """The package's network, without what only its training and decoding import."""
    spec = importlib.util.find_spec("zipformer")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    home = Path(spec.submodule_search_locations[0])
    for name, folder in (("zipformer", home), ("zipformer.modules", home / "modules")):
        bare = types.ModuleType(name)
        bare.__path__ = [str(folder)]
        sys.modules[name] = bare
    utils = types.ModuleType("zipformer.utils")
    utils.torch_autocast = lambda **_: nullcontext()  # type: ignore[attr-defined]
    sys.modules[utils.__name__] = utils
    return importlib.import_module("zipformer.modules.zipformer")


def masked(net: Any, forward: Callable[..., Any]) -> Callable[..., Any]:
    """An encoder's forward with the mask of the chunks, which the package leaves out of every trace."""

    def call(x: Any, **options: Any) -> Any:
        return forward(x, **options | {"attn_mask": net._get_attn_mask(x, *net.get_chunk_info())})

    return call


@package.network(
    "recogniser",
    "Zipformer, causal, chunks of 16 and 64 frames to the left",
    {"x": 0},
    ("torchscript",),
    changed="the chunk mask was added, because the package leaves it out of a traced model",
    told=("--input", "x=0"),
)
def zipformer() -> Network:
    import torch

    net = module().Zipformer(
        downsampling_factor=(1, 2),
        encoder_dim=(64, 96),
        num_encoder_layers=(1, 1),
        encoder_unmasked_dim=(48, 64),
        num_heads=(4, 4),
        feedforward_dim=(128, 192),
        cnn_module_kernel=(15, 15),
        query_head_dim=16,
        value_head_dim=8,
        pos_head_dim=4,
        pos_dim=32,
        causal=True,
        chunk_size=(16,),
        left_context_frames=(64,),
    )
    for encoder in net.encoders:
        encoder.forward = masked(net, encoder.forward)
    return Network(net, {"x": torch.randn(64, 1, 64)}, lambda net, x: net(x, torch.full((1,), x.shape[0]))[0])
