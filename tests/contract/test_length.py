"""Laws of ``Length``: how many frames a tensor has, as a function of the input's frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphc.contract.length import Length

STEP = st.tuples(st.integers(1, 6), st.integers(-20, 20), st.integers(1, 8))
STEPS = st.lists(STEP, max_size=4)
FRAMES = st.integers(0, 400) | st.integers(0, 25)


def length_of(steps: list[tuple[int, int, int]]) -> Length:
    found = Length()
    for step in steps:
        found = found.then(*step)
    return found


@given(STEPS, FRAMES)
def test_a_length_is_its_steps_one_after_the_other(steps: list[tuple[int, int, int]], frames: int) -> None:
    """Each step stops at 0, as a tensor has no fewer frames than none."""
    expected = frames
    for mul, add, div in steps:
        expected = max(0, (mul * expected + add) // div)
    assert length_of(steps)(frames) == expected


@given(STEPS, FRAMES)
def test_what_the_manifest_says_gives_the_same(steps: list[tuple[int, int, int]], frames: int) -> None:
    length, total = length_of(steps), frames
    for step in length.as_dicts():
        total = max(0, (step["mul"] * total + step["add"]) // step["div"])
    assert total == length(frames)


@given(STEPS, FRAMES, st.integers(1, 50))
def test_more_frames_give_no_fewer(steps: list[tuple[int, int, int]], frames: int, more: int) -> None:
    length = length_of(steps)
    assert length(frames) <= length(frames + more)


@given(STEPS, st.integers(1, 6), st.integers(1, 30))
def test_behind_the_lag_every_carried_frame_exists(steps: list[tuple[int, int, int]], times: int, calls: int) -> None:
    """A tensor of that delay carries no frame of which a shorter stream would have none; one frame less would."""
    length = length_of(steps)
    chunk = times * length.rate.denominator
    frames = chunk * length.rate
    lag = length.lag(chunk)
    assert calls * frames - lag <= length.unclamped(calls * chunk)
    assert any(n * frames - lag + 1 > length.unclamped(n * chunk) for n in range(1, 10_000))


@given(st.integers(0, 10**6), FRAMES)
def test_a_fixed_length_never_changes(count: int, frames: int) -> None:
    assert Length.fixed(count)(frames) == count
    assert Length.fixed(count).rate == 0
