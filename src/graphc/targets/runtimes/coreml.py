"""Core ML: https://apple.github.io/coremltools/, from a torch program that graphc writes."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

import onnx

from graphc.targets.runtimes.converter_process import convert_apart
from graphc.targets.runtimes.torch_runner import TorchRunner
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import NativePort, Runner
from graphc_runtime.native.runtimes.coreml import open_runner

CONVERT = """
import sys
from graphc.targets.runtimes.converter_process import in_this_process
from graphc.targets.runtimes.coreml import build
in_this_process(build, sys.argv[1:])
"""
NARROWED = {"int64": "int32", "bool": "int32", "float16": "float16", "float32": "float32", "int32": "int32"}
PACKAGE = ".mlpackage"


class CoreMl(Target):
    """Core ML. On other systems than Apple's, the package is built and checked, and a torch program runs instead."""

    name: ClassVar[str] = "coreml"
    summary: ClassVar[str] = "Apple's runtime: iOS, macOS, the Neural Engine; built here, run on Apple's systems"
    package: ClassVar[str] = "coremltools"
    module: ClassVar[str] = "coremltools"
    extra: ClassVar[str] = "coreml"
    license: ClassVar[str] = "BSD-3-Clause"
    suffixes: ClassVar[tuple[str, ...]] = (PACKAGE,)

    def runs_here(self) -> bool:
        return platform.system() == "Darwin"

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        ports = {p.name: p.native(NARROWED.get(str(p.dtype))) for p in model.ports}
        with TemporaryDirectory() as folder:
            source, home = Path(folder) / "model.onnx", Path(folder) / f"model{PACKAGE}"
            onnx.save(model.proto, source)
            convert_apart("Core ML's converter", CONVERT, [str(source), str(home)])
            check_ports(json.loads((Path(folder) / "ports.json").read_text()), ports)
            files = {f"{PACKAGE}/{p.relative_to(home)}": p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}
        manifest = f"{PACKAGE}/Manifest.json"
        files[manifest] = with_fixed_names(files[manifest])
        return Converted(files, ports, stand_in=None if self.runs_here() else TorchRunner(model.proto, ports))

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return open_runner(path, inputs, outputs, threads)


def build(source: str, written: str) -> None:
    """Writes the package of an ONNX model, and the shapes of its ports (ports.json beside it)."""
    import coremltools
    import torch

    from graphc.emit.torch_program.program import example_of, program_of

    model = onnx.load(source)
    program = program_of(model)
    example = example_of(model, program.inputs)
    with torch.no_grad():
        exported = torch.export.export(program, example, strict=False).run_decompositions({})
    made = coremltools.convert(
        exported,
        convert_to="mlprogram",
        minimum_deployment_target=coremltools.target.iOS17,
        compute_precision=coremltools.precision.FLOAT32,
        skip_model_load=True,
    )
    spec = made.get_spec()
    described = spec.description
    for ports, names in ((described.input, program.inputs), (described.output, program.outputs)):
        for old, new in zip([p.name for p in ports], names, strict=True):
            coremltools.utils.rename_feature(spec, old, new)
    coremltools.models.MLModel(spec, weights_dir=made.weights_dir, skip_model_load=True).save(written)
    found = {p.name: list(p.type.multiArrayType.shape) for side in (described.input, described.output) for p in side}
    Path(written).with_name("ports.json").write_text(json.dumps(found))


def check_ports(found: Mapping[str, list[int]], ports: Mapping[str, NativePort]) -> None:
    """Refuses a package whose ports are not those of the model.

    Errors:
        TargetError: names the ports that differ.
    """
    lost = [
        name for name, port in ports.items() if name not in found or (found[name] and found[name] != list(port.shape))
    ]
    if lost:
        raise TargetError(
            f"Core ML's converter lost these ports, or changed their shapes: {', '.join(lost)}",
            hint="leave the target coreml out, and report this model",
        )


def with_fixed_names(manifest: bytes) -> bytes:
    """A package's manifest with entries named by path, so that a model gives the same bytes each time."""
    text = json.loads(manifest)
    names = {old: str(uuid5(NAMESPACE_URL, entry["path"])).upper() for old, entry in text["itemInfoEntries"].items()}
    entries = sorted(text["itemInfoEntries"].items(), key=lambda item: str(item[1]["path"]))
    text["itemInfoEntries"] = {names[old]: entry for old, entry in entries}
    text["rootModelIdentifier"] = names[text["rootModelIdentifier"]]
    return json.dumps(text, indent=2).encode()


TARGET = CoreMl()
