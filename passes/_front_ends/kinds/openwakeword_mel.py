"""The features of openWakeWord: its melspectrogram.onnx, and the x / 10 + 2 that its code applies after it."""

from __future__ import annotations

import numpy as np
from graphc_passes._front_ends.front_end import Framing, FrontEnd
from graphc_passes._front_ends.mel_filters import bins_of, mel_filters
from graphc_passes._front_ends.options import KindOptions
from graphc_passes._front_ends.spectrum import centred, fourier, window_of
from pydantic import Field

RATE, FFT, WINDOW, HOP, BANDS = 16000, 512, 400, 160, 32
LOW, HIGH, FLOOR = 60.0, 3800.0, 1e-10


class OpenwakewordMel(KindOptions):
    top_db: float | None = Field(default=None, description="only null: it is relative to the maximum of one call")

    @classmethod
    def kind(cls) -> str:
        return "openwakeword_mel"

    def front_end(self) -> FrontEnd:
        """The front end of openWakeWord.

        Errors:
            PassError: top_db is set.
        """
        if self.top_db is not None:
            raise self.refuse(
                "top_db",
                f"{self.top_db:g} is relative to the maximum over all samples of a call, but a front end sees one "
                "frame at a time",
                "leave top_db out, or compile melspectrogram.onnx itself with stream.window: 1760 and chunk: 1280",
            )
        return FrontEnd(
            self.kind(),
            RATE,
            Framing(FFT, HOP),
            fourier(centred(window_of("hann", WINDOW), FFT), FFT),
            mel_filters(bins_of(RATE, FFT), BANDS, LOW, HIGH, "slaney", "slaney"),
            floor=FLOOR,
            gain=1.0 / np.log(10.0),
            offset=2.0,
            notes=("the package's floor of 80 dB below the loudest band of a call is left out",),
        )
