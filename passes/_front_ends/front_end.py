"""Defines a front end: frames cut out of samples, a spectrum, bands, a logarithm, and a linear map of the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
PREFIX = "front_end"
Edge = Literal["zeros", "reflect", "symmetric"]


@dataclass(frozen=True)
class Framing:
    """How frames are cut: frame f holds the ``size`` samples that start at sample ``f * hop - before``.

    Args:
        size: the number of samples of a frame.
        hop: the number of samples from one frame to the next.
        before: the number of padding samples before the first sample.
        behind: the number of padding samples after the last sample; if negative, of samples cut off there.
        edge: what the padding contains: "zeros"; "reflect", the signal mirrored at its outermost sample; or
            "symmetric", mirrored beside the outermost sample, which is thus repeated.
    """

    size: int
    hop: int
    before: int = 0
    behind: int = 0
    edge: Edge = "zeros"


@dataclass(frozen=True)
class Energy:
    """The log energy of a frame as one of the features, taken before window and pre-emphasis.

    Args:
        row: the index of the feature that is the energy.
        centred: whether the mean of the frame is subtracted first.
    """

    row: int
    centred: bool


@dataclass(frozen=True)
class FrontEnd:
    """Features as a function of samples: ``gain * matrix @ log(guard(bands @ |spectrum @ frame|^power)) + offset``.

    Args:
        name: the kind, as a spec names it.
        rate: samples per second.
        framing: how frames are cut.
        spectrum: the linear map from a frame to real and imaginary parts, [2, bins, size].
        bands: the weight of each bin in each feature, [features, bins].
        power: 2 for squared magnitudes, 1 for magnitudes.
        emphasis: the factor of pre-emphasis, y[n] = x[n] - emphasis * x[n - 1], on the signal before frames are cut.
        guard: what keeps the logarithm finite: "max" takes the larger of value and ``floor``, "add" their sum.
        floor: the number that ``guard`` uses: one for all features, or one for each.
        logarithm: whether a logarithm is taken.
        energy: which feature is the energy of the frame, and how it is computed; None for no such feature.
        matrix: a linear map of the logarithms, [outputs, features].
        gain: a factor after the logarithm and ``matrix``: [outputs], or one number.
        offset: a number added after ``gain``: [outputs], or one number.
        scale: the factor that samples are multiplied by first.
        notes: sentences for the report about options of the library that this front end leaves out.
    """

    name: str
    rate: int
    framing: Framing
    spectrum: Array
    bands: Array
    power: Literal[1, 2] = 2
    emphasis: float = 0.0
    guard: Literal["max", "add"] = "max"
    floor: Array | float = 0.0
    logarithm: bool = True
    energy: Energy | None = None
    matrix: Array | None = None
    gain: Array | float = 1.0
    offset: Array | float = 0.0
    scale: float = 1.0
    notes: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        """The number of features of a frame."""
        return len(self.bands if self.matrix is None else self.matrix)

    @property
    def frame_ms(self) -> float:
        """Milliseconds from one frame to the next."""
        return 1000.0 * self.framing.hop / self.rate

    def trimmed(self) -> FrontEnd:
        """The same front end with shorter frames: without the samples at both ends where the window is zero.

        Returns the front end unchanged if its padding is too short for this, or if a feature is the frame's energy.
        """
        weighty = np.flatnonzero(np.any(self.spectrum != 0.0, axis=(0, 1)))
        first, last = int(weighty[0]), int(weighty[-1])
        front, back = first, self.framing.size - 1 - last
        before, behind = self.framing.before - front, self.framing.behind - back
        if self.energy is not None or before < 0 or behind < 0 or (front, back) == (0, 0):
            return self
        framing = replace(self.framing, size=last + 1 - first, before=before, behind=behind)
        return replace(self, framing=framing, spectrum=self.spectrum[:, :, first : last + 1])

    def normalised(self, mean: Array, deviation: Array) -> FrontEnd:
        """The same front end with normalised features: minus ``mean``, divided by ``deviation``, each [features]."""
        return replace(self, gain=self.gain / deviation, offset=(self.offset - mean) / deviation)


def makes_features(name: str) -> bool:
    """Whether a node or tensor with this name belongs to a front end."""
    return name.startswith(f"{PREFIX}/")


def spread(value: Array | float, count: int) -> NDArray[Any]:
    """Broadcasts one number, or one number for each feature, to an array [count]."""
    return np.broadcast_to(np.asarray(value, np.float64), (count,))
