"""The interface to a device's runtime: how a streaming model is converted for it, and how the result is run."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import onnx
from pydantic import BaseModel, ConfigDict

from graphc_runtime.errors import InstallError
from graphc_runtime.native.ports import Array, NativePort, OnnxPort, Runner

CALIBRATION_CALLS = 300


@dataclass(frozen=True)
class StreamingModel:
    """What a target converts: a compiled ONNX model.

    Args:
        proto: with its weights inside and every size fixed.
        ports: its inputs and outputs.
        states: by input, the output that holds the value for the next call.
        calls: what goes into the model, call by call, over the streams of the validation: for quantizers that
            calibrate. An item holds every input.
    """

    proto: onnx.ModelProto
    ports: Sequence[OnnxPort]
    states: Mapping[str, str]
    calls: Callable[[], Iterator[Mapping[str, Array]]]

    def calibration(self) -> Iterator[Mapping[str, Array]]:
        """The calls that a quantizer calibrates on."""
        return islice(self.calls(), CALIBRATION_CALLS)

    def native(self) -> dict[str, NativePort]:
        """The ports of a runtime that keeps every name, dtype and shape."""
        return {port.name: port.native() for port in self.ports}


@dataclass(frozen=True)
class Converted:
    """A model in a runtime's own form.

    Args:
        files: by suffix, such as ``.xml``; the first is the one that is opened, or the folder that it lies in. None
            where the runtime reads the ONNX model itself.
        ports: by the name of the ONNX port.
        stateful: the model keeps its states; their ports name its variables.
        findings: of a runtime that is checked by rules alone, the nodes that it does not take; ``source`` says where
            the rules stand.
        stand_in: if the runtime does not run on this system, a runner of the model as it was before the last step.
    """

    files: Mapping[str, bytes]
    ports: Mapping[str, NativePort]
    stateful: bool = False
    stand_in: Runner | None = None
    findings: tuple[Any, ...] | None = None
    source: str | None = None


class DeviceOptions(BaseModel):
    """The options that every target takes."""

    model_config = ConfigDict(extra="forbid")

    def least_snr_db(self) -> float | None:
        """The SNR that the result must reach against the offline model, if the options change numbers and the spec
        gives no tolerance; None if they change none."""
        return None


QUANTIZED_SNR_DB = 30.0


class QuantizingOptions(DeviceOptions):
    """Options of a target that brings its own quantizer."""

    quantize: str | None = None

    def least_snr_db(self) -> float | None:
        return None if self.quantize is None else QUANTIZED_SNR_DB


class Device(ABC):
    """A runtime: the ``DEVICE`` of a module of ``graphc.devices.runtimes``, or of an entry point of ``graphc.targets``.

    Args:
        name: the spec's word for it.
        summary: what it is and where it runs, in a line.
        package: the distribution that runs it, as pip knows it; ``module`` is what that imports.
        extra: the extra of graphc that installs it.
        license: of the runtime.
        leaves_out: rewrites of fuse whose graphs it does not take.
        suffixes: of what is written beside the ONNX model, behind ``STEM.NAME``.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    package: ClassVar[str]
    module: ClassVar[str]
    extra: ClassVar[str]
    license: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    leaves_out: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[DeviceOptions]] = DeviceOptions

    def version(self) -> str | None:
        """The version of the runtime; None where it is not installed."""
        if importlib.util.find_spec(self.module.split(".")[0]) is None:
            return None
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def check_installed(self) -> str:
        """The version.

        Errors:
            InstallError: the runtime is not installed.
        """
        found = self.version()
        if found is None:
            raise InstallError(
                f"the runtime of the target {self.name} is not installed", hint=f"pip install 'graphc[{self.extra}]'"
            )
        return found

    def runs_here(self) -> bool:
        """Whether the runtime runs on this system, where it is installed."""
        return True

    def ops(self) -> list[str] | None:
        """The ONNX ops that it takes, if they are known without a model."""
        return None

    @abstractmethod
    def convert(self, model: StreamingModel, options: Any) -> Converted:
        """The model in the runtime's form.

        Errors:
            TargetError: the runtime does not take it; names the node where that is known.
        """

    @abstractmethod
    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        """A converted model, opened. ``path`` is its first file, or the ONNX model; the ports are by ONNX name.

        Errors:
            TargetError: the runtime does not take it.
        """
