"""Makes a model's files. The manifest is in and beside the model; first values and large weights have own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from graphc.ir.model import EXTERNAL_DATA_LIMIT, Model
from graphc.ir.sizes import size_of
from graphc.ir.weights.weight_files import ALIGNED, array_of, is_kept, loaded, placed
from graphc.manifest.make_manifest import manifest_of, npz, to_json
from graphc.manifest.static_ports import with_static_ports
from graphc.system.files import Buffer, Content, Pieces, digest
from graphc_runtime.contract.manifest import METADATA_KEY

SMALLEST_EXTERNAL = 1024
SUFFIXES = {
    "init": ".init.npz",
    "manifest": ".manifest.json",
    "report": ".report.json",
    "page": ".report.html",
    "data": ".onnx.data",
    "model": ".onnx",
}


def paths_beside(model: Path) -> dict[str, Path]:
    """The paths of a compilation's files, by the keys of ``SUFFIXES``. ``model`` is the path that ends in .onnx."""
    stem = model.with_suffix("")
    return {what: stem.with_name(stem.name + suffix) for what, suffix in SUFFIXES.items()}


def model_files(
    path: Path, model: Model, written: onnx.ModelProto, metadata: Mapping[str, str], targets: Mapping[str, Any]
) -> dict[Path, Content]:
    """The contents of a model's files, by path: the model and, if it streams, its manifest and first values.

    Args:
        path: the path of the model.
        written: the model as ONNX.
        metadata: metadata to add to the model.
        targets: the manifest's entries for targets.
    """
    paths = paths_beside(path)
    proto = onnx.ModelProto()
    proto.CopyFrom(written)
    files: dict[Path, Content] = {}
    for key, value in metadata.items():
        set_metadata(proto, key, value)
    if model.signature is not None:
        manifest, arrays = manifest_of(model, paths["model"].stem)
        if arrays:
            files[paths["init"]] = npz(arrays)
            manifest["init_sha256"] = digest(files[paths["init"]])
        if targets:
            manifest["targets"] = dict(targets)
        files[paths["manifest"]] = to_json(manifest).encode()
        proto = with_static_ports(proto, manifest)
        set_metadata(proto, METADATA_KEY, json.dumps(manifest, sort_keys=True))
    if size_of(proto) >= EXTERNAL_DATA_LIMIT:
        files[paths["data"]] = moved_out(proto, paths["data"].name)
    proto = loaded(proto)
    files[paths["model"]] = proto.SerializeToString(deterministic=True)
    return files


def moved_out(proto: onnx.ModelProto, location: str) -> Pieces:
    """Moves the larger weights of a model into one file, aligned for memory mapping. Returns the file's content."""
    parts: list[Buffer] = []
    end = 0
    for tensor in proto.graph.initializer:
        data = (
            memoryview(array_of(tensor).ravel().view(np.uint8).data) if is_kept(tensor) else memoryview(tensor.raw_data)
        )
        if data.nbytes < SMALLEST_EXTERNAL:
            continue
        offset = -(-end // ALIGNED) * ALIGNED
        parts += [bytes(offset - end), data]
        end = offset + data.nbytes
        tensor.ClearField("raw_data")
        placed(tensor, location, offset, data.nbytes)
        tensor.data_location = onnx.TensorProto.EXTERNAL
    return Pieces(tuple(parts))


def set_metadata(proto: onnx.ModelProto, key: str, value: str) -> None:
    for prop in proto.metadata_props:
        if prop.key == key:
            prop.value = value
            return
    proto.metadata_props.add(key=key, value=value)
