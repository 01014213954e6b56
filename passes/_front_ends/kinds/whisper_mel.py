"""Whisper's log-mel spectrogram (openai-whisper, transformers' WhisperFeatureExtractor)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from graphc_passes._front_ends.front_end import Framing, FrontEnd
from graphc_passes._front_ends.mel_filters import bins_of, mel_filters
from graphc_passes._front_ends.options import KindOptions, Samples, Size, yaml_mapping
from graphc_passes._front_ends.spectrum import fourier, window_of
from pydantic import Field

FLOOR = 1e-10
RANGE = 8.0
HIGHEST_HZ = 8000.0
READ = ("feature_size", "sampling_rate", "hop_length", "n_fft", "dither")


class WhisperMel(KindOptions):
    feature_size: int = Field(default=80, ge=1, le=1000)
    sampling_rate: int = Field(default=16000, ge=16000, le=1_000_000)
    hop_length: Samples = 160
    n_fft: Size = 400
    dither: float = Field(default=0.0, description="0 alone")
    peak: float | None = Field(
        default=None,
        ge=-20,
        le=20,
        description="log10 of the loudest band, in place of the utterance's own maximum; 1.5 is usual",
    )

    @classmethod
    def kind(cls) -> str:
        return "whisper_mel"

    @classmethod
    def from_text(cls, text: str) -> Mapping[str, Any]:
        """The options in a preprocessor_config.json of Whisper. Options about padding to 30 s are ignored."""
        found = yaml_mapping(text)
        return {name: value for name, value in found.items() if name in READ}

    def front_end(self) -> FrontEnd:
        """The front end that these options describe.

        Errors:
            PassError: an option that is impossible in a stream, or no ``peak``.
        """
        if self.dither:
            raise self.refuse("dither", f"{self.dither:g} adds noise, which differs from run to run", "set dither: 0")
        if self.peak is None:
            raise self.refuse(
                "peak",
                "Whisper's floor is 8 below the maximum of the whole utterance, which a stream does not have",
                "set it to the log10 of the loudest band of typical recordings, such as peak: 1.5",
            )
        fft, hop = self.n_fft, self.hop_length
        scale = 1.0 / (4.0 * np.log(10.0))
        return FrontEnd(
            self.kind(),
            self.sampling_rate,
            Framing(fft, hop, fft // 2, fft - hop - fft // 2, "reflect"),
            fourier(np.diag(window_of("hann", fft)), fft),
            mel_filters(bins_of(self.sampling_rate, fft), self.feature_size, 0.0, HIGHEST_HZ, "slaney", "slaney"),
            floor=max(FLOOR, 10.0 ** (self.peak - RANGE)),
            gain=scale,
            offset=1.0,
        )
