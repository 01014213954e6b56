"""Cepstral mean and variance normalisation: by given statistics, or by those of the frames heard last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np
from graphc_passes._front_ends.front_end import Array
from graphc_passes._front_ends.write_nodes import NodeWriter
from pydantic import Field, model_validator

from graphc.api import PassConfig, PassError

MOST_BYTES = 10_000_000
SMALLEST_VARIANCE = 1e-10


class Cmvn(PassConfig):
    """Given means and deviations, a file of them, or a window of frames whose mean is taken off."""

    mean: list[float] | None = Field(default=None, description="one a feature")
    std: list[float] | None = Field(default=None, description="one a feature; ones where it is left out")
    file: str | None = Field(
        default=None,
        description="statistics of a training set: JSON with mean_stat, var_stat and frame_num, or mean and std; "
        "or .npz with mean and std",
    )
    window: int | None = Field(
        default=None, gt=0, le=10_000, description="take off the mean of so many last frames, this one among them"
    )

    @model_validator(mode="after")
    def one_source(self) -> Self:
        if sum(given is not None for given in (self.mean, self.file, self.window)) != 1:
            raise ValueError("give exactly one of mean, file and window")
        if self.std is not None and self.mean is None:
            raise ValueError("std goes with mean")
        return self

    def statistics(self, features: int, folder: Path) -> tuple[Array, Array]:
        """Mean and deviation of each feature, as given or read.

        Errors:
            PassError: the file cannot be read, or what it holds does not fit.
        """
        if self.file is not None:
            mean, deviation = read_statistics(folder / self.file)
        else:
            mean = np.asarray(self.mean, np.float64)
            deviation = np.ones(len(mean)) if self.std is None else np.asarray(self.std, np.float64)
        if mean.shape != (features,) or deviation.shape != (features,):
            sizes = f"{mean.size} means and {deviation.size} deviations for {features} features"
            raise PassError(f"attach_front_end: cmvn: {sizes}", hint="give one of each for every feature")
        if not np.all(np.isfinite(mean)) or not np.all(deviation > 0.0):
            raise PassError(
                "attach_front_end: cmvn: a mean is not finite, or a deviation not positive", hint="correct the numbers"
            )
        return mean, deviation


def read_statistics(path: Path) -> tuple[Array, Array]:
    """Mean and deviation out of a file, [features] each.

    JSON holds sums as WeNet writes them (mean_stat, var_stat, frame_num), or mean and std.

    Errors:
        PassError: the file cannot be read or holds neither.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is larger than statistics are")
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as found:
                return np.asarray(found["mean"], np.float64).ravel(), np.asarray(found["std"], np.float64).ravel()
        data = json.loads(path.read_text())
        if "mean_stat" in data:
            mean = np.asarray(data["mean_stat"], np.float64) / float(data["frame_num"])
            variance = np.asarray(data["var_stat"], np.float64) / float(data["frame_num"]) - mean**2
            return mean, np.sqrt(np.maximum(variance, SMALLEST_VARIANCE))
        return np.asarray(data["mean"], np.float64), np.asarray(data["std"], np.float64)
    except OSError as err:
        raise PassError(f"cmvn.file: the file cannot be read: {err.strerror}", where=str(path)) from err
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as err:
        raise PassError(
            f"cmvn.file: no statistics: {type(err).__name__}: {err}",
            where=str(path),
            hint="JSON with mean and std, or with mean_stat, var_stat and frame_num; or .npz with mean and std",
        ) from err


def write_running(writer: NodeWriter, cmvn: Cmvn, features: str) -> str:
    """Takes the mean of the last frames off, fewer at the begin; as Kaldi's apply-cmvn-sliding does it uncentred."""
    assert cmvn.window is not None
    pooling = {"kernel_shape": [cmvn.window], "pads": [cmvn.window - 1, 0], "count_include_pad": 0}
    mean = writer.node("AveragePool", [features], "running_mean", **pooling)
    return writer.node("Sub", [features, mean], "less_mean")
