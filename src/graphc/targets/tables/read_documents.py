"""Regenerates the tables: ``python -m graphc.targets.tables.read_documents NAME DOCUMENT COMMIT > NAME.json``.

``tensorrt``: docs/operators.md of onnx/onnx-tensorrt. ``cuda``: docs/OperatorKernels.md of onnxruntime, from the
copy in onnxruntime/onnxruntime-qnn. ``qnn``: docs/execution_providers/QNN-ExecutionProvider.md of the latter.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHORT = {"FP32": "float32", "FP16": "float16", "BF16": "bfloat16", "FP8": "float8e4m3fn", "FP4E2M1": "float4e2m1"}
LONG = {"float": "float32", "double": "float64"}
SOURCES = {
    "tensorrt": "https://github.com/onnx/onnx-tensorrt/blob/{}/docs/operators.md",
    "cuda": "https://github.com/onnxruntime/onnxruntime-qnn/blob/{}/docs/OperatorKernels.md",
    "qnn": "https://github.com/onnxruntime/onnxruntime-qnn/blob/{}/docs/execution_providers/QNN-ExecutionProvider.md",
}


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def tensorrt(text: str) -> dict[str, Any]:
    """For each op, the types that it is computed in."""
    found = {}
    for op, supported, *rest in (row for row in rows(text) if len(row) > 1):
        if supported.startswith("Y") and rest:
            found[op] = {"types": [SHORT.get(t.strip(), t.strip().lower()) for t in rest[0].split(",") if t.strip()]}
    return found


def cuda(text: str) -> dict[str, Any]:
    """For each op, ranges of opsets with the types of the first input."""
    part = text.split("## Operators implemented by CUDAExecutionProvider")[1].split("\n## ")[0]
    found: dict[str, Any] = {}
    op, first = "", "T"
    for row in rows(part.split("**Operator Domain:** *com.microsoft*")[0]):
        if len(row) < 4 or row[0].startswith(("Op Name", "---", "**")):
            continue
        if row[0]:
            op = row[0]
            first = (re.findall(r"\*in\* \w+:\*\*(\S+?)\*\*", row[1]) or ["T"])[0]
        numbers = [int(n) for n in re.findall(r"\d+", row[2])]
        listed = dict(re.findall(r"\*\*(\w+)\*\* = ([^*]*)", row[3])).get(first, row[3])
        types = [LONG.get(t, t) for t in re.findall(r"tensor\((\w+)\)", listed)]
        last = None if row[2].endswith("+") else numbers[-1]
        found.setdefault(op, {"since": []})["since"].append({"first": numbers[0], "last": last, "types": types})
    return found


def qnn(text: str) -> dict[str, Any]:
    """The ops that are supported alone. Ops that are only supported inside a pattern of quantized ops are left out."""
    part = text.split("## Supported ONNX operators")[1].split("\n## ")[0]
    alone = (op for op, *notes in rows(part) if op.startswith("ai.onnx:") and "exclusively" not in " ".join(notes))
    return {op.removeprefix("ai.onnx:"): {} for op in alone}


def main(name: str, document: str, commit: str) -> None:
    read = {"tensorrt": tensorrt, "cuda": cuda, "qnn": qnn}[name]
    table = {"source": SOURCES[name].format(commit), "ops": read(Path(document).read_text())}
    print(json.dumps(table, indent=1, sort_keys=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
