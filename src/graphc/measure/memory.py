"""Measures the memory of a compiled model: how much a separate process grows when it runs the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MEASURE = """
import sys
from pathlib import Path
import numpy as np
from graphc_runtime.session import StreamSession

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) * 1024

manifest, target = sys.argv[1], sys.argv[2] or None
before = held()
session = StreamSession(manifest, target=target)
for name, entry in session.statics.items():
    session.values[name] = np.zeros(entry.shape, entry.dtype)
chunk = {name: np.zeros(entry.shape, entry.dtype) for name, entry in session.streams.items()}
for _ in range(10):
    session.call(chunk, session.chunk)
print(held() - before)
"""
LONGEST_S = 300


def memory_of(manifest: Path, target: str | None) -> int | None:
    """The bytes by which a process grows when it loads the runtime and runs the model. None if not measurable."""
    words = [sys.executable, "-W", "ignore", "-c", MEASURE, str(manifest), target or ""]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    except subprocess.TimeoutExpired:
        return None
    lines = done.stdout.split()
    return int(lines[-1]) if done.returncode == 0 and lines and lines[-1].lstrip("-").isdigit() else None
