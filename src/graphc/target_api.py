"""What authors of targets import (docs/targets/add-a-target.md)."""

from graphc.devices.by_rules import DeviceByRules, Finding, Seen
from graphc.devices.device import Array, Converted, Device, DeviceOptions, NativePort, OnnxPort, Runner, StreamingModel
from graphc.devices.held_state import HeldOutput
from graphc.errors import TargetError

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
