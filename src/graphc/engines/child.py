"""Runs a module in a child process that ends when its parent ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphc.system.parent import die_with_parent
from graphc.system.scratch_files import remove_scratch_of


@dataclass(frozen=True)
class Ended:
    """How a child process ended.

    Args:
        printed: the standard output of the process.
        why: the exit status and the last line of the standard error, for a message.
    """

    printed: str
    why: str


def run_child(module: str, told: Mapping[str, Any]) -> Ended:
    """Runs a module in a child process to its end. The module reads ``told`` with ``told_by_parent``."""
    process = subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        printed, said = process.communicate(json.dumps({**told, "parent": os.getpid()}))
    finally:
        process.kill()
        process.wait()
        remove_scratch_of(process.pid)
    lines = said.strip().splitlines()[-1:] if said else []
    return Ended(printed, f"its process ended with status {process.returncode}{': ' + lines[0] if lines else ''}")


def told_by_parent() -> dict[str, Any]:
    """The data that the parent process sent. This process then ends when the parent ends."""
    told: dict[str, Any] = json.load(sys.stdin)
    die_with_parent(told.pop("parent"))
    return told
