"""The chunk that init guesses for a window: a part of it, so that a clip ends with its own window."""

from __future__ import annotations

import pytest

from graphc.discover.init_spec import fits_window, hop


@pytest.mark.parametrize("window", [8, 10, 16, 64, 96, 160, 400, 640, 7500, 16000, 32000])
def test_the_guess_divides_the_window(window: int) -> None:
    assert window % hop(window) == 0
    assert 1 <= hop(window) <= window // 2
    assert str(window) in fits_window(hop(window), window)


def test_a_window_without_a_fitting_part_says_so() -> None:
    assert hop(599) == 59
    assert "ends inside a call" in fits_window(59, 599)
