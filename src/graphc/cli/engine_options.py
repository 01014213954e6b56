"""Options that select where work runs: in how many processes, or on which Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import click

from graphc.engines.engine import Engine, cluster, processes


def runs_on_engine(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a subcommand the options of ``engine_of``."""
    jobs = click.option(
        "--jobs", type=click.IntRange(1, 1024), default=1, show_default=True, help="Number of processes at once."
    )
    dask = click.option(
        "--dask", metavar="ADDRESS", help="Run on the Dask cluster at this address, such as tcp://10.0.0.1:8786."
    )
    return jobs(dask(function))


def engine_of(jobs: int, dask: str | None) -> AbstractContextManager[Engine]:
    """The engine that the options describe: local processes, or a Dask cluster.

    Errors:
        SpecError: there is no Dask cluster at the address.
    """
    return cluster(dask) if dask else processes(jobs)
