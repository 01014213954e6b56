"""Every example on every target: ``python benchmarks/targets.py [TARGET …] [--only WORD]``.

Compiles each exported example by the spec of ``graphc init`` for one target at a time, two examples side by side, and
prints the result: equal (largest error, median of a call over onnxruntime's), refused with the reason, or different on
the target and therefore not written.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import graphc
from graphc.discover.init_spec import starter_spec
from graphc.targets.registry import all_targets
from graphc_runtime.errors import GraphcError, InstallError, StreamError

WORKERS = 2
MODELS = Path(__file__).parent.parent / "examples" / "models"


def on_all(model: Path, targets: list[str]) -> list[tuple[str, str, str]]:
    """The result on each target: its name, one word, and the details."""
    with TemporaryDirectory() as folder:
        try:
            spec = starter_spec(model, Path(folder)).text
        except GraphcError as err:
            return [(target, "failed", err.reason) for target in targets]
        return [(target, *tried(Path(folder), spec, target)) for target in targets]


def tried(folder: Path, text: str, target: str) -> tuple[str, str]:
    """The result in one word, and the details."""
    spec = folder / f"{target}.yaml"
    try:
        spec.write_text(text + f"targets: [{target}]\n")
        report = graphc.compile(spec)
    except StreamError as err:
        return "refused", f"{err.node or ''} {err.reason}"
    except GraphcError as err:
        return "differs" if err.exit_code == 1 else "failed", err.reason
    data = json.loads(report.json())
    entry = data["targets"][target]
    if entry["latency"] is None:
        return ("equal" if entry["findings"] is None else "by rules"), entry["why_not"]
    ratio = entry["latency"]["p50_ms"] / data["latency"]["p50_ms"]
    return "equal", f"within {entry['max_abs']:.1e}, a call {ratio:.2f} of onnxruntime's"


def is_here(target: str) -> bool:
    """Whether a target runs here; prints the reason if it does not."""
    try:
        all_targets()[target].check_installed()
    except InstallError as err:
        print(f"{target}: skipped: {err}")
        return False
    return True


def main(words: list[str]) -> int:
    only = words[words.index("--only") + 1] if "--only" in words else ""
    named = [name for name in ([w for w in words if w in all_targets()] or all_targets()) if is_here(name)]
    models = [path for path in sorted(MODELS.glob("*.onnx")) if only in path.name and "qat" not in path.name]
    counts: dict[str, Counter[str]] = {target: Counter() for target in named}
    with ProcessPoolExecutor(WORKERS) as pool:
        for model, results in zip(models, pool.map(on_all, models, [named] * len(models)), strict=True):
            for target, kind, said in results:
                counts[target][kind] += 1
                print(f"{model.stem:44} {target:10} {kind:8} {said[:160]}", flush=True)
    for target, found in counts.items():
        print(f"{target}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(found.items())))
    return 1 if any(found["failed"] for found in counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
