"""librosa's melspectrogram, followed by power_to_db or a logarithm, and its mfcc."""

from __future__ import annotations

from typing import Literal

from graphc_passes._front_ends.front_end import FrontEnd
from graphc_passes._front_ends.kinds.centred_mel import CentredOptions
from graphc_passes._front_ends.mel_filters import bins_of
from graphc_passes._front_ends.options import Samples, Size
from pydantic import Field


class LibrosaMel(CentredOptions):
    sr: Samples = 22050
    n_fft: Size = 2048
    hop_length: Samples = Field(default=512, description="samples")
    window: Literal["hann", "hamming", "blackman", "bartlett", "boxcar"] = "hann"
    pad_mode: Literal["constant", "reflect", "symmetric"] = "constant"
    fmin: float = Field(default=0.0, ge=0)
    fmax: float | None = Field(default=None, gt=0)
    htk: bool = False
    norm: Literal["slaney"] | None = "slaney"

    @classmethod
    def kind(cls) -> str:
        return "librosa_mel"

    def front_end(self) -> FrontEnd:
        """The front end that these options describe.

        Errors:
            PassError: an option that is impossible in a stream.
        """
        scale: Literal["htk", "slaney"] = "htk" if self.htk else "slaney"
        high = self.fmax or self.sr / 2
        bins = bins_of(self.sr, self.n_fft)
        return self.made(self.sr, bins, self.n_fft, self.hop_length, self.window, self.fmin, high, scale)
