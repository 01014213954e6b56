"""Triangular filters on a mel scale, as the libraries define them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from graphc_passes._front_ends.front_end import Array

Scale = Literal["htk", "slaney"]

SLANEY_HZ = 200.0 / 3.0
SLANEY_CORNER = 1000.0
SLANEY_LOG_STEP = np.log(6.4) / 27.0
KALDI_FACTOR = 1127.0


def hz_to_mel(hz: Array | float, scale: Scale) -> Array:
    """Converts frequencies in Hz to mel.

    HTK: 2595 log10(1 + f / 700). Slaney: linear below 1 kHz and logarithmic above (Auditory Toolbox, 1998).
    """
    f = np.asarray(hz, np.float64)
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + f / 700.0))
    above = SLANEY_CORNER / SLANEY_HZ + np.log(np.maximum(f, 1e-10) / SLANEY_CORNER) / SLANEY_LOG_STEP
    return np.where(f < SLANEY_CORNER, f / SLANEY_HZ, above)


def mel_to_hz(mel: Array, scale: Scale) -> Array:
    """The inverse of ``hz_to_mel``."""
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    corner = SLANEY_CORNER / SLANEY_HZ
    return np.where(mel < corner, mel * SLANEY_HZ, SLANEY_CORNER * np.exp(SLANEY_LOG_STEP * (mel - corner)))


def mel_filters(
    bins: Array, count: int, low: float, high: float, scale: Scale, norm: Literal["slaney"] | None
) -> Array:
    """Triangular filters with sides linear in Hz, [count, bins], as in librosa and torchaudio.

    Args:
        bins: the frequency of each bin in Hz.
        norm: "slaney" divides each filter by half its width in Hz, so that all have the same area.
    """
    corners = mel_to_hz(np.linspace(hz_to_mel(low, scale), hz_to_mel(high, scale), count + 2), scale)
    up = (bins[None] - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    down = (corners[2:, None] - bins[None]) / (corners[2:] - corners[1:-1])[:, None]
    filters = np.maximum(0.0, np.minimum(up, down))
    return filters * (2.0 / (corners[2:] - corners[:-2]))[:, None] if norm == "slaney" else filters


def bins_of(rate: float, fft: int) -> Array:
    """The frequencies of the bins of a Fourier transform of real samples, in Hz."""
    return np.arange(fft // 2 + 1) * rate / fft


def kaldi_filters(rate: float, fft: int, count: int, low: float, high: float, htk: bool) -> Array:
    """Triangular filters with sides linear in mel, [count, fft // 2 + 1], as in Kaldi's ``MelBanks``.

    No filter uses the bin of the Nyquist frequency. With ``htk``, the first filter does not use its lowest bin, as with
    ``--htk-mode``.
    """
    bins = kaldi_mel(bins_of(rate, fft))
    corners = np.linspace(kaldi_mel(low), kaldi_mel(high), count + 2)
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    filters = np.where((bins > left) & (bins < right), np.where(bins <= centre, rising, falling), 0.0)
    filters[:, -1] = 0.0
    if htk and low != 0.0:
        filters[0, np.flatnonzero(filters[0])[:1]] = 0.0
    return filters


def kaldi_mel(hz: Array | float) -> Array:
    return np.asarray(KALDI_FACTOR * np.log(1.0 + np.asarray(hz, np.float64) / 700.0))
