"""The files of a compiled model that a device needs."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from graphc_runtime.contract.manifest import Manifest, parse_manifest
from graphc_runtime.errors import ModelError
from graphc_runtime.open_compiled import MANIFEST_SUFFIX, of_path
from graphc_runtime.pipeline.manifest import PIPELINE_MANIFEST, read_pipeline

SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class CompiledFiles:
    """A compiled model on disk.

    Args:
        stem: the common part of the file names.
        files: contents by file name: the model, its manifest, and the files that either of them names.
        decoder: the kind of decoder, if this is the joined model of a pipeline. ``files`` then also has the
            pipeline's manifest.
        target: the runtime that the model was converted for; None for onnxruntime.
    """

    stem: str
    manifest: Manifest
    files: dict[str, bytes]
    decoder: str | None = None
    target: str | None = None

    @property
    def model(self) -> str:
        """The file that a client opens."""
        return f"{self.stem}.onnx" if self.target is None else self.manifest.targets[self.target].file

    @property
    def rate(self) -> int:
        """Frames of the first stream input per second."""
        return round(1000 / self.manifest.frame_ms) if self.manifest.frame_ms else SAMPLE_RATE


def compiled_files(path: Path, target: str | None = None) -> CompiledFiles:
    """The files that a device needs, from the path of a compiled model, of its manifest, or of a pipeline's folder.

    Errors:
        ModelError: not a compiled model, not compiled for the target, or a file is missing.
    """
    if path.is_dir() or path.name == PIPELINE_MANIFEST:
        if target is not None:
            raise ModelError("a pipeline runs on onnxruntime", where=str(path), hint="leave --target out")
        return pipeline_files(path)
    stem = path.name.removesuffix(MANIFEST_SUFFIX).removesuffix(".onnx")
    model, beside = path.with_name(f"{stem}.onnx"), path.with_name(f"{stem}{MANIFEST_SUFFIX}")
    if target is None:
        manifest = of_path(model, 1, False, None).manifest
        weights = model.with_name(f"{stem}.onnx.data")
        names = [model.name, *([weights.name] if weights.exists() else [])]
    else:
        manifest = parse_manifest(read(beside), str(beside))
        names = files_of_target(beside, stem, manifest, target)
    first_values = path.with_name(f"{stem}.init.npz")
    names += [beside.name, *([first_values.name] if first_values.exists() else [])]
    content = {name: read(path.with_name(name)) for name in names}
    return CompiledFiles(stem, manifest, content, target=target)


def files_of_target(beside: Path, stem: str, manifest: Manifest, target: str) -> list[str]:
    """The names of the files that a conversion wrote beside the manifest, ``STEM.TARGET.*``.

    Errors:
        ModelError: the model was not compiled for the target, or its file is missing.
    """
    if target not in manifest.targets:
        known = ", ".join(manifest.targets) or "none"
        raise ModelError(
            f"the model was not compiled for the target '{target}'",
            where=str(beside),
            hint=f"its targets: {known}; name it under `targets` in the spec, and compile again",
        )
    found = sorted(p.name for p in beside.parent.iterdir() if p.name.startswith(f"{stem}.{target}.") and p.is_file())
    if manifest.targets[target].file not in found:
        raise ModelError(
            f"the target's file {manifest.targets[target].file} is not beside it",
            where=str(beside),
            hint="compile again: graphc compile SPEC",
        )
    return found


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as err:
        raise ModelError(f"it cannot be read: {err.strerror}", where=str(err.filename)) from err


def pipeline_files(path: Path) -> CompiledFiles:
    """The files that a device needs for a pipeline: the joined model, the decoder, and the stages that it calls.

    Errors:
        ModelError: not a pipeline, or one without a decoder.
    """
    pipeline, folder = read_pipeline(path)
    if pipeline.kind == "chain":
        raise ModelError(
            "a chain has no decoder", where=str(path), hint=f"write a client for its joined model: {pipeline.model}"
        )
    compiled = compiled_files(folder / pipeline.model)
    called = set() if pipeline.transducer is None else {pipeline.transducer.joiner.stage}
    if pipeline.transducer is not None and pipeline.transducer.predictor is not None:
        called.add(pipeline.transducer.predictor.stage)
    data = json.loads((folder / PIPELINE_MANIFEST).read_bytes())
    data["stages"] = [stage for stage in data["stages"] if stage["name"] in called]
    files = {**compiled.files, PIPELINE_MANIFEST: (json.dumps(data, indent=1, sort_keys=True) + "\n").encode()}
    for stage in data["stages"]:
        beside = [folder / stage["model"], folder / f"{stage['name']}.init.npz"]
        files |= {p.name: p.read_bytes() for p in beside if p.exists()}
    return replace(compiled, files=files, decoder=pipeline.kind)
