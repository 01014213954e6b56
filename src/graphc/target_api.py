"""What authors of targets import (docs/targets/add-a-target.md)."""

from graphc.devices.by_rules import DeviceByRules, Finding, Seen
from graphc.devices.device import Converted, Device, DeviceOptions, StreamingModel
from graphc_runtime.errors import TargetError
from graphc_runtime.native.held_state import HeldOutput
from graphc_runtime.native.ports import Array, NativePort, OnnxPort, Runner

__all__ = [
    "Array",
    "Converted",
    "Device",
    "DeviceByRules",
    "DeviceOptions",
    "Finding",
    "HeldOutput",
    "NativePort",
    "OnnxPort",
    "Runner",
    "Seen",
    "StreamingModel",
    "TargetError",
]
