"""What the clients cost over a bare loop: ``python benchmarks/clients.py``; needs cmake, g++, node and chromium.

Python: a push of the client over ``InferenceSession.run`` with the states in a dict, taking turns. C++: over a loop on
the same bindings with a copy in and a copy out. Web: a call in a page of headless Chromium over the same call in Node.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort

import graphc
from graphc_runtime import StreamSession

ROOT = Path(__file__).parent.parent
CAPI = Path(ort.__file__).parent / "capi"
MODELS = (
    "lstm_tagger.torchscript",
    "quartznet.torchscript",
    "conformer.torchscript",
    "conformer_lookahead.torchscript",
)
TURNS, CALLS = 60, 30
BARS = {"python": 15.0, "cpp": 3.0, "page": 1.5}


def compiled(folder: Path, name: str) -> Path:
    spec = folder / f"{name}.yaml"
    spec.write_text(
        f"version: 1\nmodel: {ROOT / 'examples' / 'models' / name}.onnx\noutput: {name}.stream.onnx\n"
        "stream: {chunk: 16}\npasses: [lift_state, fold_constants, simplify, fuse]\n"
    )
    graphc.compile(spec)
    return folder / f"{name}.stream.onnx"


def bare_loop(session: StreamSession, model: Path) -> Callable[[], object]:
    """A call of onnxruntime that carries the states in a dict, the obvious way to write it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    raw = ort.InferenceSession(str(model), options)
    manifest = session.manifest
    feeds = {i.name: np.zeros([int(s or 1) for s in i.shape], i.dtype) for i in manifest.inputs}
    if manifest.valid_frames is not None:
        feeds[manifest.valid_frames] = np.array([manifest.chunk], np.int64)
    outputs = [o.name for o in manifest.outputs]
    names, taken = [*outputs, *(s.output for s in manifest.states)], [s.input for s in manifest.states]
    states = dict(session.first)

    def call() -> object:
        results = raw.run(names, {**feeds, **states})
        states.update(zip(taken, results[len(outputs) :], strict=True))
        return results[: len(outputs)]

    return call


def of_python(model: Path) -> tuple[int, float, float]:
    """States, and microseconds of the bare loop and of the client."""
    session = StreamSession(model)
    frames = {i.name: np.zeros([int(s or 1) for s in i.shape], i.dtype) for i in session.manifest.inputs}
    calls = {"bare": bare_loop(session, model), "client": lambda: session.push(frames)}
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(TURNS):
        for name, call in calls.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                spent[name].append(time.perf_counter() - start)
    bare, client = (float(np.median(spent[name])) * 1e6 for name in calls)
    return len(session.manifest.states), bare, client


def import_s() -> float:
    """Seconds that the runtime's import takes beyond that of onnxruntime and numpy: medians of processes in turns."""
    words = ("import numpy, onnxruntime", "import numpy, onnxruntime, graphc_runtime; graphc_runtime.StreamSession")
    spent: list[list[float]] = [[], []]
    for _ in range(9):
        for times, program in zip(spent, words, strict=True):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times.append(time.perf_counter() - start)
    return float(np.median(spent[1]) - np.median(spent[0]))


def built(folder: Path) -> Path:
    """The programs of the C++ client."""
    cmake = ["cmake", "-S", str(ROOT / "clients" / "cpp"), "-B", str(folder / "cpp"), f"-DONNXRUNTIME={CAPI}"]
    for words in (cmake, ["cmake", "--build", str(folder / "cpp"), "-j", "2"]):
        subprocess.run(words, check=True, capture_output=True)
    return folder / "cpp"


def of_pages(folder: Path, model: Path) -> tuple[float, float]:
    """Milliseconds of a call in Node and in a page."""
    page, web = folder / "page", ROOT / "clients" / "web"
    subprocess.run(["graphc", "client", str(model), "--language", "web", "-o", str(page)], check=True)
    (page / "node_modules").symlink_to(web / "node_modules", target_is_directory=True)
    words = ["node", "tests/latency.js", str(page), f"{model.stem}.manifest.json"]
    done = subprocess.run(words, cwd=web, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return found["node"], found["page"]


def main() -> None:
    held = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [compiled(folder, model) for model in MODELS]
        programs = built(folder)
        print(f"{'':34}{'states':>7}{'bare us':>10}{'client us':>11}{'more us':>9}")
        for model in models:
            states, bare, client = of_python(model)
            held &= client - bare <= BARS["python"]
            print(f"{'Python ' + model.stem.split('.')[0]:34}{states:7}{bare:10.1f}{client:11.1f}{client - bare:+9.1f}")
        for model in models:
            said = subprocess.run([programs / "latency", model], check=True, capture_output=True, text=True).stdout
            more = float(said.split(",")[-1].split()[0])
            held &= more <= BARS["cpp"]
            counted = subprocess.run([programs / "streams", "--allocations", model], capture_output=True, text=True)
            print(f"{'C++ ' + model.stem.split('.')[0]:34}{said.strip()}; {counted.stdout.strip()} allocations")
        node, page = of_pages(folder, models[-1])
        held &= page / node <= BARS["page"]
        print(f"a page over Node, {models[-1].stem}: {page:.3f} ms over {node:.3f} ms: {page / node:.2f}")
        print(f"import beyond onnxruntime: {import_s():.3f} s")
    print(f"bars: Python +15 us, C++ +3 us, page 1.5: {'held' if held else 'MISSED'}")


if __name__ == "__main__":
    main()
