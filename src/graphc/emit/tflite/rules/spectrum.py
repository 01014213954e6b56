"""The discrete Fourier transform of a known length, as a product with the DFT matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.matrix import connected
from graphc.emit.tflite.value import Array, Value


@rule("DFT")
def dft(e: Emitter, node: Node) -> Sequence[Value]:
    """x is (…, n, 1) or (…, n, 2), with real and imaginary parts last. The result is (…, m, 2)."""
    x = node.value(0)
    given = node.array(2, "axis") if node.opset >= 20 else None
    axis = (
        int(given.reshape(-1)[0]) if given is not None else node.attributes.get("axis", -2 if node.opset >= 20 else 1)
    )
    length = node.array(1, "length")
    size, inverse = x.shape[axis], bool(node.attributes.get("inverse", 0))
    one_sided = bool(node.attributes.get("onesided", 0))
    if axis % x.rank == x.rank - 1:
        raise node.refused("it transforms the last axis, which holds the real and imaginary parts")
    if length is not None and int(length.reshape(-1)[0]) != size:
        raise node.refused(f"its dft_length is not the size of its axis, {size}", "pad or cut the signal first")
    if inverse and one_sided:
        raise node.refused("it is inverse and onesided, and graphc converts inverses of whole spectra only")
    places = size // 2 + 1 if one_sided else size
    moved = [a for a in range(x.rank - 1) if a != axis % x.rank]
    order = (*moved, axis % x.rank, x.rank - 1)
    parts = x.shape[-1]
    rest = [x.shape[a] for a in moved]
    flat = e.value(e.reshaped(e.stored(x, order), (*rest, size * parts)), (*rest, size * parts))
    made = connected(e, flat, matrix(size, places, parts, inverse), None)
    shape = list(x.shape)
    shape[axis], shape[-1] = places, 2
    assert made.tensor is not None
    whole = e.value(e.reshaped(made.tensor, (*rest, places, 2)), (*rest, places, 2))
    assert whole.tensor is not None
    return [e.value(whole.tensor, shape, np.float32, order)]


def matrix(size: int, places: int, parts: int, inverse: bool) -> Array:
    """The DFT matrix (size · parts, places · 2), from real and imaginary parts of entries to those of frequencies."""
    angle = 2 * np.pi * np.outer(np.arange(size), np.arange(places)) / size
    turn = np.exp((1j if inverse else -1j) * angle) / (size if inverse else 1)
    real, imaginary = (np.stack([v.real, v.imag], axis=-1) for v in (turn, 1j * turn))
    both = np.stack([real, imaginary][:parts], axis=1)
    return np.ascontiguousarray(both.reshape(size * parts, places * 2), dtype=np.float32)
