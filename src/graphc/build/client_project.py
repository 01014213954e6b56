"""A small project that streams one compiled model, in the language of the device."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2

from graphc_runtime.contract.manifest import Manifest, OutputEntry, PortEntry
from graphc_runtime.errors import ModelError
from graphc_runtime.open_compiled import MANIFEST_SUFFIX, of_path
from graphc_runtime.pipeline.manifest import PIPELINE_MANIFEST, read_pipeline
from graphc_runtime.stream_buffer import StreamBuffer

RESERVED = frozenset(
    """and auto bool call char class count double failed file float int long main new np operator register rest rng seed
    session short signed static stream template this typename unsigned virtual void words at""".split()  # noqa: SIM905
)
NOISE_IN_CPP = "static_cast<{}>(((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0 - 1.0)"
CPP = {"float32": "float", "float64": "double", "bool": "bool", "float16": "uint16_t", "bfloat16": "uint16_t"}
WEB_SOURCES = (
    "first_values",
    "frames",
    "index",
    "manifest",
    "microphone",
    "ring",
    "spectrum",
    "stream",
    "tap",
    "trigger",
    "worker",
)
WEB_RUNTIME = "1.30.0"
SAMPLE_RATE = 16_000


@dataclass(frozen=True)
class CompiledFiles:
    """A compiled model on disk.

    Args:
        stem: the common part of its files' names.
        files: the model, its manifest, and what both name, by file name.
        decoder: the decoder, if it is the joined model of a pipeline, whose manifest is among the files.
    """

    stem: str
    manifest: Manifest
    files: dict[str, bytes]
    decoder: str | None = None

    @property
    def rate(self) -> int:
        """Frames of the first stream input per second."""
        return round(1000 / self.manifest.frame_ms) if self.manifest.frame_ms else SAMPLE_RATE


def compiled_files(path: Path) -> CompiledFiles:
    """What a device needs of a compiled model, given by its path, its manifest's, or a pipeline's folder.

    Errors:
        ModelError: not a compiled model, or a file is missing.
    """
    if path.is_dir() or path.name == PIPELINE_MANIFEST:
        return pipeline_files(path)
    stem = path.name.removesuffix(MANIFEST_SUFFIX).removesuffix(".onnx")
    model = path.with_name(f"{stem}.onnx")
    manifest = of_path(model, 1, False, None).manifest
    names = [f"{stem}.onnx", f"{stem}{MANIFEST_SUFFIX}"]
    names += [p.name for p in (path.with_name(f"{stem}.init.npz"), path.with_name(f"{stem}.onnx.data")) if p.exists()]
    try:
        return CompiledFiles(stem, manifest, {name: path.with_name(name).read_bytes() for name in names})
    except OSError as err:
        raise ModelError(f"it cannot be read: {err.strerror}", where=str(err.filename)) from err


def pipeline_files(path: Path) -> CompiledFiles:
    """What a device needs of a pipeline: the joined model, the decoder, and the stages that are called on their own.

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


def project_of(compiled: CompiledFiles, language: str) -> dict[str, bytes]:
    """The files of a project, by their paths in it.

    Errors:
        ModelError: a decoder that the language lacks.
    """
    if compiled.decoder not in (None, "trigger") and language != "python":
        raise ModelError(
            f"{language} has no decoder of kind {compiled.decoder}",
            hint=f"use --language python, or write a client for the joined model: {compiled.stem}.onnx",
        )
    return {**compiled.files, **PROJECTS[language](compiled)}


def python_project(compiled: CompiledFiles) -> dict[str, bytes]:
    return {
        "stream.py": rendered(f"python/project/{'pipeline' if compiled.decoder else 'stream'}.py.jinja", compiled),
        "requirements.txt": b"graphc-runtime\n",
    }


def cpp_project(compiled: CompiledFiles) -> dict[str, bytes]:
    package = find_spec("onnxruntime")
    capi = Path(package.origin).parent / "capi" if package is not None and package.origin else ""
    headers = {"graphc.hpp", *(["graphc_trigger.hpp"] if compiled.decoder else [])}
    headers |= {"graphc_batch.hpp"} if compiled.manifest.streams is not None else set()
    return {
        **{f"graphc/{name}": source(f"cpp/{name}") for name in sorted(headers)},
        "main.cpp": rendered(f"cpp/project/{'pipeline' if compiled.decoder else 'main'}.cpp.jinja", compiled),
        "CMakeLists.txt": source("cpp/project/CMakeLists.txt"),
        "Makefile": rendered("cpp/project/Makefile.jinja", compiled, onnxruntime=str(capi)),
        "graphc/CMakeLists.txt": source("cpp/CMakeLists.txt"),
    }


def web_project(compiled: CompiledFiles) -> dict[str, bytes]:
    settings = {
        "manifest": f"{compiled.stem}{MANIFEST_SUFFIX}",
        "ort": "node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs",
        "rate": compiled.rate,
        **({"pipeline": PIPELINE_MANIFEST} if compiled.decoder else {}),
    }
    package = {
        "name": "stream",
        "private": True,
        "type": "module",
        "scripts": {"prestart": "npm install --no-fund --no-audit", "start": "node serve.js"},
        "dependencies": {"onnxruntime-web": WEB_RUNTIME},
    }
    pages = {name: source(f"web/project/{name}") for name in ("index.html", "page.js", "serve.js")}
    sources = {f"graphc/{name}.js": source(f"web/src/{name}.js") for name in WEB_SOURCES}
    written = {"client.json": settings, "package.json": package}
    return {
        **pages,
        **sources,
        **{name: (json.dumps(data, indent=2) + "\n").encode() for name, data in written.items()},
    }


PROJECTS: dict[str, Callable[[CompiledFiles], dict[str, bytes]]] = {
    "cpp": cpp_project,
    "python": python_project,
    "web": web_project,
}
NEXT = {
    "cpp": "make -C {folder} run",
    "python": "cd {folder} && python stream.py",
    "web": "npm start --prefix {folder}",
}


def how_to_run(compiled: CompiledFiles, language: str, folder: Path) -> str:
    """The command that streams noise, or for a pipeline a recording."""
    recording = {"cpp": " FILE=$PWD/SOUND.wav", "python": " SOUND.wav", "web": ""}[language] if compiled.decoder else ""
    return NEXT[language].format(folder=folder) + recording


def source(name: str) -> bytes:
    return files("graphc_clients").joinpath(name).read_bytes()


def rendered(name: str, compiled: CompiledFiles, **more: Any) -> bytes:
    """A template rendered with the model's own names and sizes."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    buffer = StreamBuffer(compiled.manifest)
    taken: set[str] = set()
    ports = {
        "streams": [port_of(entry, buffer, taken) for entry in buffer.streams.values()],
        "statics": [port_of(entry, buffer, taken) for entry in buffer.statics.values()],
        "outputs": [port_of(entry, buffer, taken) for entry in buffer.outputs.values()],
    }
    text = environment.from_string(source(name).decode()).render(names_of(compiled), **ports, **more)
    return text.rstrip("\n").encode() + b"\n"


def names_of(compiled: CompiledFiles) -> dict[str, Any]:
    name = f"{compiled.stem}.onnx"
    chunk = compiled.manifest.chunk or compiled.manifest.chunk_multiple
    model = {"python_model": ascii(name), "cpp_model": cpp_text(name), "decoder": compiled.decoder}
    return {**model, "rate": compiled.rate, "chunk": chunk}


def cpp_text(text: str) -> str:
    """A string literal of C++ with the UTF-8 bytes of a text."""
    plain = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}
    return '"' + "".join(plain.get(byte, f"\\{byte:03o}") for byte in text.encode()) + '"'


def port_of(entry: PortEntry, buffer: StreamBuffer, taken: set[str]) -> dict[str, Any]:
    """A port as templates use it."""
    frames = 1 if entry.axis is None else entry.frames or int(buffer.chunk * entry.pace)
    shape = [frames if a == entry.axis else int(s or 1) for a, s in enumerate(entry.shape)]
    count = math.prod(shape)
    numpy = "bool_" if entry.dtype == "bool" else entry.dtype
    cpp = CPP.get(entry.dtype, f"{entry.dtype}_t")
    noise = "rng.standard_normal({}).astype(np.{})" if "float" in entry.dtype else "np.zeros({}, np.{})"
    width = count // frames if entry.axis is not None else count
    given = [1, *shape] if entry.is_step else shape
    return {
        "python_name": ascii(entry.name),
        "cpp_name": cpp_text(entry.name),
        "variable": variable_of(entry.name, taken),
        "dtype": entry.dtype,
        "numpy": numpy,
        "cpp": cpp,
        "shape": given,
        "count": count,
        "frames": frames,
        "width": max(1, width),
        "what": "samples" if width == 1 else "features",
        "noise": noise.format(given, numpy),
        "cpp_noise": NOISE_IN_CPP.format(cpp) if cpp in ("float", "double") else "0",
        "delay": entry.delay if isinstance(entry, OutputEntry) else 0,
    }


def variable_of(name: str, taken: set[str]) -> str:
    """A name as a variable in either language, a different one for each port."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    made = f"port_{made}" if not made or made[0].isdigit() or keyword.iskeyword(made) or made in RESERVED else made
    while made in taken:
        made += "_"
    taken.add(made)
    return made
