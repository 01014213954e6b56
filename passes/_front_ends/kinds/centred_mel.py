"""What the mel spectrograms of torchaudio and librosa share: a centred transform, bands and a logarithm."""

from __future__ import annotations

from typing import Literal

import numpy as np
from graphc_passes._front_ends.front_end import Array, Edge, Framing, FrontEnd
from graphc_passes._front_ends.mel_filters import Scale, mel_filters
from graphc_passes._front_ends.options import WITHIN, KindOptions, Size
from graphc_passes._front_ends.spectrum import centred, cosines, fourier, window_of
from pydantic import Field

PADDING: dict[str, Edge] = {"constant": "zeros", "reflect": "reflect", "symmetric": "symmetric"}


class CentredOptions(KindOptions):
    win_length: Size | None = Field(default=None, description="samples; n_fft where it is left out")
    center: bool = True
    pad_mode: Literal["constant", "reflect", "symmetric"] = "reflect"
    power: float = Field(default=2.0, description="1 or 2")
    n_mels: int = Field(default=128, ge=1, le=1000)
    norm: Literal["slaney"] | None = None
    log: Literal["db", "natural", "none"] = Field(default="db", description="decibels, ln, or the bands as they are")
    stype: Literal["power", "magnitude"] = Field(
        default="power", description="for log: db: 10 or 20 times the logarithm, as power_to_db or amplitude_to_db"
    )
    guard: Literal["max", "add"] = Field(default="max", description="how the floor keeps a logarithm finite")
    amin: float = Field(default=1e-10, gt=0, description="the floor of the bands before the logarithm")
    ref: float = Field(default=1.0, gt=0, description="the value that counts as 0 dB; for log: db only")
    top_db: float | None = Field(default=None, description="only null: it is relative to the maximum of the utterance")
    n_mfcc: int | None = Field(default=None, ge=1, description="cepstra instead of bands")
    dct_norm: Literal["ortho"] | None = "ortho"
    lifter: float = Field(default=0.0, ge=0, le=1e6)

    def made(
        self,
        rate: int,
        bins: Array,
        fft: int,
        hop: int,
        window: str,
        low: float,
        high: float,
        scale: Scale,
        gain: float = 1.0,
    ) -> FrontEnd:
        """The front end that these options and the arguments describe.

        Args:
            bins: the frequency of each bin in Hz.
            window: scipy's name of a periodic window.
            low, high: the range of the bands in Hz.
            gain: the factor that the spectrum is multiplied by.

        Errors:
            PassError: an option that is impossible in a stream, or one that contradicts another.
        """
        size = self.win_length or fft
        if size > fft:
            raise self.refuse("win_length", f"{size} is more than n_fft {fft}", "raise n_fft")
        if not low < high <= rate / 2:
            raise self.refuse(
                "n_mels", f"its bands would run from {low:g} to {high:g} Hz, at {rate:g} samples a second", WITHIN
            )
        if self.power not in (1.0, 2.0):
            raise self.refuse("power", f"{self.power:g} is neither 1 nor 2", "use 1 or 2")
        if self.top_db is not None:
            raise self.refuse(
                "top_db",
                f"{self.top_db:g} is relative to the maximum of the whole utterance, which a stream does not have",
                "set top_db: null, and use amin as the floor",
            )
        if self.n_mfcc is not None and self.n_mfcc > self.n_mels:
            raise self.refuse("n_mfcc", f"{self.n_mfcc} is more than the {self.n_mels} bands", "raise n_mels")
        side = fft // 2 if self.center else 0
        shape = centred(window_of(window, size), fft)
        loud, offset = self.decibels()
        return FrontEnd(
            self.kind(),
            rate,
            Framing(fft, hop, side, side, PADDING[self.pad_mode] if self.center else "zeros"),
            fourier(shape, fft) * gain,
            mel_filters(bins, self.n_mels, low, high, scale, self.norm),
            power=2 if self.power == 2.0 else 1,
            guard=self.guard,
            floor=self.amin,
            logarithm=self.log != "none",
            matrix=None if self.n_mfcc is None else self.cepstra(self.n_mfcc) * loud,
            gain=loud if self.n_mfcc is None else 1.0,
            offset=offset if self.n_mfcc is None else self.cepstra(self.n_mfcc) @ np.full(self.n_mels, offset),
        )

    def decibels(self) -> tuple[float, float]:
        """The factor and the offset that turn a natural logarithm into decibels; 1 and 0 if ``log`` is not "db"."""
        if self.log != "db":
            return 1.0, 0.0
        multiplier = 10.0 if self.stype == "power" else 20.0
        return multiplier / np.log(10.0), -multiplier * np.log10(max(self.amin, self.ref))

    def cepstra(self, count: int) -> Array:
        table = cosines(count, self.n_mels)
        if self.dct_norm is None:
            table = table * np.sqrt(2.0 * self.n_mels)
            table[0] *= np.sqrt(2.0)
        return lifter_of(count, self.lifter)[:, None] * table


def lifter_of(count: int, order: float) -> Array:
    """The factors of librosa's cepstral liftering, which numbers cepstra from 1; ones if ``order`` is 0."""
    return np.ones(count) if order == 0.0 else 1.0 + order / 2.0 * np.sin(np.pi * np.arange(1, count + 1) / order)
