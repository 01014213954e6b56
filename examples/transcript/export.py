"""Exports a recogniser from transformers as three models: ``python examples/transcript/export.py [FOLDER]``.

Needs ``pip install graphc[packages]``. The recogniser is NVIDIA's cache-aware FastConformer with its transducer
(NemotronAsrStreamingForRNNT), so small that it learns one recording by heart in seconds. With a checkpoint,
``from_pretrained`` takes the place of ``learnt``. The files beside the models are preprocessor_config.json, as in a
checkpoint, tokens.txt, and reference.npz: the tokens that transformers' own ``generate`` gives for the recording.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soundfile
import torch
from torch import Tensor, nn
from transformers import NemotronAsrStreamingConfig, NemotronAsrStreamingFeatureExtractor, NemotronAsrStreamingForRNNT

HERE = Path(__file__).parent
SOUND = HERE.parent / "wake_word" / "alexa.wav"
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
BLANK = len(LETTERS) + 1
OPSET = 18
STEPS = 400
WORDS = [
    ("alexa", 1.55, 2.05),
    ("turn", 2.75, 2.95),
    ("off", 3.0, 3.15),
    ("the", 3.2, 3.3),
    ("light", 3.35, 3.65),
    ("alexa", 5.45, 6.0),
]


def recogniser() -> NemotronAsrStreamingForRNNT:
    torch.manual_seed(5)
    encoder = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "conv_kernel_size": 5,
        "subsampling_conv_channels": 4,
        "num_mel_bins": 80,
        "sliding_window": 11,
        "default_num_lookahead_tokens": 1,
    }
    config = NemotronAsrStreamingConfig(
        encoder_config={"model_type": "nemotron_asr_streaming_encoder", **encoder},
        vocab_size=BLANK + 1,
        decoder_hidden_size=24,
        num_decoder_layers=1,
        blank_token_id=BLANK,
        max_symbols_per_step=3,
    )
    model = NemotronAsrStreamingForRNNT(config).eval()
    model.generation_config.decoder_start_token_id = BLANK
    return model


def aligned(frames: int) -> list[list[int]]:
    """The tokens of each frame of 80 ms: the letters of a word are spread over its duration."""
    said: list[list[int]] = [[] for _ in range(frames)]
    for text, start, end in WORDS:
        tokens = [0, *(LETTERS.index(letter) + 1 for letter in text)]
        for token, second in zip(tokens, np.linspace(start, end, len(tokens)), strict=True):
            said[min(frames - 1, int(second / 0.08) + 1)].append(token)
    return said


def learnt(model: NemotronAsrStreamingForRNNT, features: Tensor, mask: Tensor) -> NemotronAsrStreamingForRNNT:
    """The recogniser, trained on one recording: the likeliest token is the one that is said, followed by a blank."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=STEPS)
    said = aligned(int(mask.sum()) // 8 + 1)
    before = torch.tensor([[BLANK, *(token for frame in said for token in frame)]])
    heard, known, wanted = [], [], []
    for frame, tokens in enumerate(said):
        for token in (*tokens, BLANK):
            heard.append(frame)
            known.append(sum(t != BLANK for t in wanted))
            wanted.append(token)
    for _ in range(STEPS):
        encoded = model.get_audio_features(features, attention_mask=mask, use_cache=False).pooler_output[0]
        predicted = model.decoder(before)[0]
        scores = model.joint(predicted[known], encoded[heard])
        loss = nn.functional.cross_entropy(scores, torch.tensor(wanted))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    print(f"loss {loss.item():.4f} after {STEPS} steps")
    return model.eval()


class Encoder(nn.Module):
    """Features [1, T, 80] to frames for the joiner, [1, T / 8, 24]."""

    def __init__(self, model: NemotronAsrStreamingForRNNT):
        super().__init__()
        self.model = model

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        mask = torch.arange(features.shape[1])[None] < lengths[:, None]
        return self.model.get_audio_features(features, attention_mask=mask, use_cache=False).pooler_output


class Predictor(nn.Module):
    """The last token [1, 1] and the state of an LSTM to a frame for the joiner, [1, 1, 24]."""

    def __init__(self, model: NemotronAsrStreamingForRNNT):
        super().__init__()
        self.decoder = model.decoder

    def forward(self, token: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, (h_next, c_next) = self.decoder.lstm(self.decoder.embedding(token), (h, c))
        return self.decoder.decoder_projector(out), h_next, c_next


class Joiner(nn.Module):
    """An encoder frame and a predictor frame to a score for every token."""

    def __init__(self, model: NemotronAsrStreamingForRNNT):
        super().__init__()
        self.joint = model.joint

    def forward(self, encoder: Tensor, predictor: Tensor) -> Tensor:
        return self.joint(predictor, encoder)


def export(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path, **more: Any) -> None:
    with torch.no_grad():
        made = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            **more,
        )
    proto = made.model_proto
    for node in proto.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(proto, path)


def main() -> None:
    warnings.filterwarnings("ignore")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    extractor = NemotronAsrStreamingFeatureExtractor()
    samples, rate = soundfile.read(SOUND, dtype="float32")
    heard = extractor(samples, sampling_rate=rate, return_tensors="pt")
    model = learnt(recogniser(), heard.input_features, heard.attention_mask)
    features = {"features": torch.randn(1, 160, 80), "lengths": torch.tensor([160])}
    times = ({1: torch.export.Dim.DYNAMIC}, None)
    export(Encoder(model).eval(), features, ["encoded"], folder / "encoder.onnx", dynamic_shapes=times)
    predicted = {"token": torch.tensor([[1]]), "h": torch.zeros(1, 1, 24), "c": torch.zeros(1, 1, 24)}
    export(Predictor(model).eval(), predicted, ["predicted", "h_next", "c_next"], folder / "predictor.onnx")
    frames = {"encoder": torch.zeros(1, 1, 24), "predictor": torch.zeros(1, 1, 24)}
    export(Joiner(model).eval(), frames, ["scores"], folder / "joiner.onnx")

    extractor.save_pretrained(folder)
    (folder / "tokens.txt").write_text("▁\n" + "".join(f"{letter}\n" for letter in LETTERS))
    with torch.no_grad():
        tokens = model.generate(**heard).sequences[0].tolist()
    spoken = [token for token in tokens if token not in (BLANK,)]
    np.savez_compressed(folder / "reference.npz", tokens=np.array(spoken))
    print(f"{len(spoken)} tokens: {spoken[:40]}")


if __name__ == "__main__":
    main()
