"""What a device's runtime is to graphc: how a streaming model becomes its own, and how that is run."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from graphc.devices.own_environment import OwnEnvironment
from graphc.errors import InstallError

Array = NDArray[Any]


@dataclass(frozen=True)
class NativePort:
    """A port of the ONNX model in the runtime's own terms.

    A native input is the ONNX value transposed by ``permutation``, reshaped to ``shape`` and cast to ``dtype``; an
    output goes the other way.

    Args:
        name, index: what the runtime calls it, by name or by place; None where it has no such thing.
        permutation: the order of the ONNX axes; None where they stay.
    """

    name: str | None
    index: int | None
    dtype: str
    shape: tuple[int, ...]
    permutation: tuple[int, ...] | None = None

    def to_native(self, value: Array) -> Array:
        if self.permutation is None and value.shape == self.shape and value.dtype == self.dtype:
            return np.ascontiguousarray(value)
        moved = value if self.permutation is None else np.transpose(value, self.permutation)
        return np.ascontiguousarray(moved.reshape(self.shape), dtype=self.dtype)

    def from_native(self, value: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """The ONNX value of a native one.

        Errors:
            ValueError: it has another number of entries than the port.
        """
        if self.permutation is None and value.shape == shape and value.dtype == dtype:
            return value
        if self.permutation is None:
            return np.asarray(value).reshape(shape).astype(dtype, copy=False)
        moved = np.asarray(value).reshape([shape[axis] for axis in self.permutation])
        return np.transpose(moved, np.argsort(self.permutation)).astype(dtype, copy=False)


@dataclass(frozen=True)
class OnnxPort:
    """A port of the compiled model: every size is fixed."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def native(self) -> NativePort:
        """The port of a runtime that keeps its name, dtype and shape."""
        return NativePort(self.name, None, str(self.dtype), self.shape)


@dataclass(frozen=True)
class Converted:
    """A model in a runtime's own form.

    Args:
        files: by suffix, such as ``.xml``; the first is the one that is opened. None where the runtime reads the ONNX
            model itself.
        ports: by the name of the ONNX port.
        notes: what the report should say.
    """

    files: Mapping[str, bytes]
    ports: Mapping[str, NativePort]
    notes: tuple[str, ...] = ()


class DeviceOptions(BaseModel):
    """What every target takes."""

    model_config = ConfigDict(extra="forbid")


class Runner(ABC):
    """An opened model. Values are the runtime's own."""

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """One call: native inputs by ONNX name in, native outputs by ONNX name out."""


class Device(ABC):
    """A runtime, which a module of ``graphc.devices`` or an entry point of ``graphc.targets`` names as ``DEVICE``.

    Args:
        name: the spec's word for it.
        summary: what it is and where it runs, in a line.
        package: the distribution that runs it, as pip knows it; ``module`` is what that imports.
        extra: the extra of graphc that installs it.
        license: of the runtime.
        leaves_out: rewrites of fuse whose graphs it does not take.
        converter: the environment of a converter that cannot live beside graphc.
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
    converter: ClassVar[OwnEnvironment | None] = None
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
            InstallError: the runtime is not installed, or its converter's environment is not made.
        """
        found = self.version()
        if found is None:
            raise InstallError(
                f"the runtime of the target {self.name} is not installed", hint=f"pip install 'graphc[{self.extra}]'"
            )
        if self.converter is not None:
            self.converter.check_made()
        return found

    @abstractmethod
    def convert(self, model: onnx.ModelProto, ports: Sequence[OnnxPort], options: Any) -> Converted:
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
