"""A relative-position Conformer with a block mask: whole, and as a person would rewrite it for streaming.

16 layers, 144 wide, 4 heads, kernel 31, blocks of 4 frames and 16 blocks back by default: [1, T, 144] to [1, T, 144].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Size:
    """How large the Conformer is; ``left`` counts blocks. ``batched``: its batch may have any size."""

    layers: int = 16
    dim: int = 144
    heads: int = 4
    kernel: int = 31
    block: int = 4
    left: int = 16
    batched: bool = False

    @property
    def width(self) -> int:
        return self.dim // self.heads

    @property
    def cache(self) -> int:
        return self.block * self.left


def sinusoids(distance: Tensor, dim: int) -> Tensor:
    """[n, dim] sines and cosines of distances."""
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    angles = distance.to(torch.float32)[:, None] * rates[None]
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=2).flatten(1)


class Attention(nn.Module):
    """Transformer-XL's attention; ``forward`` takes all frames, ``step`` a block and the keys and values before it."""

    def __init__(self, size: Size):
        super().__init__()
        self.size = size
        self.query, self.key, self.value, self.out = (nn.Linear(size.dim, size.dim) for _ in range(4))
        self.place = nn.Linear(size.dim, size.dim, bias=False)
        self.bias_u = nn.Parameter(torch.randn(size.heads, size.width) * 0.3)
        self.bias_v = nn.Parameter(torch.randn(size.heads, size.width) * 0.3)

    def streams(self, x: Tensor) -> int:
        return x.shape[0] if self.size.batched else 1

    def split(self, x: Tensor) -> Tensor:
        return x.view(self.streams(x), -1, self.size.heads, self.size.width).transpose(1, 2)

    def mix(self, query: Tensor, key: Tensor, value: Tensor, moved: Tensor, hidden: Tensor) -> Tensor:
        scores = (torch.matmul(query + self.bias_u[:, None], key.transpose(-1, -2)) + moved) / math.sqrt(
            self.size.width
        )
        probs = torch.softmax(scores.masked_fill(hidden, -math.inf), dim=-1)
        return self.out(torch.matmul(probs, value).transpose(1, 2).reshape(self.streams(query), -1, self.size.dim))

    def table(self, first: int | Tensor, last: int | Tensor) -> Tensor:
        """Projected positions of the distances first, first - 1 and so on to last: [heads, width, n]."""
        places = sinusoids(torch.arange(first, last - 1, -1), self.size.dim)
        return self.place(places).view(-1, self.size.heads, self.size.width).permute(1, 2, 0)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        query, key, value = (self.split(p(x)) for p in (self.query, self.key, self.value))
        moved = torch.matmul(query + self.bias_v[:, None], self.table(frames - 1, 1 - frames))
        moved = functional.pad(moved, (1, 0)).view(self.streams(x), self.size.heads, 2 * frames, frames)
        moved = moved[:, :, 1:].reshape(self.streams(x), self.size.heads, frames, 2 * frames - 1)[..., :frames]
        block = torch.div(torch.arange(frames), self.size.block, rounding_mode="trunc")
        behind = block[:, None] - block[None, :]
        return self.mix(query, key, value, moved, (behind < 0) | (behind > self.size.left))

    def step(self, x: Tensor, keys: Tensor, values: Tensor, unseen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One block: [1, block, dim], the last keys and values, and which keys of the window do not exist."""
        size = self.size
        query, key, value = (self.split(p(x)) for p in (self.query, self.key, self.value))
        key, value = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
        window = size.cache + size.block
        moved = torch.matmul(query + self.bias_v[:, None], self.positions)
        flat = moved.reshape(1, size.heads, -1)[:, :, size.block - 1 :]
        rows = flat[:, :, : size.block * (window + size.block - 2)]
        moved = rows.reshape(1, size.heads, size.block, window + size.block - 2)[..., :window]
        return self.mix(query, key, value, moved, unseen), key[:, :, size.block :], value[:, :, size.block :]

    def prepare(self) -> None:
        """Projects the positions that a block needs, once."""
        size = self.size
        with torch.no_grad():
            self.register_buffer("positions", self.table(size.cache + size.block - 1, 1 - size.block).contiguous())


class Layer(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, norm."""

    def __init__(self, size: Size):
        super().__init__()
        self.size = size
        self.first, self.second = self.feed_forward(), self.feed_forward()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(size.dim), nn.LayerNorm(size.dim), nn.LayerNorm(size.dim)
        self.attention = Attention(size)
        self.enter = nn.Conv1d(size.dim, 2 * size.dim, 1)
        self.depthwise = nn.Conv1d(size.dim, size.dim, size.kernel, groups=size.dim)
        self.batch_norm = nn.BatchNorm1d(size.dim)
        self.leave = nn.Conv1d(size.dim, size.dim, 1)

    def feed_forward(self) -> nn.Module:
        dim = self.size.dim
        return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.SiLU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(self.norm1(x))
        y = functional.glu(self.enter(self.norm2(x).transpose(1, 2)), dim=1)
        y = self.depthwise(functional.pad(y, (self.size.kernel - 1, 0)))
        x = x + self.leave(functional.silu(self.batch_norm(y))).transpose(1, 2)
        return self.norm3(x + 0.5 * self.second(x))

    def step(
        self, x: Tensor, keys: Tensor, values: Tensor, context: Tensor, unseen: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x = x + 0.5 * self.first(x)
        mixed, keys, values = self.attention.step(self.norm1(x), keys, values, unseen)
        x = x + mixed
        y = functional.glu(self.enter(self.norm2(x).transpose(1, 2)), dim=1)
        y = torch.cat([context, y], dim=2)
        context = y[:, :, -(self.size.kernel - 1) :]
        x = x + self.leave(functional.silu(self.batch_norm(self.depthwise(y)))).transpose(1, 2)
        return self.norm3(x + 0.5 * self.second(x)), keys, values, context


class Conformer(nn.Module):
    def __init__(self, size: Size):
        super().__init__()
        self.size = size
        self.layers = nn.ModuleList(Layer(size) for _ in range(size.layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class Twin(nn.Module):
    """The cached forward written by hand: one block and all caches in, one block and all caches out."""

    def __init__(self, whole: Conformer):
        super().__init__()
        self.whole = whole
        for layer in whole.layers:
            layer.attention.prepare()

    def forward(self, x: Tensor, seen: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        size = self.whole.size
        unseen = torch.arange(size.cache + size.block) < size.cache - seen
        after: list[Tensor] = []
        for index, layer in enumerate(self.whole.layers):
            x, *kept = layer.step(x, *caches[3 * index : 3 * index + 3], unseen)
            after += kept
        return (x, torch.clamp(seen + size.block, max=size.cache), *after)

    def first(self) -> list[Tensor]:
        """The first value of ``seen`` and of every cache."""
        size = self.whole.size
        keys = torch.zeros(1, size.heads, size.cache, size.width)
        context = torch.zeros(1, size.dim, size.kernel - 1)
        return [torch.zeros(1, dtype=torch.int64), *[keys, keys, context] * size.layers]


def conformer(size: Size) -> Conformer:
    """A Conformer in evaluation mode, with random weights; every batch normalisation has statistics of its own."""
    torch.manual_seed(0)
    model = Conformer(size).train()
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(1, 48, size.dim))
    return model.eval()
