"""altasr: Conformers, those for streams among them."""

from __future__ import annotations

from typing import Any

from zoo.recipe import Network, Package

package = Package("altasr")


def conformer(**options: Any) -> Network:
    import torch
    from altasr.config import ModelConfig
    from altasr.model.encoder import ConformerEncoder

    config = ModelConfig(d_model=128, n_layers=2, n_heads=4)
    for name, value in options.items():
        setattr(config, name, value)
    return Network(
        ConformerEncoder(80, config),
        {"x": torch.randn(1, 200, 80)},
        lambda net, x: net(x, torch.full((1,), x.shape[1]))[0],
    )


@package.network("recogniser", "Conformer, the package's settings for streams", {"x": 1}, ("dynamo",))
def streaming() -> Network:
    from altasr.config import STREAMING_ARCH

    return conformer(**STREAMING_ARCH)


@package.network(
    "recogniser",
    "Conformer in chunks, with group norm over the utterance",
    {"x": 1},
    ("dynamo",),
    instead="`conv_norm: frame`, as in the package's settings for streams",
)
def group_norm() -> Network:
    return conformer(chunk_size=16, left_context_chunks=4, causal_conv=True)
