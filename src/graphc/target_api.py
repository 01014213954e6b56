"""The public names of graphc for authors of targets (docs/targets/add-a-target.md)."""

from graphc.targets.by_rules import Finding, Seen, TargetByRules
from graphc.targets.target import Converted, StreamingModel, Target, TargetOptions
from graphc_runtime.errors import TargetError
from graphc_runtime.native.held_state import HeldOutput
from graphc_runtime.native.ports import Array, NativePort, OnnxPort, Runner

__all__ = [
    "Array",
    "Converted",
    "Finding",
    "HeldOutput",
    "NativePort",
    "OnnxPort",
    "Runner",
    "Seen",
    "StreamingModel",
    "Target",
    "TargetByRules",
    "TargetError",
    "TargetOptions",
]
