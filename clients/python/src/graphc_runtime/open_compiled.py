"""Opens a compiled model: its manifest, first values and runtime, which must fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graphc_runtime.contract.first_values import first_values_in
from graphc_runtime.contract.manifest import METADATA_KEY, Manifest, PortEntry, parse_manifest
from graphc_runtime.errors import ModelError
from graphc_runtime.native.open_target import open_target
from graphc_runtime.ort_model import OrtModel, Runs, open_file
from graphc_runtime.stream_buffer import Arrays

MANIFEST_SUFFIX = ".manifest.json"


@dataclass(frozen=True)
class Compiled:
    """An opened model: its manifest, the runner that calls it, and the first value of every state."""

    manifest: Manifest
    runner: Runs
    first: Arrays


def opened(model: str | Path | Compiled, threads: int, exact: bool = False, target: str | None = None) -> Compiled:
    """Opens a compiled model if ``model`` is a path, and checks that the model and its manifest fit each other.

    Errors:
        ModelError: the model was not compiled by graphc, or its manifest or first values do not fit.
        InstallError: the target's runtime is not installed.
        TargetError: the runtime cannot load the model's file.
    """
    if not isinstance(model, Compiled):
        return of_path(Path(model), threads, exact, target)
    check_ports(model.manifest, model.runner)
    return model


def check_ports(manifest: Manifest, runner: Runs) -> None:
    """Refuses a manifest that does not fit its model.

    Errors:
        ModelError: names the ports.
    """
    taken = {s.input for s in manifest.states} | {i.name for i in manifest.inputs}
    given = {s.output for s in manifest.states} | {o.name for o in manifest.outputs}
    if manifest.valid_frames is not None:
        taken.add(manifest.valid_frames)
    lost = (taken - set(runner.input_names)) | (given - set(runner.output_names))
    if lost:
        raise ModelError(f"the manifest names ports that the model does not have: {', '.join(sorted(lost))}")
    for entry in [*manifest.inputs, *manifest.outputs]:
        check_frames(entry, runner, manifest.chunk is None)
        check_shape(entry.name, entry.shape, runner)
    for state in manifest.states:
        check_shape(state.input, state.shape, runner)


def check_frames(entry: PortEntry, runner: Runs, dynamic: bool) -> None:
    """Refuses a port whose number of frames contradicts its shape in the manifest.

    Errors:
        ModelError: names the port.
    """
    if entry.axis is not None and (
        entry.axis >= len(entry.shape) or entry.shape[entry.axis] != entry.frames or (entry.frames is None) != dynamic
    ):
        raise ModelError(f"the manifest's port '{entry.name}' has the shape {entry.shape} and {entry.frames} frames")


def check_shape(name: str, shape: Sequence[int | str | None], runner: Runs) -> None:
    """Refuses a shape in the manifest that differs from the shape of the model's port.

    Errors:
        ModelError: names the port.
    """
    declared = runner.shapes.get(name)
    if declared and not (
        len(declared) == len(shape)
        and all(not isinstance(d, int) or d == s for d, s in zip(declared, shape, strict=True))
    ):
        raise ModelError(f"the manifest says that '{name}' has the shape {list(shape)}, the model {declared}")


def of_path(path: Path, threads: int, exact: bool, target: str | None) -> Compiled:
    """Opens a compiled model, whose metadata contains the manifest, or a manifest and the model in the same folder.

    Errors:
        ModelError: a file cannot be read, or contains no manifest.
    """
    if path.name.endswith(MANIFEST_SUFFIX):
        try:
            text = path.read_bytes()
        except OSError as err:
            raise ModelError(f"the manifest cannot be read: {err.strerror}", where=str(path)) from err
        manifest = parse_manifest(text, str(path))
        stem = path.name.removesuffix(MANIFEST_SUFFIX)
        model = None if target is not None else open_file(path.with_name(f"{stem}.onnx"), threads, exact)
    else:
        model = open_file(path, threads, exact)
        manifest = manifest_in(model, path)
    runner = model if model is not None and target is None else open_target(manifest, str(target), path.parent, threads)
    check_ports(manifest, runner)
    return Compiled(manifest, runner, first_values_in(manifest, path.parent))


def manifest_in(model: OrtModel, path: Path) -> Manifest:
    text = model.metadata(METADATA_KEY)
    if text is None:
        raise ModelError(
            "not a model compiled by graphc: it holds no manifest",
            where=str(path),
            hint="compile it, and give the output: graphc compile SPEC",
        )
    return parse_manifest(text, str(path))
