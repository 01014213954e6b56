"""Writes a small project that streams one compiled model, in one of several languages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from graphc.client_projects.compiled_files import CompiledFiles
from graphc.client_projects.templates import files_below, port_of, rendered, source
from graphc_runtime.errors import ModelError
from graphc_runtime.open_compiled import MANIFEST_SUFFIX
from graphc_runtime.pipeline.manifest import DECODERS as ALL_DECODERS
from graphc_runtime.pipeline.manifest import PIPELINE_MANIFEST
from graphc_runtime.stream_buffer import StreamBuffer

WEB_RUNTIME = "1.30.0"


def project_of(compiled: CompiledFiles, language: str) -> dict[str, bytes]:
    """The contents of a project's files, by their paths in the project.

    Errors:
        ModelError: the language's client lacks the decoder or the target.
    """
    if compiled.decoder not in DECODERS[language]:
        others = " or ".join(name for name, kinds in DECODERS.items() if compiled.decoder in kinds)
        raise ModelError(
            f"graphc's {language} client has no '{compiled.decoder}' decoder",
            hint=f"use --language {others}, or write your own client for {compiled.stem}.onnx",
        )
    if compiled.decoder is not None:
        check_sound(compiled)
    if compiled.target is not None:
        check_target(compiled, compiled.target, language)
    return {**compiled.files, **PROJECTS[language](compiled)}


def check_sound(compiled: CompiledFiles) -> None:
    """Refuses a pipeline that takes features, because the generated program reads sound."""
    buffer = StreamBuffer(compiled.manifest)
    (name, entry), *_ = buffer.streams.items()
    width = port_of(entry, buffer, set())["width"]
    if width != 1:
        raise ModelError(
            f"the pipeline takes features ('{name}', {width} numbers a frame), but the written client reads sound",
            where=compiled.stem,
            hint="put the features into the first stage (attach_front_end), or write your own client for the joined "
            "model",
        )


def check_target(compiled: CompiledFiles, target: str, language: str) -> None:
    known = {"cpp": sorted(CPP_TARGETS), "web": []}.get(language, [target])
    if target not in known:
        raise ModelError(
            f"graphc's {language} client does not run on {target}",
            where=compiled.model,
            hint=f"use --language python{''.join(f', or --target {name}' for name in known)}, or leave --target out",
        )
    if language == "cpp" and compiled.manifest.targets[target].stateful:
        raise ModelError(
            "the model keeps its states inside the runtime, and the C++ client carries them itself",
            where=compiled.model,
            hint=f"compile it without `stateful: true` under `{target}`",
        )


def python_project(compiled: CompiledFiles) -> dict[str, bytes]:
    extra = "" if compiled.target is None else f"[{compiled.target}]"
    return {
        "stream.py": rendered(f"python/project/{'pipeline' if compiled.decoder else 'stream'}.py.jinja", compiled),
        "requirements.txt": f"graphc-runtime{extra}\n".encode(),
    }


@dataclass(frozen=True)
class CppRuntime:
    """A runtime that the C++ client has a backend for.

    Args:
        library: the CMake target to link.
        header: the file that holds the backend.
        backend: the class of the backend.
        setting: the CMake setting that names the folder of the runtime's library.
        package, folder: the Python package that contains the library, and the folder inside it.
    """

    library: str
    header: str
    backend: str
    setting: str
    package: str
    folder: str = ""

    @property
    def place(self) -> str:
        """The folder of the library on this machine; empty if the package is not installed."""
        package = find_spec(self.package)
        return str(Path(package.origin).parent / self.folder) if package is not None and package.origin else ""


ONNXRUNTIME = CppRuntime("graphc", "graphc.hpp", "graphc::Onnxruntime", "ONNXRUNTIME", "onnxruntime", "capi")
CPP_TARGETS = {
    "litert": CppRuntime("graphc_litert", "graphc_litert.hpp", "graphc::LiteRt", "LITERT", "ai_edge_litert"),
    "openvino": CppRuntime("graphc_openvino", "graphc_openvino.hpp", "graphc::OpenVino", "OPENVINO", "openvino"),
}


def cpp_project(compiled: CompiledFiles) -> dict[str, bytes]:
    runtime = ONNXRUNTIME if compiled.target is None else CPP_TARGETS[compiled.target]
    headers = {"graphc.hpp", runtime.header}
    headers |= {"graphc_pipeline.hpp", CPP_DECODERS[compiled.decoder]} if compiled.decoder else set()
    headers |= {"graphc_batch.hpp"} if compiled.manifest.streams is not None else set()
    return {
        **{f"graphc/{name}": source(f"cpp/{name}") for name in sorted(headers)},
        "main.cpp": rendered(
            f"cpp/project/{'pipeline' if compiled.decoder else 'main'}.cpp.jinja", compiled, runtime=runtime
        ),
        "CMakeLists.txt": rendered("cpp/project/CMakeLists.txt.jinja", compiled, runtime=runtime),
        "Makefile": rendered("cpp/project/Makefile.jinja", compiled, runtime=runtime),
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
    sources = {f"graphc/{name}": source(f"web/src/{name}") for name in files_below("web/src") if name.endswith(".js")}
    written = {"client.json": settings, "package.json": package}
    return {
        **pages,
        **sources,
        **{name: (json.dumps(data, indent=2) + "\n").encode() for name, data in written.items()},
    }


CPP_DECODERS = {"trigger": "graphc_trigger.hpp", "ctc": "graphc_text.hpp", "transducer": "graphc_text.hpp"}
DECODERS = {
    "cpp": (None, *CPP_DECODERS),
    "python": (None, *ALL_DECODERS),
    "web": (None, *CPP_DECODERS),
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
    """The shell command that runs a project. The project streams noise or, for a pipeline, a recording."""
    recording = {"cpp": " FILE=$PWD/SOUND.wav", "python": " SOUND.wav", "web": ""}[language] if compiled.decoder else ""
    return NEXT[language].format(folder=folder) + recording
