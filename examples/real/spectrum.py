"""The signal processing around DeepFilterNet3: analysis, features, filtering, synthesis, a hop of 10 ms at a time.

Formulas: Schröter et al., "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement" (Interspeech 2023), with
the parameters of the model's own config.ini.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

RATE, FFT, HOP, BANDS, BINS = 48_000, 960, 480, 32, 96
ORDER, LOOKAHEAD = 5, 2
DECAY = float(np.exp(-HOP / RATE))
WINDOW = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(FFT) + 0.5) / FFT) ** 2).astype(np.float32)


def band_widths() -> list[int]:
    """Frequency bins of each ERB band, at least two."""
    low, high = 0.0, 9.265 * np.log1p(RATE / 2 / (24.7 * 9.265))
    widths: list[int] = []
    before = over = 0
    for band in range(1, BANDS + 1):
        frequency = 24.7 * 9.265 * np.expm1((low + band * (high - low) / BANDS) / 9.265)
        edge = round(frequency / (RATE / FFT))
        width = edge - before - over
        over = max(2 - width, 0)
        widths.append(max(width, 2))
        before = edge
    widths[-1] += FFT // 2 + 1 - sum(widths)
    return widths


WIDTHS = band_widths()
EDGES = np.cumsum([0, *WIDTHS])


class Analysis:
    """Samples to spectra and features, one hop at a time."""

    def __init__(self) -> None:
        self.past = np.zeros(FFT - HOP, np.float32)
        self.mean = np.linspace(-60, -90, BANDS)
        self.size = np.linspace(0.001, 0.0001, BINS)

    def __call__(self, hop: Array) -> tuple[Array, Array, Array]:
        """480 samples to a spectrum [481], ERB features [1, 1, 1, 32] and complex features [1, 2, 1, 96]."""
        frame = np.concatenate([self.past, hop])
        self.past = frame[HOP:]
        spectrum = np.fft.rfft(frame * WINDOW) * (2 * HOP / FFT**2)
        power = np.add.reduceat(np.abs(spectrum) ** 2, EDGES[:-1]) / WIDTHS
        level = 10 * np.log10(power + 1e-10)
        self.mean = level * (1 - DECAY) + self.mean * DECAY
        low = spectrum[:BINS]
        self.size = np.abs(low) * (1 - DECAY) + self.size * DECAY
        low = low / np.sqrt(self.size)
        erb = ((level - self.mean) / 40).astype(np.float32)
        return spectrum, erb[None, None, None], np.stack([low.real, low.imag]).astype(np.float32)[None, :, None]


class Filter:
    """Applies gains and filter coefficients to the spectra that they belong to, ``2 * LOOKAHEAD`` hops earlier."""

    def __init__(self) -> None:
        self.spectra: deque[Array] = deque([np.zeros(FFT // 2 + 1, complex)] * (ORDER + LOOKAHEAD), ORDER + LOOKAHEAD)

    def hear(self, spectrum: Array) -> None:
        self.spectra.append(spectrum)

    def __call__(self, gains: Array, coefficients: Array) -> Array:
        """The enhanced spectrum of the frame that the gains [32] and coefficients [96, 10] were made for."""
        window = list(self.spectra)[-ORDER:]
        clean = window[ORDER - 1 - LOOKAHEAD] * np.repeat(gains, WIDTHS)
        taps = coefficients.reshape(BINS, ORDER, 2)
        taps = taps[..., 0] + 1j * taps[..., 1]
        clean[:BINS] = sum(window[k][:BINS] * taps[:, k] for k in range(ORDER))
        return clean


class Synthesis:
    """Spectra to samples by overlap-add."""

    def __init__(self) -> None:
        self.past = np.zeros(FFT - HOP)

    def __call__(self, spectrum: Array) -> Array:
        frame = np.fft.irfft(spectrum) * FFT * WINDOW
        frame[: FFT - HOP] += self.past
        self.past = frame[HOP:]
        return frame[:HOP].astype(np.float32)


def resampled(samples: Array, rate: int, wanted: int) -> Array:
    """The same sound at another rate, by its spectrum."""
    count = round(samples.size * wanted / rate)
    spectrum = np.fft.rfft(samples)
    bins = count // 2 + 1
    spectrum = np.pad(spectrum, (0, max(0, bins - spectrum.size)))[:bins]
    return (np.fft.irfft(spectrum, count) * count / samples.size).astype(np.float32)
