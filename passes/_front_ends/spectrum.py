"""Windows, Fourier and cosine transforms as matrices."""

from __future__ import annotations

import numpy as np
from graphc_passes._front_ends.front_end import Array


def window_of(shape: str, size: int, periodic: bool = True) -> Array:
    """A window of scipy's by its name, [size]; one that is not periodic is symmetric."""
    from scipy.signal import get_window

    return np.asarray(get_window(shape, size, fftbins=periodic))


def fourier(frame: Array, fft: int) -> Array:
    """Real and imaginary parts of the transform of a frame that a matrix [size, samples] makes: [2, bins, samples].

    The frame stands at the start of ``fft`` places; the rest are zeros.
    """
    angle = 2.0 * np.pi * np.outer(np.arange(fft // 2 + 1), np.arange(len(frame))) / fft
    return np.stack([np.cos(angle) @ frame, -np.sin(angle) @ frame])


def centred(window: Array, fft: int) -> Array:
    """A window in the middle of ``fft`` places, as torch.stft and librosa put it, [fft, fft]."""
    left = (fft - len(window)) // 2
    return np.diag(np.pad(window, (left, fft - len(window) - left)))


def cosines(count: int, bands: int) -> Array:
    """The first rows of the orthonormal cosine transform of type II, [count, bands]."""
    table = np.cos(np.pi / bands * np.outer(np.arange(count), np.arange(bands) + 0.5)) * np.sqrt(2.0 / bands)
    table[0] = np.sqrt(1.0 / bands)
    return np.asarray(table)


def lifter(count: int, order: float) -> Array:
    """The liftering of cepstra, as factors: 1 + order / 2 * sin(pi * i / order); ones where order is 0."""
    if order == 0.0:
        return np.ones(count)
    return np.asarray(1.0 + 0.5 * order * np.sin(np.pi * np.arange(count) / order))


def power_of_two(size: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << (size - 1).bit_length()
