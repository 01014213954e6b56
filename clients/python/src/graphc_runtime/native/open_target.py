"""Opens the file of a compiled model that was converted for a target."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules

import numpy as np

from graphc_runtime.contract.manifest import Manifest, NativePortEntry, PortEntry, StateEntry
from graphc_runtime.errors import InstallError, ModelError, TargetError
from graphc_runtime.native import runtimes
from graphc_runtime.native.ports import NativePort, OnnxPort, Runner
from graphc_runtime.native.session import NativeSession

GROUP = "graphc.targets"
BUILT_IN = frozenset(module.name for module in iter_modules(runtimes.__path__))
Opener = Callable[[Path, Mapping[str, NativePort], Mapping[str, NativePort], int], Runner]


def open_target(manifest: Manifest, target: str, folder: Path, threads: int) -> NativeSession:
    """Opens a session for the file of a target, which must be in the manifest's folder.

    Errors:
        ModelError: the model was not compiled for the target, or its file is not beside the manifest.
        InstallError: the runtime is not installed.
        TargetError: the target does not run here, or its runtime cannot load the file.
    """
    entry = manifest.targets.get(target)
    if entry is None:
        known = ", ".join(manifest.targets) or "none"
        raise ModelError(
            f"the model was not compiled for the target '{target}'", hint=f"its targets: {known}; name it in the spec"
        )
    path = folder / entry.file
    if Path(entry.file).name != entry.file or path.is_symlink() or not path.exists():
        raise ModelError(f"the target '{target}' is '{entry.file}', which is not a file beside the manifest")
    opener = opener_of(target)
    inputs, outputs = ports_of(manifest)
    native = {name: native_port(port) for name, port in entry.ports.items()}
    states = {s.input: s.output for s in manifest.states}
    for port in (*inputs, *outputs):
        check_native(target, port, native)
    try:
        runner = opener(
            path, {p.name: native[p.name] for p in inputs}, {p.name: native[p.name] for p in outputs}, threads
        )
    except ImportError as err:
        raise InstallError(
            f"the runtime of the target {target} is not installed", hint=f"pip install 'graphc-runtime[{target}]'"
        ) from err
    return NativeSession(target, runner, inputs, outputs, native, states)


def opener_of(target: str) -> Opener:
    """The function that opens a target's files: from a module of ``runtimes``, or from a plugin's entry point.

    Errors:
        TargetError: no module or plugin provides the target, or a plugin cannot be imported.
    """
    if target in BUILT_IN:
        opener: Opener = importlib.import_module(f"graphc_runtime.native.runtimes.{target}").open_runner
        return opener
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load().TARGET
        except Exception as err:
            raise TargetError(
                f"looking for the target '{target}': the plugin '{entry.name}' ({entry.value}) cannot be loaded: "
                f"{type(err).__name__}: {err}",
                hint="uninstall that package, or fix it",
            ) from err
        if found.name == target:
            named: Opener = found.open
            return named
    raise TargetError(
        f"the target '{target}' does not run here", hint="open another target, or install the package that provides it"
    )


def ports_of(manifest: Manifest) -> tuple[list[OnnxPort], list[OnnxPort]]:
    """The inputs and outputs of the ONNX model, including those of its states and the count of valid frames."""
    inputs = [onnx_port(p, p.name) for p in manifest.inputs] + [onnx_port(s, s.input) for s in manifest.states]
    if manifest.valid_frames is not None:
        inputs.append(OnnxPort(manifest.valid_frames, np.dtype(np.int64), (manifest.streams or 1,)))
    outputs = [onnx_port(p, p.name) for p in manifest.outputs] + [onnx_port(s, s.output) for s in manifest.states]
    return inputs, outputs


def onnx_port(entry: PortEntry | StateEntry, name: str) -> OnnxPort:
    sizes: Sequence[object] = entry.shape
    fixed = tuple(size for size in sizes if isinstance(size, int))
    if len(fixed) != len(sizes):
        raise ModelError(f"the port '{name}' has an open size, which no target takes")
    return OnnxPort(name, np.dtype(entry.dtype), fixed)


def native_port(entry: NativePortEntry) -> NativePort:
    order = None if entry.permutation is None else tuple(entry.permutation)
    return NativePort(entry.name, entry.index, entry.dtype, tuple(entry.shape), order)


def check_native(target: str, port: OnnxPort, native: dict[str, NativePort]) -> None:
    """Refuses a manifest whose native port does not fit the ONNX port.

    Errors:
        ModelError: names the port.
    """
    found = native.get(port.name)
    fits = (
        found is not None
        and np.prod(found.shape, dtype=np.int64) == np.prod(port.shape, dtype=np.int64)
        and (found.permutation is None or sorted(found.permutation) == list(range(len(port.shape))))
        and np.dtype(found.dtype).kind in "fiub"
    )
    if not fits:
        raise ModelError(f"the manifest's target '{target}' has no port for '{port.name}'")
