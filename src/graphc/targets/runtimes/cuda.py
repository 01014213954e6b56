"""onnxruntime's CUDA provider, checked by its table of kernels. Nodes without a kernel run on the CPU, with copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from graphc.targets.by_rules import Finding, Seen, TargetByRules


class Cuda(TargetByRules):
    name: ClassVar[str] = "cuda"
    summary: ClassVar[str] = "onnxruntime on NVIDIA GPUs (CUDA); checked by its documents, not run"
    package: ClassVar[str] = "onnxruntime-gpu"
    license: ClassVar[str] = "MIT"
    table: ClassVar[str] = "cuda"

    def types_of(self, entry: Mapping[str, Any], opset: int) -> Sequence[str] | None:
        ranges = entry["since"]
        fitting = (r for r in ranges if r["first"] <= opset and (r["last"] is None or opset <= r["last"]))
        found: Sequence[str] = next(fitting, {"types": []})["types"]
        return found

    def rules(self, node: Seen) -> Iterator[Finding]:
        yield from ()


TARGET = Cuda()
