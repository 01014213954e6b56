"""The interface to a device's runtime: it converts a streaming model, and runs the result."""

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
    """A compiled ONNX model for a target to convert.

    Args:
        proto: the model, with its weights inside and every size fixed.
        ports: the inputs and outputs of the model.
        states: for each state's input, the output that holds its value for the next call.
        calls: a function that yields the inputs of each call on the validation streams, for quantizers that calibrate.
            Each item has every input.
    """

    proto: onnx.ModelProto
    ports: Sequence[OnnxPort]
    states: Mapping[str, str]
    calls: Callable[[], Iterator[Mapping[str, Array]]]

    def calibration(self) -> Iterator[Mapping[str, Array]]:
        """The calls that a quantizer calibrates on."""
        return islice(self.calls(), CALIBRATION_CALLS)

    def native(self) -> dict[str, NativePort]:
        """The ports of a runtime that changes no name, dtype or shape."""
        return {port.name: port.native() for port in self.ports}


@dataclass(frozen=True)
class Converted:
    """A model in a runtime's own form.

    Args:
        files: contents by suffix, such as ``.xml``. The first is the file to open, or is in the folder to open. Empty
            if the runtime reads the ONNX model itself.
        ports: the native ports by the name of the ONNX port.
        stateful: whether the states are variables inside the model; the ports of states then name these variables.
        findings: for a runtime that is only checked by rules, the nodes that it does not support; ``source`` is the
            address of the rules.
        stand_in: if the runtime does not run on this system, a runner of the model before the last conversion step.
    """

    files: Mapping[str, bytes]
    ports: Mapping[str, NativePort]
    stateful: bool = False
    stand_in: Runner | None = None
    findings: tuple[Any, ...] | None = None
    source: str | None = None


class TargetOptions(BaseModel):
    """The options that every target takes."""

    model_config = ConfigDict(extra="forbid")

    def least_snr_db(self) -> float | None:
        """The lowest allowed SNR in dB if the spec gives no tolerance. None if the options change no numbers."""
        return None


QUANTIZED_SNR_DB = 30.0


class QuantizingOptions(TargetOptions):
    """Options of a target that brings its own quantizer."""

    quantize: str | None = None

    def least_snr_db(self) -> float | None:
        return None if self.quantize is None else QUANTIZED_SNR_DB


class Target(ABC):
    """A runtime: the ``TARGET`` of a module of ``graphc.targets.runtimes``, or of an entry point of ``graphc.targets``.

    ``convert`` makes the runtime's file here; a module of ``graphc_runtime.native.runtimes`` runs it on the device, and
    ``open`` returns the ``Runner`` of that module.

    Args:
        name: the name of the target in a spec.
        summary: one line on what the runtime is and where it runs.
        package: the name of the runtime for pip; ``module`` is the module to import.
        extra: the extra of graphc that installs the runtime.
        license: the license of the runtime.
        leaves_out: rewrites of ``fuse`` whose graphs the runtime does not support.
        suffixes: the suffixes, after ``STEM.NAME``, of the files written beside the ONNX model.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    package: ClassVar[str]
    module: ClassVar[str]
    extra: ClassVar[str]
    license: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    leaves_out: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[TargetOptions]] = TargetOptions

    def version(self) -> str | None:
        """The version of the runtime. None if it is not installed."""
        if importlib.util.find_spec(self.module.split(".")[0]) is None:
            return None
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def check_installed(self) -> str:
        """The version of the runtime.

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
        """Whether the runtime, if installed, runs on this system."""
        return True

    def ops(self) -> list[str] | None:
        """The ONNX ops that the runtime supports. None if they are not known without a model."""
        return None

    @abstractmethod
    def convert(self, model: StreamingModel, options: Any) -> Converted:
        """The model in the runtime's form.

        Errors:
            TargetError: the runtime does not support the model; names the node if it is known.
        """

    @abstractmethod
    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        """Opens a converted model. ``path`` is its first file, or the ONNX model. Ports are keyed by ONNX name.

        Errors:
            TargetError: the runtime does not accept the file.
        """
