"""Installs the dependencies at the floors that pyproject.toml states, and runs the tests of examples and command line."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    floors = [d.replace(">=", "==") for d in project["dependencies"]]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        run = str(Path(folder) / "bin" / "python")
        subprocess.run(
            [run, "-m", "pip", "install", "-q", *floors, *project["optional-dependencies"]["test"]], check=True
        )
        subprocess.run([run, "-m", "pip", "install", "-q", "--no-deps", "-e", str(ROOT)], check=True)
        tests = [
            "tests/examples/test_examples.py",
            "tests/cli/test_command_line.py",
            "tests/stream/test_rules.py",
            "tests/passes/test_passes.py",
        ]
        return subprocess.run([run, "-m", "pytest", "-n", "2", *tests], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
