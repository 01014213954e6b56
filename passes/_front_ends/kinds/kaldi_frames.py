"""What Kaldi's filter banks and cepstra share: frames, windows and the mel scale.

Options are those of Kaldi's ``--config`` files, with underscores (feat/feature-window.h, feat/mel-computations.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from graphc_passes._front_ends.front_end import Array, Energy, Framing
from graphc_passes._front_ends.mel_filters import kaldi_filters
from graphc_passes._front_ends.options import MOST_SAMPLES, KindOptions
from graphc_passes._front_ends.spectrum import fourier, power_of_two
from pydantic import Field, model_validator

EPSILON = float(np.finfo(np.float32).eps)
WindowType = Literal["povey", "hanning", "hamming", "sine", "rectangular", "blackman"]


class KaldiOptions(KindOptions):
    sample_frequency: float = Field(default=16000.0, gt=0, le=1e6)
    frame_length: float = Field(default=25.0, gt=0, le=1e4, description="milliseconds")
    frame_shift: float = Field(default=10.0, gt=0, le=1e4, description="milliseconds")
    dither: float = Field(default=0.0, description="only 0: a model adds no noise")
    preemphasis_coefficient: float = Field(default=0.97, ge=0, le=1)
    remove_dc_offset: bool = True
    window_type: WindowType = "povey"
    blackman_coeff: float = 0.42
    round_to_power_of_two: bool = True
    snip_edges: bool = Field(default=True, description="false: frames reach past both ends, where samples are mirrored")
    num_mel_bins: int = Field(default=23, ge=3, le=1000)
    low_freq: float = Field(default=20.0, ge=0)
    high_freq: float = Field(default=0.0, description="0 or less: relative to half the sampling rate")
    htk_mode: bool = Field(default=False, description="as HTK: bands have a floor of 1, and the lowest bin is left out")
    use_energy: bool = False
    energy_floor: float = Field(default=0.0, ge=0)
    raw_energy: bool = Field(default=True, description="the energy before pre-emphasis and window")
    htk_compat: bool = Field(default=False, description="the energy, or C0, is the last feature")
    subtract_mean: bool = Field(default=False, description="only false: see cmvn")

    @classmethod
    def from_text(cls, text: str) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.partition("#")[0].strip()
            if not words:
                continue
            name, _, value = words.removeprefix("--").partition("=")
            if not words.startswith("--") or not name:
                raise ValueError(f"line {number} is not of the form --option=value")
            if name.strip() == "config":
                raise ValueError(f"line {number} names another file, which is not followed: put its options here")
            name = name.strip().replace("-", "_")
            found[name] = converted(cls, name, value.strip())
        return found

    @model_validator(mode="after")
    def sizes_fit(self) -> Self:
        if not 2 <= self.fft <= MOST_SAMPLES or self.size < 2 or self.hop < 1:
            raise ValueError(f"a frame has 2 to {MOST_SAMPLES} samples, and a shift one or more")
        if self.fft % 2:
            raise ValueError(f"a frame of {self.size} samples is odd: set round_to_power_of_two")
        if not self.snip_edges and self.hop > self.size:
            raise ValueError("with snip_edges: false, frame_length must not be less than frame_shift")
        if not self.low_freq < self.high <= self.sample_frequency / 2:
            raise ValueError("set low_freq below high_freq, and high_freq to half the sampling rate or below")
        return self

    @property
    def size(self) -> int:
        return int(self.sample_frequency * 0.001 * self.frame_length)

    @property
    def hop(self) -> int:
        return int(self.sample_frequency * 0.001 * self.frame_shift)

    @property
    def high(self) -> float:
        return self.high_freq if self.high_freq > 0 else self.sample_frequency / 2 + self.high_freq

    @property
    def fft(self) -> int:
        return power_of_two(self.size) if self.round_to_power_of_two else self.size

    def refuse_what_no_stream_has(self) -> None:
        """Refuses options that add noise or need statistics of the whole utterance.

        Errors:
            PassError: names the option.
        """
        if self.dither != 0.0:
            raise self.refuse(
                "dither", f"{self.dither:g} adds noise, which differs from run to run", "set dither: 0 beside config"
            )
        if self.subtract_mean:
            raise self.refuse(
                "subtract_mean",
                "it subtracts the mean of the whole utterance, which a stream does not have",
                "set it to false, and give statistics of the training set or a running mean under cmvn",
            )

    def framing(self) -> Framing:
        if self.snip_edges:
            return Framing(self.size, self.hop)
        before = self.size // 2 - self.hop // 2
        return Framing(self.size, self.hop, before, self.hop // 2 - self.hop + self.size - before, "symmetric")

    def frame_matrix(self) -> Array:
        """A matrix that removes the mean of a frame, then applies pre-emphasis and window, [size, size]."""
        n = self.size
        matrix = np.eye(n) - 1.0 / n if self.remove_dc_offset else np.eye(n)
        emphasis = np.eye(n) - self.preemphasis_coefficient * np.eye(n, k=-1)
        emphasis[0, 0] = 1.0 - self.preemphasis_coefficient
        return np.asarray(np.diag(self.window()) @ emphasis @ matrix)

    def window(self) -> Array:
        place = 2.0 * np.pi * np.arange(self.size) / (self.size - 1)
        hanning = 0.5 - 0.5 * np.cos(place)
        windows = {
            "povey": hanning**0.85,
            "hanning": hanning,
            "hamming": 0.54 - 0.46 * np.cos(place),
            "sine": np.sin(0.5 * place),
            "rectangular": np.ones(self.size),
            "blackman": self.blackman_coeff - 0.5 * np.cos(place) + (0.5 - self.blackman_coeff) * np.cos(2.0 * place),
        }
        return np.asarray(windows[self.window_type])

    @property
    def floor(self) -> float:
        """The floor of a band before its logarithm."""
        return 1.0 if self.htk_mode else EPSILON

    def spectrum(self) -> Array:
        return fourier(self.frame_matrix(), self.fft)

    def filters(self) -> Array:
        return kaldi_filters(
            self.sample_frequency, self.fft, self.num_mel_bins, self.low_freq, self.high, self.htk_mode
        )

    def with_energy(self, bands: Array, row: int) -> tuple[Array, Energy | None, Array]:
        """Inserts a row for the energy into the bands.

        Returns the bands, how the energy is computed from the frame, and the floor of each band. If the inserted row
        computes the energy from the spectrum, the second value is None.
        """
        bands = np.insert(bands, row, 0.0, axis=0)
        floors = np.full(len(bands), self.floor)
        floors[row] = max(EPSILON, self.energy_floor)
        if self.raw_energy:
            return bands, Energy(row, self.remove_dc_offset), floors
        bands[row] = 2.0 / self.fft
        bands[row, 0] = 1.0 / self.fft
        if self.fft % 2 == 0:
            bands[row, -1] = 1.0 / self.fft
        return bands, None, floors


def converted(options: type[KaldiOptions], name: str, value: str) -> Any:
    """Converts a value in a configuration file to the type of its option. The value of an unknown option stays text."""
    field = options.model_fields.get(name)
    if field is None or field.annotation is str:
        return value
    if field.annotation is bool:
        if value not in ("true", "false", ""):
            raise ValueError(f"--{name.replace('_', '-')} is true or false, not {value}")
        return value != "false"
    if field.annotation in (int, float):
        number: int | float = field.annotation(value)
        return number
    return value
