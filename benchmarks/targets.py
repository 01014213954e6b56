"""Every example on every target: ``python benchmarks/targets.py [TARGET …] [--only WORD]``.

Compiles each exported example by a plain spec for one target at a time, and prints the result: equal (largest error,
median of a call over onnxruntime's), refused with the reason, or different on the target and therefore not written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import graphc
from graphc.discover.init_spec import starter_spec
from graphc.targets.registry import all_targets
from graphc_runtime.errors import GraphcError, InstallError, StreamError

MODELS = Path(__file__).parent.parent / "examples" / "models"


def tried(model: Path, target: str, folder: Path) -> tuple[str, str]:
    """The result in one word, and the details."""
    spec = folder / "spec.yaml"
    try:
        spec.write_text(starter_spec(model, folder).text + f"targets: [{target}]\n")
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
    failed = 0
    for target in named:
        counts: dict[str, int] = {}
        for model in models:
            with TemporaryDirectory() as folder:
                kind, said = tried(model, target, Path(folder))
            counts[kind] = counts.get(kind, 0) + 1
            print(f"{target:10} {model.stem:44} {kind:8} {said[:160]}", flush=True)
        print(f"{target}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())), flush=True)
        failed += counts.get("failed", 0)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
