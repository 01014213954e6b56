"""Exports the example models, each through both of torch's exporters: ``python examples/export.py [NAME ...]``.

Needs ``pip install graphc[export]``. The weights are random but fixed by a seed; a few steps of forward passes give the
batch normalisations statistics of their own.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from attention import (
    Codec,
    Conformer,
    CrossAttention,
    GivenMasks,
    Mask,
    MaskedSubsampling,
    Squeezeformer,
    Transformer,
    Zipformer,
)
from torch import Tensor, nn
from torch.nn import functional

FOLDER = Path(__file__).parent / "models"
OPSET = 18


class WakeWordCNN(nn.Module):
    """A clip of 100 frames of 40 mel bands to the logits of 4 words, pooled over the whole clip."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(32, 4)

    def forward(self, mel: Tensor) -> Tensor:
        return self.head(self.body(mel.unsqueeze(1)).flatten(1))


class KeywordDSCNN(nn.Module):
    """Depthwise-separable: [batch, T, 40] to a score of 12 keywords for every second frame."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 32, (5, 4), (2, 2), (2, 1), bias=False), nn.BatchNorm2d(32), nn.ReLU())
        blocks: list[nn.Module] = []
        for _ in range(3):
            blocks += [
                nn.Conv2d(32, 32, 3, padding=1, groups=32, bias=False),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                nn.Conv2d(32, 32, 1, bias=False),
                nn.BatchNorm2d(32),
                nn.ReLU(),
            ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(32, 12)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.blocks(self.stem(mel.unsqueeze(1)))
        return self.head(x.mean(dim=3).transpose(1, 2)).softmax(-1)


class CRNN(nn.Module):
    """Convolutions over time and frequency, then a GRU: [batch, T, 40] to 6 classes for each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 8, (3, 5), stride=(1, 2), padding=(1, 2)),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, (3, 5), stride=(1, 2), padding=(1, 2)),
            nn.BatchNorm2d(16),
            nn.ReLU(),
        )
        self.gru = nn.GRU(160, 48, batch_first=True)
        self.head = nn.Linear(48, 6)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv(mel.unsqueeze(1)).permute(0, 2, 1, 3).flatten(2)
        return self.head(self.gru(x)[0])


class LSTMTagger(nn.Module):
    """Two layers of LSTM without an explicit state: [batch, T, 40] to log-probabilities of 10 tags."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(40, 64, num_layers=2, batch_first=True)
        self.head = nn.Linear(64, 10)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(self.lstm(features)[0]).log_softmax(-1)


class QuartzBlock(nn.Module):
    def __init__(self, inside: int, outside: int, kernel: int):
        super().__init__()
        half = kernel // 2
        self.body = nn.Sequential(
            nn.Conv1d(inside, inside, kernel, padding=half, groups=inside, bias=False),
            nn.Conv1d(inside, outside, 1, bias=False),
            nn.BatchNorm1d(outside),
            nn.ReLU(),
            nn.Conv1d(outside, outside, kernel, padding=half, groups=outside, bias=False),
            nn.Conv1d(outside, outside, 1, bias=False),
            nn.BatchNorm1d(outside),
        )
        self.skip = nn.Sequential(nn.Conv1d(inside, outside, 1, bias=False), nn.BatchNorm1d(outside))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.skip(x))


class QuartzNet(nn.Module):
    """'Same' padding, stride 2, residuals: [batch, 64, T] to log-probabilities of 29 letters at half the rate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(64, 24, 11, stride=2, padding=5, bias=False), nn.BatchNorm1d(24), nn.ReLU())
        self.blocks = nn.Sequential(QuartzBlock(24, 24, 13), QuartzBlock(24, 32, 15))
        self.tail = nn.Conv1d(32, 32, 7, dilation=2, padding=6)
        self.head = nn.Conv1d(32, 29, 1)

    def forward(self, mel: Tensor) -> Tensor:
        return self.head(functional.relu(self.tail(self.blocks(self.stem(mel))))).log_softmax(1)


class TCN(nn.Module):
    """Causal and dilated, padded in front: [batch, 32, T] to [batch, 8, T]."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv1d(32, 32, 1)
        self.layers = nn.ModuleList(nn.Conv1d(32, 32, 3, dilation=2**i) for i in range(5))
        self.norms = nn.ModuleList(nn.BatchNorm1d(32) for _ in range(5))
        self.head = nn.Conv1d(32, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            x = x + functional.relu(norm(layer(functional.pad(x, (2 * 2**index, 0)))))
        return self.head(x)


class WaveNet(nn.Module):
    """A gated stack with skip connections: samples [batch, 1, T] to 16 logits a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv1d(1, 16, 1)
        self.gates = nn.ModuleList(nn.Conv1d(16, 32, 2, dilation=2**i) for i in range(6))
        self.residuals = nn.ModuleList(nn.Conv1d(16, 16, 1) for _ in range(6))
        self.skips = nn.ModuleList(nn.Conv1d(16, 24, 1) for _ in range(6))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(24, 24, 1), nn.ReLU(), nn.Conv1d(24, 16, 1))

    def forward(self, wave: Tensor) -> Tensor:
        x = self.entry(wave)
        total: Tensor | float = 0.0
        for index, (gate, residual, skip) in enumerate(zip(self.gates, self.residuals, self.skips, strict=True)):
            a, b = gate(functional.pad(x, (2**index, 0))).chunk(2, dim=1)
            y = torch.tanh(a) * torch.sigmoid(b)
            total = total + skip(y)
            x = x + residual(y)
        return self.head(total)


class EncoderDecoder(nn.Module):
    """Strided down, an LSTM between, ConvTranspose1d up, with skips: [batch, 1, T] to [batch, 1, T']."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv1d(1, 16, 8, stride=4)
        self.down2 = nn.Conv1d(16, 32, 8, stride=4)
        self.lstm = nn.LSTM(32, 32)
        self.up2 = nn.ConvTranspose1d(32, 16, 8, stride=4)
        self.up1 = nn.ConvTranspose1d(16, 1, 8, stride=4)

    def forward(self, wave: Tensor) -> Tensor:
        a = functional.relu(self.down1(wave))
        b = functional.relu(self.down2(a))
        c = self.lstm(b.permute(2, 0, 1))[0].permute(1, 2, 0)
        d = functional.relu(self.up2(b + c))
        return self.up1(a[:, :, : d.shape[2]] + d[:, :, : a.shape[2]])


class Predictor(nn.Module):
    """RNN-T predictor: tokens [batch, U] to [batch, U, 32], its state given and returned."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(29, 24)
        self.lstm = nn.LSTM(24, 32, batch_first=True)

    def forward(self, tokens: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, (h_next, c_next) = self.lstm(self.embed(tokens), (h, c))
        return y, h_next, c_next


class Joiner(nn.Module):
    """RNN-T joiner: an encoder and a predictor frame to logits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(48, 40)
        self.predictor = nn.Linear(32, 40)
        self.head = nn.Linear(40, 29)

    def forward(self, encoder: Tensor, predictor: Tensor) -> Tensor:
        return self.head(torch.tanh(self.encoder(encoder) + self.predictor(predictor)))


@dataclass(frozen=True)
class Example:
    """A model to export: example inputs by name, the axes that are dynamic, and whether TorchScript can export it."""

    make: Callable[[], nn.Module]
    inputs: dict[str, Tensor]
    outputs: list[str]
    axes: dict[str, dict[int, str]]
    scripted: bool = True


def examples() -> dict[str, Example]:
    torch.manual_seed(1)

    def frames(*shape: int) -> Tensor:
        return torch.randn(*shape)

    return {
        "wake_word": Example(WakeWordCNN, {"mel": frames(1, 100, 40)}, ["logits"], {}),
        "keyword_dscnn": Example(KeywordDSCNN, {"mel": frames(1, 64, 40)}, ["scores"], {"mel": {1: "frames"}}),
        "crnn": Example(CRNN, {"mel": frames(1, 50, 40)}, ["classes"], {"mel": {0: "batch", 1: "frames"}}),
        "lstm_tagger": Example(LSTMTagger, {"features": frames(1, 50, 40)}, ["log_probs"], {"features": {1: "frames"}}),
        "quartznet": Example(QuartzNet, {"mel": frames(1, 64, 90)}, ["log_probs"], {"mel": {2: "frames"}}),
        "tcn": Example(TCN, {"x": frames(1, 32, 80)}, ["y"], {"x": {2: "frames"}}),
        "wavenet": Example(WaveNet, {"wave": frames(1, 1, 200)}, ["logits"], {"wave": {2: "samples"}}),
        "encoder_decoder": Example(EncoderDecoder, {"wave": frames(1, 1, 400)}, ["enhanced"], {"wave": {2: "samples"}}),
        "rnnt_predictor": Example(
            Predictor,
            {"tokens": torch.randint(0, 29, (1, 7)), "h": torch.zeros(1, 1, 32), "c": torch.zeros(1, 1, 32)},
            ["predicted", "h_next", "c_next"],
            {"tokens": {1: "tokens_n"}},
        ),
        "rnnt_joiner": Example(
            Joiner,
            {"encoder": frames(1, 9, 48), "predictor": frames(1, 9, 32)},
            ["logits"],
            {"encoder": {1: "frames"}, "predictor": {1: "frames"}},
        ),
    }


def attention_examples() -> dict[str, Example]:
    """A Transformer or Conformer for every kind of mask and position, and whole models around attention."""
    block, band, causal = Mask("block", left=2), Mask(left=6, right=3), Mask(left=9)
    plain = (block, causal)
    low, lowest = -1e4, -1e9
    transformers: dict[str, Callable[[], nn.Module]] = {
        "band": lambda: Transformer((band, Mask(left=4)), pre_norm=False),
        "additive": lambda: Transformer((Mask(form="additive", fill=low), Mask("block", 1, 0, 3, "additive", lowest))),
        "masked_twice": lambda: Transformer(
            (Mask("block", 1, after=True), Mask(after=True, fill=lowest)), style="einsum"
        ),
        "sdpa": lambda: Transformer(plain, style="sdpa"),
        "half": lambda: Transformer((causal,), style="half"),
        "multi_query": lambda: Transformer((block,), key_heads=1),
        "sinusoidal": lambda: Transformer((causal,), absolute="sinusoidal"),
        "learned": lambda: Transformer((block,), absolute="learned"),
        **{
            kind: (lambda kind=kind: Transformer((causal,), kind))
            for kind in ("alibi", "t5", "shaw", "table", "rotary_pairs", "rotary_part")
        },
        "rotary": lambda: Transformer(plain, "rotary"),
        "relative": lambda: Transformer((block, band), "relative"),
        "relative_concat": lambda: Transformer((band,), "relative_concat"),
        "relative_gather": lambda: Transformer((block,), "relative_gather"),
        "relative_strided": lambda: Transformer((band,), "relative_strided"),
    }
    torch.manual_seed(3)
    features = torch.randn(1, 50, 20)
    axes = {"features": {1: "frames"}}
    found = {
        f"attention_{name}": Example(make, {"features": features}, ["y"], axes, name != "relative_strided")
        for name, make in transformers.items()
    }
    lengths = torch.tensor([50])
    return {
        **found,
        "attention_padding": Example(
            lambda: Transformer(plain), {"features": features, "lengths": lengths}, ["y"], axes
        ),
        "attention_given": Example(
            GivenMasks,
            {
                "features": features,
                "mask": Mask(left=6, right=2).allowed(50, features.device)[None, None],
                "heard": torch.ones(1, 50, dtype=torch.bool),
            },
            ["y"],
            {**axes, "mask": {2: "frames", 3: "frames"}, "heard": {1: "frames"}},
        ),
        "rnnt_encoder": Example(
            lambda: Conformer((block, block), outputs=48), {"features": features}, ["encoder"], axes
        ),
        "conformer": Example(lambda: Conformer((block, block)), {"features": features}, ["log_probs"], axes),
        "conformer_lookahead": Example(
            lambda: Conformer((band, band), causal=False, norm="layer"), {"features": features}, ["log_probs"], axes
        ),
        "conformer_masked": Example(
            lambda: MaskedSubsampling(block), {"features": features, "lengths": lengths}, ["y"], axes
        ),
        "squeezeformer": Example(lambda: Squeezeformer((causal, block, band)), {"features": features}, ["y"], axes),
        "zipformer": Example(lambda: Zipformer(Mask("block", 2, fill=-1000.0)), {"features": features}, ["y"], axes),
        "codec": Example(
            lambda: Codec(Mask(left=12)), {"wave": torch.randn(1, 1, 200)}, ["decoded"], {"wave": {2: "n"}}
        ),
        "cross_attention": Example(
            lambda: CrossAttention(block), {"features": features, "context": torch.randn(1, 7, 10)}, ["y"], axes
        ),
    }


def prepared(make: Callable[[], nn.Module], inputs: dict[str, Tensor]) -> nn.Module:
    """The module with statistics of its own in every batch normalisation, in evaluation mode."""
    torch.manual_seed(2)
    module = make()
    module.train()
    with torch.no_grad():
        for _ in range(8):
            module(*[torch.randn_like(v) * 1.5 + 0.2 if v.is_floating_point() else v for v in inputs.values()])
    return module.eval()


def save_bare(proto: onnx.ModelProto, path: Path) -> None:
    """Saves a model without the stack traces that exporters write into it."""
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for info in [*proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        del info.metadata_props[:]
    onnx.save(proto, path)


def export(name: str, example: Example, dynamo: bool) -> Path:
    module = prepared(example.make, example.inputs)
    path = FOLDER / f"{name}.{'dynamo' if dynamo else 'torchscript'}.onnx"
    arguments: dict[str, Any] = {
        "input_names": list(example.inputs),
        "output_names": example.outputs,
        "opset_version": OPSET,
    }
    if dynamo:
        shapes = {
            key: {
                axis: torch.export.Dim(f"{label}", min=2, max=100000) if label != "batch" else torch.export.Dim.AUTO
                for axis, label in example.axes.get(key, {}).items()
            }
            or None
            for key in example.inputs
        }
        shared: dict[str, Any] = {}
        for axes in shapes.values():
            for axis, dim in (axes or {}).items():
                axes[axis] = shared.setdefault(getattr(dim, "__name__", str(dim)), dim)
        program = torch.onnx.export(
            module, tuple(example.inputs.values()), dynamo=True, dynamic_shapes=tuple(shapes.values()), **arguments
        )
        proto = program.model_proto
    else:
        torch.onnx.export(
            module, tuple(example.inputs.values()), str(path), dynamo=False, dynamic_axes=example.axes, **arguments
        )
        proto = onnx.load(path)
    save_bare(proto, path)
    return path


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    warnings.simplefilter("ignore")
    for name, example in (examples() | attention_examples()).items():
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        for dynamo in (False, True) if example.scripted else (True,):
            path = export(name, example, dynamo)
            print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
