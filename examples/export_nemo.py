"""Exports a streaming Conformer from nemo-toolkit twice, with a short and a longer table of relative positions.

Needs ``pip install nemo-toolkit[asr]`` in an environment of its own (3.0.0 was used). The weights are random and the
same in both. NeMo reads the middle of its table, so with the short one the offline model ends at 2,041 frames. A stream
needs only the nearest distances.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parent / "nemo"
TABLES = {"short_table": 256, "long_table": 800}
SMALL = {
    "feat_in": 40,
    "n_layers": 2,
    "d_model": 16,
    "n_heads": 4,
    "ff_expansion_factor": 2,
    "conv_kernel_size": 5,
    "subsampling": "dw_striding",
    "subsampling_factor": 8,
    "subsampling_conv_channels": 4,
    "causal_downsampling": True,
    "att_context_size": [8, 3],
    "att_context_style": "chunked_limited",
    "conv_context_size": "causal",
    "conv_norm_type": "layer_norm",
}


class NoTelemetry(MetaPathFinder, Loader):
    """Stands in for the telemetry packages that nemo-toolkit imports; nothing here needs them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        is_telemetry = name.split(".")[0] == "nv_one_logger"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if is_telemetry else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module: Any = MagicMock()
        module.__path__, module.__name__, module.__spec__ = [], spec.name, spec
        module.TimeEventCallback = type("TimeEventCallback", (), {"__init__": lambda *_, **__: None})
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


class Encoder(nn.Module):
    """A ConformerEncoder as a function of frames and their number."""

    def __init__(self, positions: int, **options: object):
        from nemo.collections.asr.modules import ConformerEncoder

        super().__init__()
        torch.manual_seed(0)
        self.network = ConformerEncoder(**{**SMALL, "pos_emb_max_len": positions, **options}).eval()
        self.network.set_max_audio_length(positions)
        self.network.export_cache_support = False

    def forward(self, audio_signal: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        encoded, lengths = self.network(audio_signal=audio_signal, length=length)
        return encoded, lengths


def export(model: nn.Module, path: Path) -> None:
    torch.onnx.export(
        model,
        (torch.randn(1, 40, 203), torch.tensor([203])),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["audio_signal", "length"],
        output_names=["outputs", "encoded_lengths"],
        dynamic_axes={"audio_signal": {2: "T"}},
    )


def main() -> None:
    sys.meta_path.insert(0, NoTelemetry())
    FOLDER.mkdir(exist_ok=True)
    for name, positions in TABLES.items():
        export(Encoder(positions), FOLDER / f"{name}.onnx")


if __name__ == "__main__":
    main()
