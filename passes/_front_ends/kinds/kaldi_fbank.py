"""Kaldi's filter bank, as compute-fbank-feats, kaldi-native-fbank and torchaudio.compliance.kaldi make it."""

from __future__ import annotations

import numpy as np
from graphc_passes._front_ends.front_end import FrontEnd
from graphc_passes._front_ends.kinds.kaldi_frames import KaldiOptions


class KaldiFbank(KaldiOptions):
    use_log_fbank: bool = True
    use_power: bool = True

    @classmethod
    def kind(cls) -> str:
        return "kaldi_fbank"

    def front_end(self) -> FrontEnd:
        """The front end that these options describe.

        Errors:
            PassError: an option that is impossible in a stream, or one that contradicts another.
        """
        self.refuse_what_no_stream_has()
        bands, energy, floor = self.filters(), None, np.asarray(self.floor)
        if self.use_energy:
            if not self.use_log_fbank or not self.use_power:
                raise self.refuse(
                    "use_energy",
                    "the energy is a log power, but the other features are not",
                    "set use_energy: false, or set use_log_fbank and use_power to true",
                )
            bands, energy, floor = self.with_energy(bands, len(bands) if self.htk_compat else 0)
        return FrontEnd(
            self.kind(),
            round(self.sample_frequency),
            self.framing(),
            self.spectrum(),
            bands,
            power=2 if self.use_power else 1,
            floor=floor,
            logarithm=self.use_log_fbank,
            energy=energy,
        )
