"""The delay of a window: the least at which all that an output frame reads has arrived."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphc.stream.time.window import Window


@given(
    extent=st.integers(1, 12),
    stride=st.integers(1, 5),
    before=st.integers(-6, 12),
    delay=st.integers(-6, 12),
    times=st.integers(1, 4),
)
def test_a_delay_is_the_least_that_waits_for_every_frame_read(
    extent: int, stride: int, before: int, delay: int, times: int
) -> None:
    """Call n has brought the input's frames before ``(n + 1) * chunk - delay``, and gives ``chunk / stride`` frames."""
    window = Window(extent, stride, before, 0, (1, 0, stride))
    chunk = times * stride
    found = window.delay(delay)

    def has_all(wanted: int) -> bool:
        arrived = 50 * chunk - delay
        last = 50 * times - wanted - 1
        return last * stride - before + extent <= arrived

    assert has_all(found)
    assert not has_all(found - 1)
