"""Exports PaddlePaddle networks with paddle2onnx: ``python examples/export_paddle.py FOLDER``.

Needs ``pip install paddlepaddle paddle2onnx packaging`` and no graphc. The weights are random but fixed by a
seed. The smallest models are kept in examples/exporters; ``make exporters`` makes and tries all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import paddle
from paddle import Tensor, nn
from paddle.nn import functional

FEATURES = 8


class Lstm(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(FEATURES, 16, num_layers=2), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.lstm(x)[0])


class Gru(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.conv = nn.GRU(FEATURES, 16), nn.Conv1D(16, 8, 3, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.gru(x)[0].transpose([0, 2, 1]))[:, :, :-2]


class Attention(nn.Layer):
    """Self-attention that sees six frames."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.attention = nn.Linear(FEATURES, 16), nn.LayerNorm(16), nn.MultiHeadAttention(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        frames = paddle.arange(paddle.shape(x)[1])
        back = frames.unsqueeze(1) - frames.unsqueeze(0)
        seen = paddle.logical_and(back >= 0, back < 6).unsqueeze(0).unsqueeze(0)
        normed = self.norm(y)
        return y + self.attention(normed, normed, normed, (1.0 - seen.astype("float32")) * -1e9)


class Convolutions(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv1D(FEATURES, 32, 3, padding=1), nn.Conv1D(16, 16, 7, groups=16)
        self.batch_norm, self.layer_norm, self.pool = nn.BatchNorm1D(16), nn.LayerNorm(16), nn.AvgPool1D(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.glu(self.first(x.transpose([0, 2, 1])), axis=1)
        y = y + functional.swish(self.batch_norm(self.deep(functional.pad(y, [6, 0]))))
        return self.layer_norm(self.pool(functional.hardswish(y)).transpose([0, 2, 1]))


class Subsampling(nn.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2D(1, 4, 3, stride=2), nn.Conv2D(4, 4, 2, stride=2)
        self.linear = nn.Linear(4, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.second(functional.relu(self.first(x.unsqueeze(1)))))
        return self.linear(y.transpose([0, 2, 1, 3]).reshape([0, 0, 4]))


def main(folder: Path) -> None:
    paddle.seed(0)
    for make in (Lstm, Gru, Attention, Convolutions, Subsampling):
        network = make()
        network.eval()
        signature = [paddle.static.InputSpec([1, None, FEATURES], "float32", "features")]
        target = folder / f"paddle_{make.__name__.lower()}"
        paddle.onnx.export(network, str(target), input_spec=signature, opset_version=17)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
