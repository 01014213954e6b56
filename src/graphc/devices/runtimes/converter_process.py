"""Converters of other projects run in a process of their own, which has an end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from graphc.errors import TargetError

LONGEST_S = 900


def convert_apart(name: str, program: str, words: Sequence[str]) -> str:
    """Runs a program of Python with words as its arguments; gives the last lines that it said.

    Args:
        name: what converts, for the message.

    Errors:
        TargetError: it failed, or did not end within 15 minutes.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, *words],
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        raise TargetError(f"{name} did not end within {LONGEST_S} s") from err
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    said = " ".join(lines[-3:])[:400]
    if done.returncode:
        raise TargetError(f"{name} does not take the model: {said}")
    return said
