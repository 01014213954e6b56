"""The same bytes on another machine: specs are compiled here, and by a CPU that qemu makes up (apt-get install qemu-user).

    python tests/other_machine.py [--cpu Haswell]

A CPU without AVX-512 takes other kernels of onnxruntime and numpy, which add in another order. onnxsim is left out: its
process would run on the CPU of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
ROOT = Path(__file__).parent.parent
SECONDS = 1500
QUANTIZED = (
    {"mode": "static", "states": "int8", "calibration": {"sequences": 6, "frames": [1, 60]}},
    {"mode": "dynamic"},
    {"mode": "weight_only"},
)
CHILD = "import site, sys; [site.addsitedir(p) for p in {packages!r}]; sys.path.insert(0, {tests!r}); import other_machine; other_machine.compile_all({specs!r})"


def specs_in(folder: Path) -> list[Path]:
    """The example specs without simplify, in turn with each kind of quantization."""
    from graphc.spec.spec_file import load_spec

    written = []
    for index, path in enumerate(sorted((ROOT / "specs").glob("*.dynamo.yaml"))):
        loaded = load_spec(path)
        data: dict[str, Any] = loaded.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        passes = [p.name for p in loaded.spec.passes if p.name not in ("simplify", "quantize")]
        asked = {**QUANTIZED[index % len(QUANTIZED)], "tolerance": {"snr_db": 0}}
        data |= {
            "model": str(loaded.model_path),
            "output": f"out/{path.stem}.onnx",
            "passes": [*passes, {"quantize": asked}],
        }
        data["validate"] = {"sequences": 1}
        data.pop("budget", None)
        spec = folder / path.name
        spec.write_text(json.dumps(data))
        written.append(spec)
    return written


def compile_all(specs: list[str]) -> None:
    import graphc

    for spec in specs:
        graphc.compile(spec, graphc.Options(force=True))


def outputs(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "out").iterdir()) if p.suffix in (".onnx", ".npz")}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu", default="Haswell")
    arguments = parser.parse_args()
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        print("qemu-x86_64 is missing: apt-get install qemu-user", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="graphc-machine-") as scratch:
        folder = Path(scratch)
        specs = [str(p) for p in specs_in(folder)]
        compile_all(specs)
        here = outputs(folder)
        shutil.rmtree(folder / "out")
        code = CHILD.format(packages=site.getsitepackages(), tests=str(Path(__file__).parent), specs=specs)
        python = getattr(sys, "_base_executable", sys.executable)
        command = [emulator, "-cpu", arguments.cpu, os.path.realpath(python), "-c", code]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
        said = [line for line in done.stderr.splitlines() if "TCG doesn't support" not in line]
        if done.returncode:
            print("\n".join(said[-20:]), file=sys.stderr)
            return 1
        there = outputs(folder)
    wrong = [name for name in here if here[name] != there.get(name)]
    for name in here:
        print(f"{'DIFFERS' if name in wrong else 'same bytes'}: {name}")
    print(f"{len(here) - len(wrong)} of {len(here)} files are the same here and on {arguments.cpu}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
