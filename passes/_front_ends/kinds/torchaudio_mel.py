"""torchaudio's MelSpectrogram, followed by AmplitudeToDB or a logarithm, and its MFCC."""

from __future__ import annotations

from typing import Literal

import numpy as np
from graphc_passes._front_ends.front_end import FrontEnd
from graphc_passes._front_ends.kinds.centred_mel import CentredOptions
from graphc_passes._front_ends.options import Samples, Size
from graphc_passes._front_ends.spectrum import window_of
from pydantic import Field

WINDOWS = {"hann": "hann", "hamming": "hamming", "blackman": "blackman", "bartlett": "bartlett", "ones": "boxcar"}


class TorchaudioMel(CentredOptions):
    sample_rate: Samples = 16000
    n_fft: Size = 400
    hop_length: Samples | None = Field(default=None, description="samples; half a window where it is left out")
    f_min: float = Field(default=0.0, ge=0)
    f_max: float | None = Field(default=None, gt=0)
    pad: int = Field(default=0, description="0 alone")
    window: Literal["hann", "hamming", "blackman", "bartlett", "ones"] = Field(default="hann", description="window_fn")
    normalized: bool | Literal["window", "frame_length"] = False
    mel_scale: Literal["htk", "slaney"] = "htk"

    @classmethod
    def kind(cls) -> str:
        return "torchaudio_mel"

    def front_end(self) -> FrontEnd:
        """The front end that these options describe.

        Errors:
            PassError: an option that is impossible in a stream.
        """
        if self.pad:
            raise self.refuse("pad", "zeros around the utterance are not supported", "set pad: 0")
        size = self.win_length or self.n_fft
        return self.made(
            self.sample_rate,
            np.linspace(0.0, self.sample_rate // 2, self.n_fft // 2 + 1),
            self.n_fft,
            self.hop_length or size // 2,
            WINDOWS[self.window],
            self.f_min,
            self.f_max or float(self.sample_rate // 2),
            self.mel_scale,
            self.gain(size),
        )

    def gain(self, size: int) -> float:
        if self.normalized == "frame_length":
            return float(self.n_fft**-0.5)
        if self.normalized:
            return float(np.sum(window_of(WINDOWS[self.window], size) ** 2) ** -0.5)
        return 1.0
