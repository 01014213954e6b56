"""Faults in the streaming models of all examples: how many the validation of each spec catches.

python tests/mutants.py [--name conformer]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "examples" / "models"
EXPORTERS = ROOT / "examples" / "exporters"


def specs_in(folder: Path) -> list[Path]:
    """The example specs, and one for each attention model, and each of another exporter, that needs no more said."""
    written = []
    for path in sorted((ROOT / "specs").glob("*.yaml")):
        text = path.read_text().replace("../examples/models", str(MODELS)).replace("../out", "out")
        written.append(folder / path.name)
        written[-1].write_text(text)
    others = [*MODELS.glob("*attention*.onnx"), *MODELS.glob("*former*.onnx"), *EXPORTERS.glob("*.onnx")]
    for model in sorted(others):
        spec = folder / f"{model.stem}.yaml"
        spec.write_text(
            f"version: 1\nmodel: {model}\noutput: out/{model.stem}.onnx\nstream: {{chunk: 16}}\n"
            "passes: [lift_state, fold_constants, fuse]\n"
        )
        written.append(spec)
    return written


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="", help="only specs whose name holds this")
    arguments = parser.parse_args()
    import graphc
    from graphc.build.validate_and_bench import mutants_of_spec
    from graphc_runtime.errors import GraphcError

    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="graphc-mutants-") as scratch:
        for spec in specs_in(Path(scratch)):
            if arguments.name not in spec.name:
                continue
            try:
                graphc.compile(spec)
                found = mutants_of_spec(spec, [], lambda what, done, whole: None)
            except GraphcError as err:
                print(f"{spec.stem:38} left out: {str(err)[:90]}", flush=True)
                continue
            total.update(found["counts"])
            total["models"] += 1
            print(f"{spec.stem:38} {found['counts']}", flush=True)
            for mutant in found["mutants"]:
                if mutant["verdict"] in ("missed", "hidden"):
                    print(
                        f"    {mutant['verdict']}: {mutant['fault']}: {mutant['place']}: {mutant['reason']}", flush=True
                    )
    print(dict(total))
    return 1 if total["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
