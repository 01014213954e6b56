"""Runs onnxsim in a process of its own: ``python -m graphc_passes._onnxsim_child IN OUT MEMORY_BYTES``."""

from __future__ import annotations

import resource
import sys

import onnx
import onnxsim


def main() -> int:
    source, target, memory = sys.argv[1:4]
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    simplified, _ = onnxsim.simplify(onnx.load(source), tensor_size_threshold="16MB")
    onnx.save(simplified, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
