"""NeMo: its encoders and predictor through its own ``export``."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

from zoo.recipe import Package

package = Package("nemo-toolkit", "nemo")
CACHE_AWARE: dict[str, Any] = {
    "feat_in": 40,
    "n_layers": 2,
    "d_model": 32,
    "n_heads": 4,
    "ff_expansion_factor": 2,
    "conv_kernel_size": 5,
    "subsampling": "dw_striding",
    "subsampling_factor": 8,
    "subsampling_conv_channels": 8,
    "causal_downsampling": True,
    "att_context_size": [8, 3],
    "att_context_style": "chunked_limited",
    "conv_context_size": "causal",
    "conv_norm_type": "layer_norm",
}
OFFLINE = {
    "att_context_size": [-1, -1],
    "att_context_style": "regular",
    "causal_downsampling": False,
    "conv_context_size": None,
    "conv_norm_type": "batch_norm",
}
BLOCK: dict[str, Any] = {
    "filters": 64,
    "repeat": 1,
    "kernel": [11],
    "stride": [1],
    "dilation": [1],
    "dropout": 0.0,
    "residual": False,
    "separable": True,
}
TIME = {"audio_signal": 2}
EMBEDDING = "a window as long as the utterances that it was trained on, because one embedding has no frames"


class Telemetry(MetaPathFinder, Loader):
    """Stands in for the telemetry packages that NeMo imports; nothing here needs them."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        is_telemetry = name.split(".")[0] == "nv_one_logger"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if is_telemetry else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module: Any = MagicMock()
        module.__path__, module.__name__, module.__spec__ = [], spec.name, spec
        module.TimeEventCallback = type("TimeEventCallback", (), {"__init__": lambda *_, **__: None})
        stand_in: ModuleType = module
        return stand_in

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def write(module: str, path: Path, **options: Any) -> None:
    """Exports a module of NeMo as NeMo does."""
    sys.meta_path.insert(0, Telemetry())
    from nemo.collections.asr import modules

    getattr(modules, module)(**options).eval().export(str(path))


@package.network("recogniser", "FastConformer, cache-aware: chunks of 4, 8 to the left", TIME, ("nemo",))
def fastconformer(path: Path) -> None:
    write("ConformerEncoder", path, **CACHE_AWARE)


@package.network(
    "recogniser",
    "FastConformer: attention over all frames",
    TIME,
    ("nemo",),
    passes={"lift_state": {"attention": {"left": 32, "right": 4}}},
)
def fastconformer_offline(path: Path) -> None:
    write("ConformerEncoder", path, **(CACHE_AWARE | OFFLINE))


@package.network("recogniser", "QuartzNet", TIME, ("nemo",))
def quartznet(path: Path) -> None:
    blocks = [BLOCK, BLOCK | {"residual": True, "repeat": 2}, BLOCK | {"kernel": [15]}]
    write("ConvASREncoder", path, jasper=blocks, activation="relu", feat_in=40)


@package.network(
    "speaker", "TitaNet encoder: squeeze and excitation over the utterance", TIME, ("nemo",), instead=EMBEDDING
)
def titanet(path: Path) -> None:
    blocks = [BLOCK, BLOCK | {"se": True, "se_context_size": -1}]
    write("ConvASREncoder", path, jasper=blocks, activation="relu", feat_in=40)


@package.network("recogniser", "RNN-T predictor with its own states", {"targets": 1}, ("nemo",))
def predictor(path: Path) -> None:
    prednet = {"pred_hidden": 32, "pred_rnn_layers": 1, "t_max": None, "dropout": 0.0}
    write("RNNTDecoder", path, prednet=prednet, vocab_size=30)
