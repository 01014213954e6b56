"""The one line that an error is."""

from __future__ import annotations

import subprocess


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that an error is."""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("graphc: error: ")
    return lines[0]
