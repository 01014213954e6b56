"""Coverage-guided fuzzing of what graphc reads, with atheris.

    python tests/fuzz/fuzz.py spec|model|manifest|arrays [--minutes 20]

Anything but a GraphcError, and any input that takes more than ten seconds or four gigabytes, is a crash: libFuzzer writes
it to the working folder and exits. New inputs that reach new code go to tests/corpus/fuzz/KIND, from where every run
begins and which tests/test_hostile.py reads again; libFuzzer's -merge=1 keeps it small (``--merge``).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["graphc", "graphc_passes", "onnx_graphsurgeon", "ruamel"]):
    import targets

CORPUS = Path(__file__).parent.parent / "corpus" / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=list(targets.TARGETS))
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--into", type=Path, help="where new inputs go; a folder of its own where left out")
    parser.add_argument("--merge", action="store_true", help="add what reaches new code to the corpus, and stop")
    arguments = parser.parse_args()
    kept = CORPUS / arguments.kind
    fresh = arguments.into or Path(tempfile.mkdtemp(prefix="graphc-fuzz-"))
    fresh.mkdir(parents=True, exist_ok=True)
    folders = [kept, fresh] if arguments.merge else [fresh, kept]
    options = [
        f"-max_total_time={int(arguments.minutes * 60)}",
        "-timeout=10",
        "-rss_limit_mb=4096",
        "-max_len=65536",
        "-print_final_stats=1",
        *(["-merge=1"] if arguments.merge else []),
    ]
    with tempfile.TemporaryDirectory(prefix="graphc-fuzz-") as scratch:
        target: Callable[[bytes, Path], None] = targets.TARGETS[arguments.kind]
        atheris.Setup([sys.argv[0], *options, *map(str, folders)], lambda data: target(bytes(data), Path(scratch)))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
