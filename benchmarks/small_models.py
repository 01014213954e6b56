"""Recurrent and convolutional networks, whole and as a person would rewrite them for streaming.

Each whole model is [1, T, features] to [1, T', outputs]; its twin takes one chunk and the states, and gives
the outputs and the new states.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Pair:
    """A whole model and its twin, the frames of a chunk, the features of a frame, and the first states."""

    whole: nn.Module
    twin: nn.Module
    chunk: int
    features: int
    states: list[Tensor]


class Recurrent(nn.Module):
    """Two LSTM layers of 256 and a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(80, 256, 2, batch_first=True)
        self.out = nn.Linear(256, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x)[0])


class RecurrentTwin(nn.Module):
    def __init__(self, whole: Recurrent):
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        y, (h, c) = self.whole.lstm(x, (h, c))
        return self.whole.out(y), h, c


class CausalConv(nn.Module):
    """A causal convolution over [batch, channels, T]; ``step`` also takes the frames that came before."""

    def __init__(self, channels: int, out: int, kernel: int, dilation: int = 1, groups: int = 1):
        super().__init__()
        self.past = (kernel - 1) * dilation
        self.conv = nn.Conv1d(channels, out, kernel, dilation=dilation, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (self.past, 0)))

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([past, x], dim=2)
        return self.conv(both), both[:, :, -self.past :]


class Separable(nn.Module):
    """Depthwise, pointwise and batch normalisation, three times, with a residual connection, as in QuartzNet."""

    def __init__(self, channels: int, kernel: int):
        super().__init__()
        self.depthwise = nn.ModuleList(CausalConv(channels, channels, kernel, groups=channels) for _ in range(3))
        self.pointwise = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for _ in range(3))
        self.shortcut = nn.Sequential(nn.Conv1d(channels, channels, 1), nn.BatchNorm1d(channels))

    def run(self, x: Tensor, conv: Callable[[int, Tensor], Tensor]) -> Tensor:
        y = x
        for index, (pointwise, norm) in enumerate(zip(self.pointwise, self.norms, strict=True)):
            y = norm(pointwise(conv(index, y)))
            if index < 2:
                y = functional.relu(y)
        return functional.relu(y + self.shortcut(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, lambda index, y: self.depthwise[index](y))


class QuartzNet(nn.Module):
    """Four blocks of 256 channels, kernels of 11 to 29."""

    kernels = (11, 17, 23, 29)

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv1d(64, 256, 1)
        self.blocks = nn.ModuleList(Separable(256, k) for k in self.kernels)
        self.out = nn.Conv1d(256, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.entry(x.transpose(1, 2))
        for block in self.blocks:
            y = block(y)
        return self.out(y).transpose(1, 2)


class QuartzTwin(nn.Module):
    def __init__(self, whole: QuartzNet):
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        y = self.whole.entry(x.transpose(1, 2))
        kept: list[Tensor] = []
        for block in self.whole.blocks:

            def conv(index: int, z: Tensor, block: nn.Module = block) -> Tensor:
                result, past = block.depthwise[index].step(z, states[len(kept)])
                kept.append(past)
                return result

            y = block.run(y, conv)
        return (self.whole.out(y).transpose(1, 2), *kept)


class TCN(nn.Module):
    """Eight dilated residual blocks of 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv1d(40, 64, 1)
        self.convs = nn.ModuleList(CausalConv(64, 64, 3, 2 ** (i % 4)) for i in range(8))
        self.norms = nn.ModuleList(nn.BatchNorm1d(64) for _ in range(8))
        self.mixes = nn.ModuleList(nn.Conv1d(64, 64, 1) for _ in range(8))
        self.out = nn.Conv1d(64, 12, 1)

    def run(self, x: Tensor, conv: Callable[[int, Tensor], Tensor]) -> Tensor:
        y = self.entry(x.transpose(1, 2))
        for index, (norm, mix) in enumerate(zip(self.norms, self.mixes, strict=True)):
            y = y + mix(functional.relu(norm(conv(index, y))))
        return self.out(y).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, lambda index, y: self.convs[index](y))


class TCNTwin(nn.Module):
    def __init__(self, whole: TCN):
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        kept: list[Tensor] = []

        def conv(index: int, z: Tensor) -> Tensor:
            result, past = self.whole.convs[index].step(z, states[index])
            kept.append(past)
            return result

        return (self.whole.run(x, conv), *kept)


class CRNN(nn.Module):
    """Two causal convolutions over time and frequency, a GRU of 64 and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [nn.Conv2d(1, 16, (3, 5), (1, 2), (0, 2)), nn.Conv2d(16, 16, (3, 5), (1, 2), (0, 2))]
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(16) for _ in range(2))
        self.gru = nn.GRU(16 * 10, 64, batch_first=True)
        self.out = nn.Linear(64, 4)

    def front(self, x: Tensor, pasts: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        y, kept = x.unsqueeze(1), []
        for conv, norm, past in zip(self.convs, self.norms, pasts, strict=True):
            both = torch.cat([past, y], dim=2)
            kept.append(both[:, :, -2:])
            y = functional.relu(norm(conv(both)))
        return y.transpose(1, 2).flatten(2), kept

    def forward(self, x: Tensor) -> Tensor:
        y = x.unsqueeze(1)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = functional.relu(norm(conv(functional.pad(y, (0, 0, 2, 0)))))
        return torch.sigmoid(self.out(self.gru(y.transpose(1, 2).flatten(2))[0]))


class CRNNTwin(nn.Module):
    def __init__(self, whole: CRNN):
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor, first: Tensor, second: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        y, kept = self.whole.front(x, [first, second])
        y, h = self.whole.gru(y, h)
        return (torch.sigmoid(self.whole.out(y)), *kept, h)


def pairs() -> dict[str, Pair]:
    """Every pair in evaluation mode; the batch normalisations have statistics of their own."""
    torch.manual_seed(0)
    recurrent, quartz, tcn, crnn = Recurrent(), QuartzNet(), TCN(), CRNN()
    with torch.no_grad():
        for model, features in ((quartz, 64), (tcn, 40), (crnn, 40)):
            for _ in range(3):
                model.train()(torch.randn(4, 60, features))
    states = [torch.zeros(1, 256, k - 1) for k in QuartzNet.kernels for _ in range(3)]
    pasts = [torch.zeros(1, 64, 2 * 2 ** (i % 4)) for i in range(8)]
    carry = torch.zeros(2, 1, 256)
    found = {
        "LSTM 2 x 256": Pair(recurrent, RecurrentTwin(recurrent), 4, 80, [carry, carry]),
        "QuartzNet-like": Pair(quartz, QuartzTwin(quartz), 8, 64, states),
        "TCN": Pair(tcn, TCNTwin(tcn), 8, 40, pasts),
        "CRNN": Pair(
            crnn, CRNNTwin(crnn), 8, 40, [torch.zeros(1, 1, 2, 40), torch.zeros(1, 16, 2, 20), torch.zeros(1, 1, 64)]
        ),
    }
    for pair in found.values():
        pair.whole.eval()
        pair.twin.eval()
    return found
