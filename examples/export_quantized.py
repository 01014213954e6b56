"""Trains a small tagger with torch's quantization-aware training, and exports it with its learned scales.

    pip install torch==2.13.0
    python examples/export_quantized.py [folder]

The input of the convolution is quantized, so that its cache can hold the integers.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    QConfig,
    QuantStub,
    disable_observer,
    prepare_qat,
)

BANDS, WIDTH, TAGS = 20, 32, 8
STEPS = 200


class Tagger(nn.Module):
    """Features [1, T, 20] to logits [1, T, 8], causal."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(BANDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, batch_first=True)
        self.heard = QuantStub()
        self.conv = nn.Conv1d(WIDTH, WIDTH, 3)
        self.leave = nn.Linear(WIDTH, TAGS)

    def forward(self, features: Tensor) -> Tensor:
        memory, _ = self.lstm(torch.relu(self.enter(features)))
        padded = nn.functional.pad(self.heard(memory.transpose(1, 2)), (2, 0))
        return self.leave(self.conv(padded).transpose(1, 2))


def trained() -> nn.Module:
    """The tagger, after some steps of learning whether a band has been positive on average."""
    torch.manual_seed(0)
    activation = FakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8, reduce_range=False
    )
    weight = FakeQuantize.with_args(
        observer=MovingAverageMinMaxObserver,
        quant_min=-128,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_tensor_symmetric,
    )
    model = Tagger().train()
    for part in (model.enter, model.heard, model.conv, model.leave):
        part.qconfig = QConfig(activation=activation, weight=weight)
    prepare_qat(model, inplace=True)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(STEPS):
        features = torch.randn(8, 40, BANDS)
        wanted = (features.cumsum(1)[..., :TAGS] > 0).float()
        loss = nn.functional.binary_cross_entropy_with_logits(model(features), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.3f}")
    return model.eval().apply(disable_observer)


def main() -> None:
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models"
    torch.onnx.export(
        trained(),
        (torch.randn(1, 40, BANDS),),
        str(folder / "qat_tagger.torchscript.onnx"),
        dynamo=False,
        opset_version=18,
        input_names=["features"],
        output_names=["logits"],
        dynamic_axes={"features": {1: "frames"}, "logits": {1: "frames"}},
    )


if __name__ == "__main__":
    main()
