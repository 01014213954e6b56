"""Trains a small convolutional tagger with torchao's quantization-aware training of exported graphs, and exports it.

    pip install torch==2.13.0 onnxscript torchao
    python examples/export_torchao.py [folder]

torch's dynamo exporter writes torchao's converted ops as QuantizeLinear and DequantizeLinear, with the learned scales.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from export import save_bare
from torch import Tensor, nn
from torchao.quantization.pt2e import move_exported_model_to_eval
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_qat_pt2e
from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
    X86InductorQuantizer,
    get_default_x86_inductor_quantization_config,
)

BANDS, WIDTH, TAGS = 20, 32, 8
FRAMES = 50
STEPS = 200


class Tagger(nn.Module):
    """Features [1, T, 20] to logits [1, T, 8], causal."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(BANDS, WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3)
        self.leave = nn.Linear(WIDTH, TAGS)

    def forward(self, features: Tensor) -> Tensor:
        heard = torch.relu(self.enter(features)).transpose(1, 2)
        return self.leave(torch.relu(self.conv(nn.functional.pad(heard, (2, 0)))).transpose(1, 2))


def trained(sample: Tensor, frames: dict[str, dict[int, torch.export.Dim]]) -> nn.Module:
    """The tagger, after some steps of learning whether a band has been positive lately."""
    torch.manual_seed(0)
    exported = torch.export.export(Tagger().train(), (sample,), dynamic_shapes=frames, strict=False).module()
    quantizer = X86InductorQuantizer()
    quantizer.set_global(get_default_x86_inductor_quantization_config(is_qat=True))
    model = prepare_qat_pt2e(exported, quantizer)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(STEPS):
        features = torch.randn(1, FRAMES, BANDS)
        wanted = (features.cumsum(1)[..., :TAGS] > 0).float()
        loss = nn.functional.binary_cross_entropy_with_logits(model(features), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.3f}")
    converted: nn.Module = convert_pt2e(model)
    move_exported_model_to_eval(converted)
    return converted


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models"
    sample = torch.randn(1, FRAMES, BANDS)
    frames = {"features": {1: torch.export.Dim("frames", min=4, max=4000)}}
    program = torch.onnx.export(
        trained(sample, frames),
        (sample,),
        input_names=["features"],
        output_names=["logits"],
        dynamo=True,
        dynamic_shapes=frames,
        verbose=False,
    )
    assert program is not None
    save_bare(program.model_proto, folder / "qat_conv.torchao.onnx")


if __name__ == "__main__":
    main()
