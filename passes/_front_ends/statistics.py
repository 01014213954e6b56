"""Cepstral mean and variance normalisation: with given statistics, or with the mean of the last frames."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np
from graphc_passes._front_ends.front_end import Array
from graphc_passes._front_ends.options import text_of
from graphc_passes._front_ends.write_nodes import NodeWriter
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from graphc.api import PassConfig, PassError

MOST_BYTES = 10_000_000
SMALLEST_VARIANCE = 1e-10
SMALLEST_DEVIATION, LARGEST_MEAN = 1e-4, 1e4


class Cmvn(PassConfig):
    """Normalisation of features: with given means and deviations, with those in a file, or with a running mean."""

    model_config = ConfigDict(allow_inf_nan=False)

    mean: list[float] | None = Field(default=None, description="one for each feature")
    std: list[float] | None = Field(default=None, description="one for each feature; default: ones")
    file: str | None = Field(
        default=None,
        description="statistics of a training set: JSON with mean_stat, var_stat and frame_num, or mean and std; "
        "or .npz with mean and std",
    )
    window: int | None = Field(
        default=None,
        gt=0,
        le=10_000,
        description="subtract a running mean over this many frames, the current one included",
    )

    @model_validator(mode="after")
    def one_source(self) -> Self:
        if sum(given is not None for given in (self.mean, self.file, self.window)) != 1:
            raise ValueError("give exactly one of mean, file and window")
        if self.std is not None and self.mean is None:
            raise ValueError("std needs mean")
        return self

    def statistics(self, features: int, folder: Path) -> tuple[Array, Array]:
        """The mean and the deviation of each feature, from the options or the file: two arrays [features].

        Errors:
            PassError: the file cannot be read, or its statistics do not fit the features.
        """
        if self.file is not None:
            mean, deviation = read_statistics(folder / self.file)
        else:
            mean = np.asarray(self.mean, np.float64)
            deviation = np.ones(len(mean)) if self.std is None else np.asarray(self.std, np.float64)
        if mean.shape != (features,) or deviation.shape != (features,):
            sizes = f"{mean.size} means and {deviation.size} deviations for {features} features"
            raise PassError(f"attach_front_end: cmvn: {sizes}", hint="give one of each for every feature")
        small, large = SMALLEST_DEVIATION, LARGEST_MEAN
        if not np.all(np.abs(mean) <= large) or not np.all((deviation >= small) & (deviation <= large)):
            raise PassError(
                f"attach_front_end: cmvn: means must be between -{large:g} and {large:g}, and deviations between "
                f"{small:g} and {large:g}; some are not",
                hint="correct them",
            )
        return mean, deviation


def read_statistics(path: Path) -> tuple[Array, Array]:
    """Reads mean and deviation from a file, [features] each.

    A JSON file contains sums as WeNet writes them (mean_stat, var_stat, frame_num), or mean and std.

    Errors:
        PassError: the file cannot be read, or does not contain statistics.
    """
    try:
        if path.suffix == ".npz":
            if not path.is_file() or path.stat().st_size > MOST_BYTES:
                raise ValueError(f"it is not a regular file of at most {MOST_BYTES} bytes")
            with np.load(path, allow_pickle=False) as arrays:
                return real(arrays["mean"]), real(arrays["std"])
        data = json.loads(text_of(path, MOST_BYTES))
        if "mean_stat" in data:
            if not float(data["frame_num"]) > 0:
                raise ValueError("frame_num must be above 0")
            mean = np.asarray(data["mean_stat"], np.float64) / float(data["frame_num"])
            variance = np.asarray(data["var_stat"], np.float64) / float(data["frame_num"]) - mean**2
            return mean, np.sqrt(np.maximum(variance, SMALLEST_VARIANCE))
        return np.asarray(data["mean"], np.float64), np.asarray(data["std"], np.float64)
    except OSError as err:
        raise PassError(f"cmvn.file: the file cannot be read: {err.strerror}", where=str(path)) from err
    except (ValueError, KeyError, TypeError, OverflowError, EOFError, RecursionError, zipfile.BadZipFile) as err:
        raise PassError(
            f"cmvn.file: it holds no statistics: {type(err).__name__}: {err}",
            where=str(path),
            hint="give JSON with mean and std, or with mean_stat, var_stat and frame_num; or .npz with mean and std",
        ) from err


def real(values: NDArray[Any]) -> Array:
    """The values as a flat float64 array.

    Errors:
        ValueError: the values are not real numbers.
    """
    if values.dtype.kind not in "fiu":
        raise ValueError(f"expected real numbers, not {values.dtype}")
    return np.asarray(values, np.float64).ravel()


def write_running(writer: NodeWriter, cmvn: Cmvn, features: str) -> str:
    """Adds nodes that subtract a running mean over ``cmvn.window`` frames (fewer at the start). Returns the result.

    The current frame is the last of the window, as in Kaldi's apply-cmvn-sliding if not centred.
    """
    assert cmvn.window is not None
    pooling = {"kernel_shape": [cmvn.window], "pads": [cmvn.window - 1, 0], "count_include_pad": 0}
    mean = writer.node("AveragePool", [features], "running_mean", **pooling)
    return writer.node("Sub", [features, mean], "less_mean")
