"""Runs ``graphc`` commands in forks of a process that has imported it: as new processes would, without their start."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from pkgutil import walk_packages
from subprocess import CompletedProcess, TimeoutExpired

import graphc_passes

import graphc.build
import graphc.cli.commands
import graphc.discover
import graphc.measure
import graphc.stream.rules
import graphc.stream.symbolic
import graphc.targets
import graphc.validate

PACKAGES = (
    graphc_passes,
    graphc.build,
    graphc.cli.commands,
    graphc.targets,
    graphc.discover,
    graphc.measure,
    graphc.stream.rules,
    graphc.stream.symbolic,
    graphc.validate,
)
LOADED = (
    "rich.progress",
    "scipy.optimize",
    "scipy.stats",
    "graphc.cli.main",
    "graphc.cli.terminal",
    "graphc.stream.lift",
    "graphc.stream.modes.limit_attention",
    "graphc.stream.clip_models.sliding_clip",
    *(m.name for package in PACKAGES for m in walk_packages(package.__path__, f"{package.__name__}.")),
)
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([name for name in LOADED if not name.endswith("_worker")])


def graphc(
    *arguments: str | Path, cwd: Path | None = None, timeout: float = 120, environment: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """What ``graphc`` does with some arguments.

    Args:
        environment: of the process; None for this one's.

    Errors:
        TimeoutExpired: it took longer than so many seconds.
    """
    words = ["graphc", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        held = dict(os.environ if environment is None else environment)
        process = CONTEXT.Process(target=run, args=(words, str(cwd or Path.cwd()), held, folder))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise TimeoutExpired(words, timeout)
        out, err = (Path(folder, name).read_bytes().decode(errors="replace") for name in ("out", "err"))
    return CompletedProcess(words, process.exitcode or 0, out, err)


def run(words: list[str], cwd: str, environment: dict[str, str], folder: str) -> None:
    """Becomes the command; what it prints goes to files of a folder."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(folder, name), os.O_WRONLY | os.O_CREAT), number)
    sys.argv = words
    from graphc.cli.child_process import main

    main()
