"""Runs converters of other projects in a separate process, with a time limit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

from graphc_runtime.errors import TargetError

LONGEST_S = 900
REFUSED = "graphc refuses: "


def convert_apart(name: str, program: str, words: Sequence[str]) -> str:
    """Runs a Python program with ``words`` as its arguments; returns the last lines of its output.

    Args:
        name: the converter's name for messages.

    Errors:
        TargetError: the program failed, or did not end within 15 minutes.
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
    refusal = next((line.removeprefix(REFUSED) for line in lines if line.startswith(REFUSED)), None)
    if refusal is not None:
        told = json.loads(refusal)
        raise TargetError(told["reason"], node=told["node"], hint=told["hint"])
    if done.returncode:
        raise TargetError(f"{name} does not take the model: {said}")
    return said


def in_this_process(convert: Callable[..., None], words: Sequence[str]) -> None:
    """Runs one of graphc's converters. Prints a refusal in a form that ``convert_apart`` can raise."""
    try:
        convert(*words)
    except TargetError as err:
        print(REFUSED + json.dumps({"reason": err.reason, "node": err.node, "hint": err.hint}))
        sys.exit(err.exit_code)
