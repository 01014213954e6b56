"""The promise on models of other exporters: ``python tests/exporters.py FOLDER``.

``make exporters`` makes such a folder with TensorFlow, JAX and PaddlePaddle, each in an environment of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import onnx
from promise import Verdict, verdict_of

FORMS = ((1, None), (3, "onnxruntime"), (0, None))


def verdict_on(path: Path) -> Verdict:
    """The first verdict that is not "equal": at the smallest chunk, three times it and fused, and calls of any multiple."""
    for times, fused_for in FORMS:
        verdict = verdict_of(onnx.load(path), times, range(1, 30), fused_for=fused_for)
        if verdict.kind != "equal":
            return verdict
    return verdict


def main(folder: Path) -> int:
    verdicts = {path.stem: verdict_on(path) for path in sorted(folder.glob("*.onnx"))}
    for name, verdict in verdicts.items():
        print(f"{name:28} {verdict.kind} {verdict.detail}")
    return 0 if verdicts and all(v.kind == "equal" for v in verdicts.values()) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
