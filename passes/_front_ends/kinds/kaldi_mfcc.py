"""Kaldi's cepstra, as compute-mfcc-feats and torchaudio.compliance.kaldi make them."""

from __future__ import annotations

import numpy as np
from graphc_passes._front_ends.front_end import FrontEnd
from graphc_passes._front_ends.kinds.kaldi_frames import KaldiOptions
from graphc_passes._front_ends.spectrum import cosines, lifter
from pydantic import Field


class KaldiMfcc(KaldiOptions):
    num_ceps: int = Field(default=13, ge=1)
    cepstral_lifter: float = Field(default=22.0, ge=0)
    use_energy: bool = Field(default=True, description="the energy in place of C0")

    @classmethod
    def kind(cls) -> str:
        return "kaldi_mfcc"

    def front_end(self) -> FrontEnd:
        """The front end that these options describe.

        Errors:
            PassError: an option that is impossible in a stream, or more cepstra than bands.
        """
        self.refuse_what_no_stream_has()
        if self.num_ceps > self.num_mel_bins:
            raise self.refuse(
                "num_ceps", f"{self.num_ceps} is more than the {self.num_mel_bins} bands", "raise num_mel_bins"
            )
        bands, energy, floor = self.filters(), None, np.asarray(self.floor)
        matrix = lifter(self.num_ceps, self.cepstral_lifter)[:, None] * cosines(self.num_ceps, self.num_mel_bins)
        if self.use_energy:
            bands, energy, floor = self.with_energy(bands, 0)
            matrix = np.insert(matrix, 0, 0.0, axis=1)
            matrix[0] = 0.0
            matrix[0, 0] = 1.0
        if self.htk_compat:
            first = matrix[:1] if self.use_energy else matrix[:1] * np.sqrt(2.0)
            matrix = np.concatenate([matrix[1:], first])
        return FrontEnd(
            self.kind(),
            round(self.sample_frequency),
            self.framing(),
            self.spectrum(),
            bands,
            floor=floor,
            energy=energy,
            matrix=matrix,
        )
