"""Time as formulas: what they give at concrete lengths, and what is true of them at all."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import onnx
import pytest
from conftest import ROOT, by_turns
from drawn_thresholds import draw_threshold_network
from hypothesis import assume, given
from hypothesis import strategies as st
from lifting import model_of, weights
from networks import Seeded
from promise import streams_equal

from graphc.contract.length import Length
from graphc.errors import ChunkMisfitError
from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.spec_file import load_spec
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.evaluation.evaluate import evaluate
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc.stream.propagation.propagate import Propagation
from graphc.stream.symbolic.check import agrees
from graphc.stream.symbolic.domain.lengths import expression_of, length_of
from graphc.stream.symbolic.domain.regroup import fitting, groups_of
from graphc.stream.symbolic.domain.space import (
    NoFormulaError,
    Region,
    constant,
    frames,
    is_same,
    lengths,
    less,
    most,
    nowhere,
    quotient,
    scaled,
    unequal,
)
from graphc.stream.symbolic.domain.tensor import Formula
from graphc.stream.symbolic.formulas import Formulas, Shared
from graphc.stream.symbolic.queries.continuing import Lengths
from graphc.stream.symbolic.queries.questions import Counting, EntryIs, Kept, Periodic, Shifting, Steady
from graphc.stream.symbolic.stretch import ENDLESS, Stretch, around
from graphc.validate.run_streams import session_of
from graphc_runtime.errors import ModelError, StreamError

HELD_OUT = (41, 67, 97)
NUMBERS = {
    "zero": np.array(0),
    "one": np.array(1),
    "two": np.array(2),
    "four": np.array(4),
    "nine": np.array(9),
    "front": np.array([0]),
    "first": np.array([0]),
    "second": np.array([1]),
    "late": np.array(700),
}
HEAD = "h = Shape (x) t = Gather (h, two) r = Range (zero, t, one)"
PLANE = "q = Unsqueeze (r, second) k = Unsqueeze (r, first) d = Sub (k, q)"


def walked(offline: Offline) -> Propagation:
    """The walk over a model at its smallest chunk, as far as it comes."""
    evaluation, chunk = evaluate(offline), 1
    while True:
        walk = Propagation(offline, evaluation, chunk)
        try:
            walk.run()
        except ChunkMisfitError as err:
            chunk = int(np.lcm(chunk, err.multiple))
            continue
        except StreamError:
            return walk
        return walk


def formula(body: str, name: str, **arrays: np.ndarray) -> Formula:
    """The formula of a time-only tensor of a small graph over float[1,2,T] x."""
    model = weights(model_of(f"{HEAD} {body} f = Cast <to=1> ({name}) y = Identity (f) o = Identity (x)"), **NUMBERS)
    offline = offline_of(weights(model, **arrays), StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)}))
    return formulas_of(offline).named(name)


def formulas_of(offline: Offline) -> Formulas:
    return walked(offline).proof.formulas


def disagreements(offline: Offline) -> list[str]:
    """Time-only tensors whose formulas give at some length what onnxruntime does not."""
    walk = walked(offline)
    evaluation = walk.evaluation
    end = walk.proof.end.last
    held_out = tuple(n for n in HELD_OUT if n <= end and n not in evaluation.lengths and offline.accepts(n))
    values = [run.values for run in evaluation.probe.all_at(held_out)]
    wrong: list[str] = []
    for name, known in evaluation.known.items():
        if name not in walk.proof.formulas.made_by or name in evaluation.carried:
            continue
        try:
            found = walk.proof.formulas.named(name)
        except NoFormulaError:
            continue
        seen = [*zip(evaluation.lengths, known.values, strict=True)]
        alone = known.values[0]  # of weights alone, which no run gives
        seen += [(n, run.get(name, alone)) for n, run in zip(held_out, values, strict=True)]
        wrong += [f"{name} at {n}" for n, value in seen if not agrees(found, value, n)]
    return wrong


@pytest.mark.parametrize("name", by_turns([p.stem for p in (ROOT / "specs").glob("*.yaml")], turn=2))
def test_formulas_of_examples_give_what_onnxruntime_gives(name: str) -> None:
    spec = load_spec(ROOT / "specs" / f"{name}.yaml").spec
    offline = offline_of(read_model(ROOT / "specs" / spec.model), spec.stream or StreamSpec(chunk=1))
    assert disagreements(offline) == []


@pytest.mark.parametrize("seed", range(40))
def test_formulas_of_random_thresholds_give_what_onnxruntime_gives(seed: int) -> None:
    model, _ = draw_threshold_network(Seeded(seed))
    offline = offline_of(model, StreamSpec(chunk=1))
    try:
        offline.some_lengths()
    except ModelError:
        pytest.skip("onnxruntime does not run it")
    assert disagreements(offline) == []


ADDED = st.integers(-40, 40)
STRIDED, SPREAD = st.tuples(st.just(1), ADDED, st.integers(1, 9)), st.tuples(st.integers(1, 6), ADDED, st.just(1))


@given(st.lists(STRIDED | SPREAD, max_size=4))
def test_a_length_and_its_expression_are_one_function(steps: list[tuple[int, int, int]]) -> None:
    length = Length(tuple(steps))
    back = length_of(expression_of(length))
    assume(back is not None)
    assert back is not None
    assert all(back.unclamped(n) == length.unclamped(n) for n in range(1, 400))
    assert all(mul > 0 for mul, _, _ in back.steps)
    assert all(back(n) == max(0, length.unclamped(n)) for n in range(1, 400)), "a formula stops at 0 at its end alone"


def test_a_length_out_of_a_negated_division() -> None:
    """-(-T // 4) * 4, as torch exports a length that is rounded up."""
    up = quotient(frames(0).neg(), 4).neg().scale_val(constant(4, 0).max_val())
    length = length_of(up)
    assert length is not None
    assert [length(n) for n in (1, 4, 5, 8, 9)] == [4, 4, 8, 8, 12]


KNOWN = Lengths(30, 1)


def ends(found: Formula, query) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """The stretch of lengths around 30 in which a claim holds."""
    difference = query(found, KNOWN)
    assert difference.unsure.is_empty()
    here: Stretch = around(difference.sure, KNOWN.first, "")
    return here.first, here.last


def test_a_mask_of_blocks_shifts_along_at_every_length() -> None:
    body = f"""{PLANE} a = Div (q, four) b = Div (k, four) e = Sub (a, b)
        lo = GreaterOrEqual (e, zero) hi = LessOrEqual (e, nine) m = And (lo, hi)"""
    mask = formula(body, "m")
    times = (Length(), Length())
    assert ends(mask, Shifting((2, 1), times, 4, 40)) == (1, ENDLESS)
    assert ends(mask, Shifting((2, 1), times, 8, 40)) == (1, ENDLESS)
    assert ends(mask, Shifting((2, 1), times, 3, 40))[1] < 30
    assert ends(mask, Shifting((2, 1), times, 4, 20))[1] < 60, "beyond 20 keys it changes still"


def test_a_mask_that_looks_at_the_end_does_not_shift_along() -> None:
    body = f"{PLANE} e = Sub (t, one) near = Less (k, e) seen = LessOrEqual (d, zero) m = And (near, seen)"
    assert ends(formula(body, "m"), Shifting((2, 1), (Length(), Length()), 1, 25))[1] < 40


@pytest.mark.parametrize(
    ("body", "last"),
    [
        ("q = Less (t, late) v = Cast <to=7> (q)", 699),
        ("q = LessOrEqual (t, late) v = Cast <to=7> (q)", 700),
        ("q = Greater (t, late) v = Cast <to=7> (q)", 700),
        ("q = GreaterOrEqual (t, late) v = Cast <to=7> (q)", 699),
        ("q = Equal (t, late) v = Cast <to=7> (q)", 699),
        ("d = Sub (late, t) v = Min (d, zero)", 700),
        ("d = Div (t, late) v = Max (d, zero)", 699),
    ],
)
def test_gates_of_every_comparison_end_at_their_length(body: str, last: int) -> None:
    assert ends(formula(body, "v"), Steady()) == (1, last)


def test_two_remainders_that_meet_now_and_then() -> None:
    """T mod 160 and T mod 100 are both 0 at 800, 1600 and so on, and at no length before."""
    body = "a = Mod (t, p) b = Mod (t, s) c = Max (a, b) q = Less (c, one) v = Cast <to=7> (q)"
    found = formula(body, "v", p=np.array(160), s=np.array(100))
    assert ends(found, Steady()) == (1, 799)


def test_slow_frames_behind_a_gate() -> None:
    """floor((T - 512) / 320) + 1 < 100 holds up to T = 32,191; no length near it is run."""
    model = weights(
        model_of(
            """z = Conv <strides=[320]> (x, w) h = Shape (z) n = Gather (h, two) q = Less (n, hundred)
               v = Cast <to=1> (q) y = Mul (z, v)""",
            inputs="float[1,1,T] x",
        ),
        w=np.ones((2, 1, 512), np.float32),
        two=np.array(2),
        hundred=np.array(100),
    )
    offline = offline_of(model, StreamSpec(chunk=1))
    assert ends_of_name(offline, "v") == 512 + 99 * 320 - 1


def ends_of_name(offline: Offline, name: str) -> int:
    found = formulas_of(offline).named(name)
    difference = Steady()(found, Lengths(1000, 1))
    return around(difference.sure, 1000, name).last


def test_ramps_periods_and_kept_frames() -> None:
    ramp = formula("v = Add (r, nine)", "v")
    assert ends(ramp, Counting(0, Length(), 9, 1)) == (1, ENDLESS)
    assert ends(ramp, Counting(0, Length(), 8, 1))[1] < 30
    clamped = formula("v = Min (r, late)", "v")
    assert ends(clamped, Counting(0, Length(), 0, 1)) == (1, 701)
    turning = formula("v = Mod (r, four)", "v")
    assert ends(turning, Periodic(1, Length(), 4)) == (1, ENDLESS)
    assert ends(turning, Periodic(1, Length(), 3))[1] < 30
    picked = formula("u = Unsqueeze (t, front) e = Concat <axis=0> (u, front) v = Identity (e)", "e")
    assert ends(picked, EntryIs(0, Length())) == (1, ENDLESS)
    assert ends(picked, EntryIs(1, Length()))[1] < 30


@pytest.mark.parametrize(
    ("body", "ratio"),
    [
        ("k = Div (t, four) v = Div (t, k)", lambda n: n // (n // 4)),
        ("u = Add (t, nine) k = Div (u, ten) a = Mul (k, twenty) b = Mul (k, four) v = Div (a, b)", lambda n: 5),
    ],
)
def test_quotients_of_two_growing_numbers(body: str, ratio: Callable[[int], int]) -> None:
    found = formula(body, "v", ten=np.array(10), twenty=np.array(20))
    assert all(agrees(found, np.array(ratio(n)), n) for n in range(4, 60))
    assert most(found.outside) == 3 or ends(found, Steady()) == (1, ENDLESS)


def test_kept_frames_of_a_slice() -> None:
    model = weights(
        model_of("y = Slice (x, begin, e, axis, step) h = Shape (x) t = Gather (h, two) e = Unsqueeze (t, front)"),
        begin=np.array([1]),
        axis=np.array([2]),
        step=np.array([3]),
        two=np.array(2),
        front=np.array([0]),
    )
    offline = offline_of(model, StreamSpec(chunk=1))
    node = next(n for n in evaluate(offline).graph.nodes if n.op == "Slice")
    formulas = formulas_of(offline)
    made, source = formulas.made(node, "y"), formulas.named("x")
    assert ends(made, Kept(source, 2, 1, ((2, 3),))) == (1, ENDLESS)
    assert ends(made, Kept(source, 2, 0, ((2, 3),)))[1] < 30


def test_a_relative_shift_is_followed_by_its_flat_places() -> None:
    """Pad, Reshape, Slice, Reshape, Slice: column j of row i comes from column j - i + T - 1 of the table."""
    made = formula(
        "u = Unsqueeze (t, front) w = Mul (u, two) v1 = Sub (w, second) lo = Sub (one, t) wd = Range (lo, t, one)"
        "z = Mul (r, zero) zq = Unsqueeze (z, second) s = Add (zq, wd) p = Pad (s, pads) wide = Concat <axis=0> (w, u)"
        "a = Reshape (p, wide) b = Slice (a, second, end, front) back = Concat <axis=0> (u, v1) c = Reshape (b, back)"
        "v = Slice (c, front, u, second)",
        "v",
        pads=np.array([0, 1, 0, 0]),
        end=np.array([2**62]),
    )
    for n in (5, 8, 31):
        place = np.arange(n)
        assert agrees(made, place[None] - place[:, None], n), "key less query, as the table holds it"
    assert ends(made, Shifting((2, 1), (Length(), Length()), 1, ENDLESS)) == (1, ENDLESS)


def test_numbers_that_a_type_cannot_hold_are_kept_beside_the_formula() -> None:
    half = formula("c = Cast <to=10> (t) v = Cast <to=7> (c)", "v")
    assert around(half.rounded, 30, "").last == 2048
    single = formula("c = Cast <to=1> (t) v = Cast <to=7> (c)", "v")
    assert around(single.rounded, 30, "").last == 2**24


@pytest.mark.parametrize(
    "read",
    ["e = Unsqueeze (t, front) v = Slice (rows, front, e)", "v = Gather (rows, r)", "v = GatherElements (rows, r)"],
)
def test_tables_end_where_they_are_read_past_their_end(read: str) -> None:
    found = formula(read, "v", rows=np.arange(500, dtype=np.float32) ** 2)
    assert around(found.outside | found.past, 30, "").last == 500


def test_what_has_no_formula_says_which_node() -> None:
    with pytest.raises(NoFormulaError, match="two sizes that both depend on the stream's length"):
        formula("u = Unsqueeze (t, front) b = Concat <axis=0> (u, u) z = ConstantOfShape (b) v = Size (z)", "v")


def test_sizes_that_are_equal_at_every_length() -> None:
    one = quotient(frames(0) + constant(3, 0), 4)
    assert is_same(one, quotient(frames(0) - constant(1, 0), 4) + constant(1, 0))
    assert not is_same(one, quotient(frames(0), 4))
    assert is_same(one, quotient(frames(0), 4), nowhere(0))
    assert not lengths(0).is_empty()


def test_formulas_are_made_once_for_nodes_that_are_alike() -> None:
    model = weights(
        model_of(f"{HEAD} a = Mul (r, two) b = Mul (r, two) c = Add (a, b) f = Cast <to=1> (c) y = Add (x, f)"),
        **NUMBERS,
    )
    offline = offline_of(model, StreamSpec(chunk=1))
    walk = walked(offline)
    formulas = walk.proof.formulas
    assert formulas.named("a") is formulas.named("b")
    again = Formulas(
        walk.evaluation.graph,
        offline,
        walk.facts,
        walk.evaluation.dtypes,
        walk.evaluation.carried,
        Shared(),
        lambda n: np.zeros(0),
    )
    assert again.named("a") is not formulas.named("a")
    assert isinstance(model, onnx.ModelProto)


FRACTIONS = st.fractions(-3, 3, max_denominator=8)


@given(FRACTIONS, FRACTIONS, FRACTIONS, st.integers(1, 12))
def test_fractions_are_compared_as_fractions(slope: Fraction, start: Fraction, other: Fraction, length: int) -> None:
    """isl compares whole numbers: 0 and 1/2 are neither less, nor more, nor unequal by it."""
    ramp, bound = scaled(frames(0), slope) + constant(start, 0), constant(other, 0)
    value = slope * length + start

    def holds(region: Region) -> bool:
        return not (region & frames(0).eq_set(constant(length, 0))).is_empty()

    assert holds(less(ramp, bound)) == (value < other)
    assert holds(less(bound, ramp)) == (value > other)
    assert holds(unequal(ramp, bound)) == (value != other)
    assert holds(ramp.ge_set(bound)) == (value >= other)
    assert holds(ramp.le_set(bound)) == (value <= other)
    assert holds(ramp.eq_set(bound)) == (value == other)


@pytest.mark.parametrize(
    "body",
    [
        "c = Less (r, late) g = Where (c, half, none)",
        "c = Less (r, late) w = Where (c, half, none) b = Cast <to=9> (w) g = Cast <to=1> (b)",
        "c = Less (r, late) w = Where (c, half, none) g = Sign (w)",
        "c = Less (r, late) w = Where (c, half, none) b = Greater (w, none) g = Cast <to=1> (b)",
        "c = Less (r, late) w = Where (c, half, none) b = LessOrEqual (w, none) g = Cast <to=1> (b)",
        "c = Less (r, late) w = Where (c, half, none) g = Ceil (w)",
        "c = Less (r, late) w = Where (c, none, half) v = Neg (w) i = Cast <to=7> (v) j = Add (i, one)"
        " b = Where (c, j, zero) g = Cast <to=1> (b)",
        "m = Less (t, late) w = Where (m, half, none) s = Unsqueeze (w, first) u = Expand (s, sized)"
        " v = ReduceMax <axes = [0], keepdims = 0> (u) n = Expand (half, h3) g = Mul (n, v)",
    ],
)
def test_a_fraction_below_one_that_ends_is_seen_to_end(body: str) -> None:
    head = f"{HEAD} h3 = Unsqueeze (t, first) {body}"
    model = weights(
        model_of(f"{head} y = Mul (x, g)"),
        **NUMBERS,
        half=np.array(0.5, np.float32),
        none=np.array(0, np.float32),
        sized=np.array([3]),
    )
    offline = offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)}))
    session = session_of(lift(analyse(offline)))
    assert session.manifest.max_frames in (None, 699)
    assert streams_equal(offline, session, (20, 699, 700, 701, 704)).kind == "equal"


PENALTIES = {
    "exact in float": "v = Mul (c, slope)",
    "rounded": "s = Mul (slope, third) v = Mul (c, s)",
    "divided": "s = Div (slope, third) v = Div (c, s)",
    "squared": "u = Mul (c, c) s = Mul (slope, third) v = Mul (u, s)",
    "to a power": "u = Pow (c, square) s = Mul (slope, third) v = Mul (u, s)",
    "from the other side": "s = Mul (slope, third) m = Mul (c, s) n = Neg (m) v = Sub (third, n)",
    "a slope for each head": "s = Mul (heads, slope) v = Mul (c, s)",
    "a root": "u = Mul (c, third) w = Sqrt (u) s = Mul (slope, third) v = Mul (w, s)",
}


@pytest.mark.parametrize(
    ("slope", "falling", "ends"), [(-0.5, 1, False), (0.5, 1, True), (0.5, -1, False), (-0.5, 0, True)]
)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_a_penalty_may_fall_with_the_distance_and_not_rise(
    penalty: str, slope: float, falling: int, ends: bool
) -> None:
    numbers = {"slope": np.float32(slope), "third": np.float32(0.3), "square": np.float32(2)}
    numbers["heads"] = np.array([0.1, 0.7], np.float32).reshape(2, 1, 1)
    body = f"{PLANE} a = Abs (d) c = Cast <to=1> (a) {penalty}"
    found = formula(body, "v", **{name: value for name, value in numbers.items() if name in penalty})
    assert (fails_from(found, Shifting((2, 1), (Length(), Length()), 1, 25, falling)) < 40) == ends


def test_heads_with_slopes_of_both_signs_are_no_penalty() -> None:
    heads = np.array([0.1, -0.7], np.float32).reshape(2, 1, 1)
    found = formula(f"{PLANE} a = Abs (d) c = Cast <to=1> (a) v = Mul (c, heads)", "v", heads=heads)
    assert fails_from(found, Shifting((2, 1), (Length(), Length()), 1, 25, 1)) < 40


def fails_from(found: Formula, query) -> int:  # type: ignore[no-untyped-def]
    """The last length before a claim fails, or may fail."""
    difference = query(found, KNOWN)
    return around(difference.sure | difference.unsure, KNOWN.first, "").last


def ends_at(found: Formula, query) -> int:  # type: ignore[no-untyped-def]
    return ends(found, query)[1]


def test_a_reshape_of_a_table_that_ends_fits_at_the_lengths_before_its_end() -> None:
    """[n, 2n - 1 of 15 rows at most, and a column] as [2n, n]: no model runs it for more than 8 frames."""
    n = frames(0)
    width = scaled(n, 2).min(constant(16, 0))
    before, after = [constant(4, 0), n, width], [constant(4, 0), scaled(n, 2), n]
    fits = fitting(before, after)
    assert [t for t in range(1, 40) if not (fits & n.eq_set(constant(t, 0))).is_empty()] == list(range(1, 9))
    with pytest.raises(NoFormulaError):
        groups_of(before, after, lengths(0))
    assert groups_of(before, after, fits) == [([0], [0]), ([1, 2], [1, 2])]


def test_sizes_that_fit_at_one_length_by_chance_fit_there() -> None:
    n = frames(0)
    fits = fitting([n, constant(16, 0)], [scaled(n, 2), n])
    assert [t for t in range(1, 40) if not (fits & n.eq_set(constant(t, 0))).is_empty()] == [8]
