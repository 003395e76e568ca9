"""Durations in buckets that are too wide to tell are placed by the sum of all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.frames.latency import (
    SUM_US,
    UNBOUNDED,
    bucket_of,
    midpoint,
    placed,
    quantiles,
    requests_in,
    wide_bucket,
)

Cells = tuple[np.ndarray, np.ndarray]


def cells(*pairs: tuple[int, int]) -> Cells:
    bucket, count = zip(*sorted(pairs), strict=True)
    return np.array(bucket, np.int64), np.array(count, np.int64)


def grid(seconds: float) -> int:
    return int(bucket_of(np.array([seconds]))[0])


@given(st.integers(1, 400), st.floats(0.01, 2.5))
def test_their_mean_is_what_the_sum_says(number: int, mean: float) -> None:
    bucket, count = placed(*cells((wide_bucket(0.0, 5.0), number), (SUM_US, round(mean * number * 1e6))))
    assert count.sum() == number
    if number >= 64:
        assert float((midpoint(bucket.astype(np.int32)) * count).sum()) / number == pytest.approx(mean, rel=0.12)
    assert quantiles(bucket, count, (0.5,))[0] == pytest.approx(0.9 * mean, rel=0.35)


def test_what_other_buckets_hold_is_taken_from_the_sum() -> None:
    told = cells((wide_bucket(0.0, 5.0), 80), (grid(7.5), 20), (SUM_US, round((80 * 0.05 + 20 * 7.5) * 1e6)))
    bucket, count = placed(*told)
    assert requests_in(*told) == count.sum() == 100
    assert quantiles(bucket, count, (0.5, 0.95)) == pytest.approx([0.05, 7.5], rel=0.6)


def test_two_wide_buckets_share_what_is_left() -> None:
    told = cells((wide_bucket(0.0, 1.0), 50), (wide_bucket(1.0, 9.0), 50), (SUM_US, round(50 * 0.1e6 + 50 * 1.8e6)))
    bucket, count = placed(*told)
    low, high = quantiles(bucket, count, (0.25, 0.75))
    assert 0.03 < low < 0.3
    assert 1.0 < high < 2.6


@pytest.mark.parametrize("extra", [(), ((UNBOUNDED, 1), (SUM_US, 10**6))])
def test_where_the_sum_says_nothing_they_lie_evenly(extra: tuple[tuple[int, int], ...]) -> None:
    bucket, count = placed(*cells((wide_bucket(0.0, 8.0), 800), *extra))
    assert quantiles(bucket, count, (0.5,))[0] == pytest.approx(4.0, rel=0.2)


def test_a_grid_without_wide_buckets_stays_as_it_is() -> None:
    bucket, count = cells((5, 3), (700, 4), (-1, 9), (-2, 2))
    found = placed(bucket, count)
    assert (found[0].tolist(), found[1].tolist()) == ([5, 700], [3, 4])
    assert requests_in(bucket, count) == 16
