"""Renders the templates of a project with the names and sizes of a model."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import jinja2

from graphc.client_projects.compiled_files import CompiledFiles
from graphc_runtime.contract.manifest import OutputEntry, PortEntry
from graphc_runtime.open_compiled import MANIFEST_SUFFIX
from graphc_runtime.stream_buffer import StreamBuffer

RESERVED = frozenset(
    """and auto bool call char class count double failed file float int long main new np operator register rest rng seed
    session short signed static stream template this typename unsigned virtual void words at""".split()  # noqa: SIM905
)
NOISE_IN_CPP = "static_cast<{}>(((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0 - 1.0)"
CPP = {"float32": "float", "float64": "double", "bool": "bool", "float16": "uint16_t", "bfloat16": "uint16_t"}


def source(name: str) -> bytes:
    return files("graphc_clients").joinpath(name).read_bytes()


def files_below(folder: str) -> list[str]:
    """The paths of all files below a folder of the clients, relative to it."""

    def below(inner: Traversable, before: str) -> Iterator[str]:
        for one in sorted(inner.iterdir(), key=lambda one: one.name):
            if one.is_dir():
                yield from below(one, f"{before}{one.name}/")
            else:
                yield before + one.name

    return list(below(files("graphc_clients").joinpath(folder), ""))


def rendered(name: str, compiled: CompiledFiles, **more: Any) -> bytes:
    """A template rendered with the names and sizes of a model."""
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
    chunk = compiled.manifest.chunk or compiled.manifest.chunk_multiple
    return {
        "python_model": ascii(compiled.model),
        "cpp_model": cpp_text(compiled.model),
        "manifest": ascii(f"{compiled.stem}{MANIFEST_SUFFIX}"),
        "target": compiled.target,
        "decoder": compiled.decoder,
        "rate": compiled.rate,
        "chunk": chunk,
    }


def cpp_text(text: str) -> str:
    """A C++ string literal with the UTF-8 bytes of a text."""
    plain = {byte: chr(byte) for byte in range(32, 127) if chr(byte) not in '"\\?'}
    return '"' + "".join(plain.get(byte, f"\\{byte:03o}") for byte in text.encode()) + '"'


def port_of(entry: PortEntry, buffer: StreamBuffer, taken: set[str]) -> dict[str, Any]:
    """The values that templates use for a port."""
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
    """A variable name for a port, valid in Python and C++, and different for each port."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    made = f"port_{made}" if not made or made[0].isdigit() or keyword.iskeyword(made) or made in RESERVED else made
    while made in taken:
        made += "_"
    taken.add(made)
    return made
