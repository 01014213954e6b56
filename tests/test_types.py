"""The types are right: mypy --strict, on one core while other tests run on another."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_mypy_finds_nothing() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
