"""Windows, Fourier and cosine transforms as matrices."""

from __future__ import annotations

import numpy as np
from graphc_passes._front_ends.front_end import Array


def window_of(shape: str, size: int, periodic: bool = True) -> Array:
    """The window of scipy with this name, [size], either periodic or symmetric."""
    from scipy.signal import get_window

    return np.asarray(get_window(shape, size, fftbins=periodic))


def fourier(frame: Array, fft: int) -> Array:
    """The matrix that computes the Fourier transform of a frame, in real and imaginary parts: [2, bins, samples].

    ``frame`` is the window of the frame, [samples], or a matrix that computes the frame from samples, [size, samples].
    The frame is padded with zeros to ``fft`` samples.
    """
    angle = 2.0 * np.pi * np.outer(np.arange(fft // 2 + 1), np.arange(len(frame))) / fft
    applied = np.multiply if frame.ndim == 1 else np.matmul
    no_minus_zero = 0.0
    return np.stack([applied(np.cos(angle), frame), applied(-np.sin(angle), frame)]) + no_minus_zero


def centred(window: Array, fft: int) -> Array:
    """A window padded with zeros on both sides to [fft], as torch.stft and librosa pad it."""
    left = (fft - len(window)) // 2
    return np.pad(window, (left, fft - len(window) - left))


def cosines(count: int, bands: int) -> Array:
    """The first rows of the orthonormal cosine transform of type II, [count, bands]."""
    table = np.cos(np.pi / bands * np.outer(np.arange(count), np.arange(bands) + 0.5)) * np.sqrt(2.0 / bands)
    table[0] = np.sqrt(1.0 / bands)
    return np.asarray(table)


def lifter(count: int, order: float) -> Array:
    """The factors of cepstral liftering: 1 + order / 2 * sin(pi * i / order); ones if ``order`` is 0."""
    if order == 0.0:
        return np.ones(count)
    return np.asarray(1.0 + 0.5 * order * np.sin(np.pi * np.arange(count) / order))


def power_of_two(size: int) -> int:
    """The smallest power of two that is at least ``size``."""
    return 1 << (size - 1).bit_length()
