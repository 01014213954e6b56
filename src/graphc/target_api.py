"""What authors of targets import (docs/targets.md)."""

from graphc.devices.device import Array, Converted, Device, DeviceOptions, NativePort, OnnxPort, Runner, StreamingModel
from graphc.errors import TargetError

__all__ = [
    "Array",
    "Converted",
    "Device",
    "DeviceOptions",
    "NativePort",
    "OnnxPort",
    "Runner",
    "StreamingModel",
    "TargetError",
]
