"""Curves in bounded memory say what a plain list of the same values says."""

from __future__ import annotations

import math
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.report.gathering.curves import GREATEST, Curve

FAR = st.one_of(st.integers(-50, 50), st.integers(-(10**12), 10**12), st.integers(-(2**63), 2**63 - 1))
VALUES = st.one_of(st.floats(-1e6, 1e6), st.floats(allow_subnormal=False))
POINTS = st.lists(st.tuples(FAR, VALUES), max_size=60)


def _of(points: list[tuple[int, float]], capacity: int, cuts: list[int]) -> Curve:
    """The curve of these points, given in pieces that end at `cuts`."""
    curve = Curve(capacity)
    edges = sorted({0, len(points), *(cut % (len(points) + 1) for cut in cuts)})
    for first, last in pairwise(edges):
        curve.add([step for step, _ in points[first:last]], [value for _, value in points[first:last]])
    return curve


@settings(max_examples=40, deadline=None)
@given(POINTS, st.integers(2, 12), st.lists(st.integers(0, 60), max_size=4))
def test_a_curve_keeps_what_the_list_of_its_values_says(
    points: list[tuple[int, float]], capacity: int, cuts: list[int]
) -> None:
    curve = _of(points, capacity, cuts)
    finite = [(step, value) for step, value in points if abs(value) <= GREATEST]
    wrong = [step for step, value in points if not abs(value) <= GREATEST]

    assert (curve.total, curve.nonfinite) == (len(finite), len(wrong))
    assert curve.first_nonfinite == (wrong[0] if wrong else None)
    assert repr(curve.last) == repr(points[-1] if points else None)
    assert len(curve) <= capacity
    assert int(curve.counts.sum()) == len(finite)
    assert np.isfinite(curve.means).all()
    assert (curve.lows <= curve.means).all()
    assert (curve.means <= curve.highs).all()
    assert (np.diff(curve.steps) > 0).all() or curve.width > 2**50 or max(map(abs, (s for s, _ in finite))) > 2**52
    if finite:
        assert curve.lows.min() == min(value for _, value in finite)
        assert curve.highs.max() == max(value for _, value in finite)


def _many(seed: int, scale: int) -> list[tuple[int, float]]:
    random = np.random.default_rng(seed)
    return list(zip(random.integers(-scale, scale, 150).tolist(), random.normal(size=150).tolist(), strict=True))


SEEDS = st.integers(0, 2**32)
SCALES = st.sampled_from([4, 100, 10**6, 2**40, 2**60])


@settings(max_examples=30, deadline=None)
@given(SEEDS, SCALES, st.integers(2, 40))
def test_each_bucket_holds_the_values_of_its_steps(seed: int, scale: int, capacity: int) -> None:
    points = _many(seed, scale)
    curve = _of(points, capacity, [*range(0, 150, 7)])
    expected = []
    for _, some in groupby(sorted(points), lambda point: point[0] // curve.width):
        bucket = list(some)
        steps, values = [step for step, _ in bucket], [value for _, value in bucket]
        expected.append((sum(steps) / len(steps), sum(values) / len(values), min(values), max(values), len(bucket)))
    found = zip(curve.steps, curve.means, curve.lows, curve.highs, curve.counts, strict=True)

    assert [pytest.approx(one) for one in expected] == list(found)
    assert curve.width == 1 or (max(points)[0] - min(points)[0]) / curve.width > capacity / 2 - 2


@settings(max_examples=20, deadline=None)
@given(SEEDS, SCALES, st.integers(2, 40), st.lists(st.integers(0, 150), max_size=40))
def test_it_does_not_matter_how_many_values_come_at_once(seed: int, scale: int, capacity: int, cuts: list[int]) -> None:
    points = _many(seed, scale)
    left, right = _of(points, capacity, []), _of(points, capacity, cuts)

    assert left.width == right.width
    for name in ("counts", "lows", "highs"):
        assert np.array_equal(getattr(left, name), getattr(right, name))
    assert np.allclose(left.steps, right.steps)


def test_the_largest_steps_and_values_there_are_stay_in_bounds() -> None:
    curve = Curve(4)
    curve.add([-(2**63), 0, 2**63 - 1], [1.0, 2.0, 3.0])
    curve.add([5] * 4, [GREATEST, GREATEST, -GREATEST, 2 * GREATEST])
    three = Curve(2)
    three.add([0, 0, 0], [0.1, 0.1, 0.1])

    assert len(curve) <= 4
    assert (curve.lows.min(), curve.highs.max()) == (-GREATEST, GREATEST)
    assert (curve.nonfinite, curve.first_nonfinite) == (1, 5)
    assert (np.diff(curve.steps) > 0).all()
    assert three.means.tolist() == [0.1]


def test_a_million_steps_take_the_room_of_a_few_and_keep_the_one_that_stands_out() -> None:
    curve = Curve(256)
    values = np.ones(1_000_000)
    values[777_777] = 50.0
    for first in range(0, len(values), 10_000):
        curve.add(np.arange(first, first + 10_000), values[first : first + 10_000])

    assert 128 < len(curve) <= 256
    assert curve.highs.max() == 50.0
    assert abs(curve.steps[int(np.argmax(curve.highs))] - 777_777) < curve.width
    assert curve.means.max() < 1.02


def test_as_many_values_as_there_are_buckets_stay_exact_wherever_they_lie() -> None:
    steps = [0, 1, 5, 391, 782, 1_700_000_000]
    curve = Curve(6)
    curve.add(steps, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])

    assert curve.steps.tolist() == steps
    assert curve.means.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


def test_parts_of_the_time_axis_have_the_means_of_their_values_and_nothing_where_nothing_was_measured() -> None:
    curve = Curve(8)
    curve.add([0, 1, 10, 11, 35], [1.0, 3.0, 5.0, 7.0, 9.0])
    found = curve.over(np.array([0, 10, 20, 30, 40]))

    assert found[[0, 1, 3]].tolist() == [2.0, 6.0, 9.0]
    assert math.isnan(found[2])


def test_parts_that_are_narrower_than_buckets_have_no_holes() -> None:
    curve = Curve(8)
    curve.add(np.arange(1000), np.arange(1000.0))
    found = curve.over(np.linspace(0, 1000, 21))

    assert curve.width == 128
    assert not np.isnan(found).any()
    assert (np.diff(found) >= 0).all()


def test_an_empty_curve_has_no_values() -> None:
    curve = Curve()
    curve.add([], [])

    assert len(curve) == len(curve.steps) == len(curve.means) == 0
    assert np.isnan(curve.over(np.array([0, 1, 2]))).all()
