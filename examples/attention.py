"""Attention models for ``export.py``: Transformers and Conformers with every usual kind of mask and position."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

DIM = 16
HEADS = 2
WIDTH = DIM // HEADS


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees, in frames of the layer.

    Args:
        kind: ``band`` (``left`` frames back, ``right`` ahead), ``block`` (its own block of ``size`` frames,
            and ``left`` blocks back) or ``given`` (an input of the model says which).
        form: ``bool``, ``additive`` (the fill is added) or ``where`` (the fill replaces the score).
        after: masked entries are set to zero again after the softmax.
    """

    kind: str = "band"
    left: int = 6
    right: int = 0
    size: int = 4
    form: str = "where"
    fill: float = -math.inf
    after: bool = False

    def allowed(self, frames: int, device: torch.device) -> Tensor:
        place = torch.arange(frames, device=device)
        if self.kind == "given":
            return torch.ones(frames, frames, dtype=torch.bool, device=device)
        query, key = place[:, None], place[None, :]
        if self.kind == "block":
            block = torch.div(query, self.size, rounding_mode="trunc"), torch.div(key, self.size, rounding_mode="trunc")
            return (block[1] <= block[0]) & (block[0] - block[1] <= self.left)
        return (query - key <= self.left) & (key - query <= self.right)

    def apply(self, scores: Tensor, extra: Tensor | None = None) -> Tensor:
        allowed = self.allowed(scores.shape[-1], scores.device)
        if extra is not None:
            allowed = allowed & extra
        if self.form == "additive":
            probs = torch.softmax(scores + (~allowed).to(scores.dtype) * self.fill, dim=-1)
        else:
            probs = torch.softmax(scores.masked_fill(~allowed, self.fill), dim=-1)
        return probs.masked_fill(~allowed, 0.0) if self.after else probs


def sinusoids(place: Tensor, dim: int) -> Tensor:
    """[frames, dim]: sines and cosines of positions, which need not be whole or positive."""
    rates = torch.exp(torch.arange(0, dim, 2, dtype=torch.float32) * (-math.log(10000.0) / dim))
    angles = place.to(torch.float32)[:, None] * rates[None, :]
    return torch.stack([torch.sin(angles), torch.cos(angles)], dim=2).flatten(1)


class Attention(nn.Module):
    """Self-attention; ``positions`` says how positions enter the scores."""

    def __init__(self, mask: Mask, positions: str = "none", key_heads: int = HEADS, style: str = "matmul"):
        super().__init__()
        self.mask, self.positions, self.key_heads, self.style = mask, positions, key_heads, style
        self.query = nn.Linear(DIM, DIM)
        self.key = nn.Linear(DIM, key_heads * WIDTH)
        self.value = nn.Linear(DIM, key_heads * WIDTH)
        self.out = nn.Linear(DIM, DIM)
        if positions.startswith("relative"):
            self.place = nn.Linear(DIM, DIM, bias=False)
            self.bias_u = nn.Parameter(torch.randn(HEADS, WIDTH) * 0.3)
            self.bias_v = nn.Parameter(torch.randn(HEADS, WIDTH) * 0.3)
        if positions == "t5":
            self.buckets = nn.Embedding(16, HEADS)
        if positions == "shaw":
            self.distances = nn.Embedding(17, WIDTH)
        if positions == "table":
            self.table = nn.Linear(WIDTH, 2 * 40 + 1, bias=False)

    def split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(x.shape[0], -1, heads, WIDTH).transpose(1, 2)

    def forward(self, x: Tensor, extra: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        query, key, value = (
            self.split(p(x), h)
            for p, h in ((self.query, HEADS), (self.key, self.key_heads), (self.value, self.key_heads))
        )
        if self.positions.startswith("rotary"):
            query, key = self.rotated(query), self.rotated(key)
        if self.key_heads != HEADS:
            key = key.repeat_interleave(HEADS // self.key_heads, dim=1)
            value = value.repeat_interleave(HEADS // self.key_heads, dim=1)
        if self.style == "sdpa":
            allowed = self.mask.allowed(x.shape[1], x.device)
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        else:
            scores = self.scores(query, key)
            probs = torch.softmax(scores + mask, -1) if mask is not None else self.mask.apply(scores, extra)
            if self.style == "einsum":
                mixed = torch.einsum("bhqk,bhkd->bhqd", probs, value)
            else:
                mixed = torch.matmul(functional.dropout(probs, 0.1, self.training), value)
        return self.out(mixed.transpose(1, 2).reshape(x.shape[0], -1, DIM))

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        scale = 1 / math.sqrt(WIDTH)
        frames = query.shape[2]
        place = torch.arange(frames)
        distance = place[None, :] - place[:, None]
        if self.positions.startswith("relative"):
            return self.relative_scores(query, key) * scale
        if self.style == "einsum":
            scores = torch.einsum("bhqd,bhkd->bhqk", query * scale, key)
        elif self.style == "half":
            scores = torch.matmul((query * scale).half(), key.transpose(-1, -2).half()).float()
        else:
            scores = torch.matmul(query, key.transpose(-1, -2)) * scale
        if self.positions == "alibi":
            slopes = torch.tensor([2.0 ** -(4 * (h + 1) / HEADS) for h in range(HEADS)])
            scores = scores - slopes[:, None, None] * distance.abs().float()
        if self.positions == "t5":
            near = distance.abs()
            far = 4 + (torch.log(near.clamp(min=1).float() / 4) / math.log(8) * 4).long()
            bucket = (distance > 0).long() * 8 + torch.where(near < 4, near, far.clamp(max=7))
            scores = scores + self.buckets(bucket).permute(2, 0, 1)[None]
        if self.positions == "shaw":
            table = self.distances(distance.clamp(-8, 8) + 8)
            scores = scores + torch.einsum("bhqd,qkd->bhqk", query, table) * scale
        if self.positions == "table":
            spread = self.table(query)
            index = (distance.clamp(-40, 40) + 40).expand(query.shape[0], HEADS, frames, frames)
            scores = scores + spread.gather(-1, index)
        return scores

    def relative_scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Transformer-XL's scores: content, and a table of distances shifted row by row, written in several ways."""
        batch, _, frames, _ = query.shape
        content = torch.matmul(query + self.bias_u[:, None], key.transpose(-1, -2))
        table = self.place(sinusoids(torch.arange(frames - 1, -frames, -1), DIM)).view(-1, HEADS, WIDTH)
        moved = torch.matmul(query + self.bias_v[:, None], table.permute(1, 2, 0))
        if self.positions == "relative":
            moved = functional.pad(moved, (1, 0)).view(batch, HEADS, 2 * frames, frames)
            moved = moved[:, :, 1:].reshape(batch, HEADS, frames, 2 * frames - 1)[..., :frames]
        elif self.positions == "relative_concat":
            zeros = torch.zeros(batch, HEADS, frames, 1)
            moved = torch.cat([zeros, moved], dim=-1).view(batch, HEADS, -1, frames)
            moved = moved[:, :, 1:].view_as(moved[:, :, 1:].reshape(batch, HEADS, frames, -1))[..., :frames]
        elif self.positions == "relative_gather":
            place = torch.arange(frames)
            index = frames - 1 + place[None, :] - place[:, None]
            moved = moved.gather(-1, index.expand(batch, HEADS, -1, -1))
        elif self.positions == "relative_strided":
            flat = moved.contiguous()
            step = flat.stride()
            moved = flat.as_strided(
                (batch, HEADS, frames, frames), (step[0], step[1], step[2] - step[3], step[3]), step[3] * (frames - 1)
            )
        return content + moved

    def rotated(self, x: Tensor) -> Tensor:
        """``rotary`` rotates halves, ``rotary_pairs`` neighbours, ``rotary_part`` only the first half."""
        width = WIDTH // 2 if self.positions == "rotary_part" else WIDTH
        rates = 100.0 ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        angles = torch.arange(x.shape[2], dtype=torch.float32)[:, None] * rates[None]
        if self.positions == "rotary_pairs":
            cos, sin = torch.cos(angles), torch.sin(angles)
            even, odd = x[..., 0::2], x[..., 1::2]
            return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
        cos, sin = torch.cos(torch.cat([angles, angles], -1)), torch.sin(torch.cat([angles, angles], -1))
        turned, rest = x[..., :width], x[..., width:]
        first, second = turned.chunk(2, dim=-1)
        turned = turned * cos + torch.cat([-second, first], dim=-1) * sin
        return torch.cat([turned, rest], dim=-1) if width < WIDTH else turned


class TransformerLayer(nn.Module):
    def __init__(self, attention: Attention, pre_norm: bool):
        super().__init__()
        self.attention, self.pre_norm = attention, pre_norm
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.feed_forward = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, x: Tensor, extra: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        if self.pre_norm:
            x = x + self.attention(self.norm1(x), extra, mask)
            return x + self.feed_forward(self.norm2(x))
        x = self.norm1(x + self.attention(x, extra, mask))
        return self.norm2(x + self.feed_forward(x))


class Transformer(nn.Module):
    """[batch, T, 20] to [batch, T, 16]; absolute positions are ``sinusoidal`` or ``learned``."""

    def __init__(
        self,
        masks: tuple[Mask, ...] = (Mask(), Mask()),
        positions: str = "none",
        absolute: str = "none",
        pre_norm: bool = True,
        key_heads: int = HEADS,
        style: str = "matmul",
    ):
        super().__init__()
        self.absolute = absolute
        self.entry = nn.Linear(20, DIM)
        if absolute == "learned":
            self.places = nn.Parameter(torch.randn(1, 500, DIM) * 0.5)
        self.layers = nn.ModuleList(
            TransformerLayer(Attention(mask, positions, key_heads, style), pre_norm) for mask in masks
        )

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> Tensor:
        x = self.entry(features)
        if self.absolute == "learned":
            x = x + self.places[:, : x.shape[1]]
        if self.absolute == "sinusoidal":
            x = x * math.sqrt(DIM) + sinusoids(torch.arange(x.shape[1]), DIM)[None]
        extra = None
        if lengths is not None:
            extra = (torch.arange(x.shape[1])[None, :] < lengths[:, None])[:, None, None, :]
        for layer in self.layers:
            x = layer(x, extra)
        return x


class GivenMasks(Transformer):
    """The masks are inputs: the keys of each query, bool [1, 1, T, T], and the visible frames, bool [batch, T]."""

    def __init__(self) -> None:
        super().__init__((Mask("given", after=True), Mask("given", after=True)))

    def forward(self, features: Tensor, mask: Tensor, heard: Tensor) -> Tensor:
        x = self.entry(features)
        for layer in self.layers:
            x = layer(x, mask & heard[:, None, None, :])
        return x


class Subsampling(nn.Module):
    """Two convolutions of stride 2, without padding or padded causally: a quarter of the frames."""

    def __init__(self, features: int):
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 4, 3, 2), nn.ReLU())
        self.out = nn.Linear(4 * (((features - 1) // 2 - 1) // 2), DIM)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convs(x.unsqueeze(1))
        return self.out(y.transpose(1, 2).flatten(2))


class ConvModule(nn.Module):
    """Pointwise, GLU, depthwise (causal or 'same'), a norm, swish, pointwise."""

    def __init__(self, kernel: int, causal: bool, norm: str):
        super().__init__()
        self.pads = (kernel - 1, 0) if causal else (kernel // 2, kernel // 2)
        self.kind = norm
        self.enter = nn.Conv1d(DIM, 2 * DIM, 1)
        self.depthwise = nn.Conv1d(DIM, DIM, kernel, groups=DIM)
        self.norm = nn.BatchNorm1d(DIM) if norm == "batch" else nn.LayerNorm(DIM)
        self.leave = nn.Conv1d(DIM, DIM, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.glu(self.enter(x.transpose(1, 2)), dim=1)
        y = self.depthwise(functional.pad(y, self.pads))
        y = self.norm(y) if self.kind == "batch" else self.norm(y.transpose(1, 2)).transpose(1, 2)
        return self.leave(functional.silu(y)).transpose(1, 2)


class ConformerLayer(nn.Module):
    def __init__(self, attention: Attention, kernel: int, causal: bool, norm: str):
        super().__init__()
        self.first, self.second = self.feed_forward(), self.feed_forward()
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(DIM), nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.attention = attention
        self.conv = ConvModule(kernel, causal, norm)

    @staticmethod
    def feed_forward() -> nn.Module:
        return nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, 2 * DIM), nn.SiLU(), nn.Linear(2 * DIM, DIM))

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.first(x)
        x = x + self.attention(self.norm1(x))
        x = x + self.conv(self.norm2(x))
        return self.norm3(x + 0.5 * self.second(x))


class Conformer(nn.Module):
    """[batch, T, 20] to CTC log-probabilities [batch, T', 12]."""

    def __init__(
        self,
        masks: tuple[Mask, ...],
        positions: str = "relative",
        kernel: int = 5,
        causal: bool = True,
        norm: str = "batch",
        subsample: bool = True,
        outputs: int = 12,
    ):
        super().__init__()
        self.entry = Subsampling(20) if subsample else nn.Linear(20, DIM)
        self.layers = nn.ModuleList(ConformerLayer(Attention(m, positions), kernel, causal, norm) for m in masks)
        self.head = nn.Linear(DIM, outputs)

    def forward(self, features: Tensor) -> Tensor:
        x = self.entry(features)
        for layer in self.layers:
            x = layer(x)
        return self.head(x).log_softmax(-1)


class Squeezeformer(nn.Module):
    """Half the frame rate in the middle, repeated back to full, with a skip: [batch, T, 20] to [batch, T, 16]."""

    def __init__(self, masks: tuple[Mask, Mask, Mask]):
        super().__init__()
        self.entry = nn.Linear(20, DIM)
        self.down = nn.Conv1d(DIM, DIM, 3, stride=2, padding=1)
        self.outer = ConformerLayer(Attention(masks[0], "relative"), 5, True, "batch")
        self.inner = ConformerLayer(Attention(masks[1], "relative"), 5, True, "layer")
        self.last = ConformerLayer(Attention(masks[2]), 5, False, "batch")

    def forward(self, features: Tensor) -> Tensor:
        x = self.outer(self.entry(features))
        y = self.inner(self.down(x.transpose(1, 2)).transpose(1, 2))
        return self.last(x + y.repeat_interleave(2, dim=1)[:, : x.shape[1]])


class Zipformer(nn.Module):
    """Merges pairs of frames, uses one set of attention weights for two kinds of values, and goes back to pairs.

    As in Zipformer: [batch, T, 20] to [batch, T', 16], where T' is T rounded down to whole pairs.
    """

    def __init__(self, mask: Mask):
        super().__init__()
        self.mask = mask
        self.entry = nn.Linear(20, DIM)
        self.pair = nn.Parameter(torch.randn(2))
        self.query, self.key, self.value = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)
        self.gated = nn.Linear(DIM, 2 * DIM)
        self.place, self.place_query = nn.Linear(DIM, 4 * HEADS, bias=False), nn.Linear(DIM, 4 * HEADS)

    def heads(self, x: Tensor, width: int) -> Tensor:
        return x.reshape(x.shape[0], 1, HEADS, width).permute(2, 1, 0, 3)

    def forward(self, features: Tensor) -> Tensor:
        whole = self.entry(features).transpose(0, 1)
        pairs = whole.shape[0] // 2
        whole = whole[: 2 * pairs]
        x = (whole.reshape(pairs, 2, 1, DIM) * torch.softmax(self.pair, 0)[:, None, None]).sum(1)
        scores = self.heads(self.query(x), WIDTH) @ self.heads(self.key(x), WIDTH).transpose(-1, -2)
        table = self.place(sinusoids(torch.arange(pairs - 1, -pairs, -1), DIM))
        table = table.reshape(1, 2 * pairs - 1, HEADS, 4).permute(2, 0, 3, 1)
        spread = self.heads(self.place_query(x), 4) @ table
        rows = torch.arange(pairs - 1, -1, -1).repeat(HEADS).unsqueeze(-1)
        spread = spread.reshape(-1, 2 * pairs - 1).gather(1, rows + torch.arange(pairs))
        weights = self.mask.apply(scores + spread.reshape(HEADS, 1, pairs, pairs))
        y = (weights @ self.heads(self.value(x), WIDTH)).permute(2, 1, 0, 3).reshape(pairs, 1, DIM)
        gate, value = self.gated(x).chunk(2, -1)
        value = value.reshape(pairs, 1, 1, DIM).permute(2, 1, 0, 3)
        y = y + torch.tanh(gate) * (weights[0:1] @ value).permute(2, 1, 0, 3).reshape(pairs, 1, DIM)
        return (whole + y.unsqueeze(1).expand(pairs, 2, 1, DIM).reshape(2 * pairs, 1, DIM)).transpose(0, 1)


class Codec(nn.Module):
    """Causal convolutions padded by their first sample, a windowed transformer with rotary positions, and back.

    [batch, 1, T] to [batch, 1, T'], like neural audio codecs.
    """

    def __init__(self, mask: Mask):
        super().__init__()
        self.enter, self.down = nn.Conv1d(1, 8, 7), nn.Conv1d(8, DIM, 8, stride=4)
        self.layer = TransformerLayer(Attention(mask, "rotary"), True)
        self.up, self.leave = nn.ConvTranspose1d(DIM, 8, 8, stride=4), nn.Conv1d(8, 1, 7)

    def forward(self, wave: Tensor) -> Tensor:
        x = functional.elu(self.enter(functional.pad(wave, (6, 0), mode="replicate")))
        x = functional.elu(self.down(functional.pad(x, (4, 0), mode="replicate")))
        x = self.layer(x.transpose(1, 2)).transpose(1, 2)
        x = functional.elu(self.up(x))[..., :-4]
        return torch.tanh(self.leave(functional.pad(x, (6, 0))))


class CrossAttention(nn.Module):
    """A streaming layer, then attention to a context that does not stream: [batch, T, 20] and [batch, S, 10]."""

    def __init__(self, mask: Mask):
        super().__init__()
        self.entry = nn.Linear(20, DIM)
        self.layer = TransformerLayer(Attention(mask), True)
        self.query, self.key, self.value = nn.Linear(DIM, DIM), nn.Linear(10, DIM), nn.Linear(10, DIM)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        x = self.layer(self.entry(features))
        weights = torch.softmax(self.query(x) @ self.key(context).transpose(1, 2) / math.sqrt(DIM), dim=-1)
        return x + weights @ self.value(context)


class MaskedSubsampling(nn.Module):
    """Strided convolutions with a length mask multiplied in after each, then two Conformer layers."""

    def __init__(self, mask: Mask):
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1)])
        self.out = nn.Linear(4 * 5, DIM)
        self.layers = nn.ModuleList(ConformerLayer(Attention(mask, "relative"), 5, True, "batch") for _ in range(2))

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        x = features.unsqueeze(1)
        for conv in self.convs:
            real = torch.arange(x.shape[2])[None] < lengths[:, None]
            x = torch.relu(conv(x * real[:, None, :, None].to(x.dtype)))
            lengths = torch.div(lengths - 1, 2, rounding_mode="floor") + 1
        real = torch.arange(x.shape[2])[None] < lengths[:, None]
        x = self.out((x * real[:, None, :, None]).transpose(1, 2).flatten(2))
        for layer in self.layers:
            x = layer(x)
        return x * real[..., None]
