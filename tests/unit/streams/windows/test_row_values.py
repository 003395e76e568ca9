"""Rows from sums: figures worked out by hand, of all events and of those that stand for more than themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest

from contracts.frames.latency import midpoint
from streams.windows.row_values import adjusted, edge_values, log_values, span_aside, span_values
from streams.windows.window import Sums

NAN = math.nan


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@pytest.mark.parametrize(
    ("count", "errors", "unseen", "unseen_errors", "whole", "share", "trials"),
    [
        (10, 2, 0, 0, 10.0, 0.2, 10),
        (10, 2, 90_000, 18_000, 100.0, 0.2, 10),  # each stands for ten
        (10, 2, 72_000, 0, 82.0, 2 / 82, 8),  # what failed was all kept: 82² / (80² / 8 + 2² / 2) = 8.4
        (10, 9, 9_000, 0, 19.0, 9 / 19, 3),  # 19² / (10² / 1 + 9² / 9) = 3.3
        (10, 10, 10_000, 10_000, 20.0, 1.0, 10),
        (10, 0, 5_500, 0, 15.5, 0.0, 10),
        (0, 0, 3_000, 0, 3.0, 0.0, 0),
    ],
)
def test_sampled_events_are_as_many_as_they_stand_for_and_worth_no_more_than_were_seen(
    count: int, errors: int, unseen: int, unseen_errors: int, whole: float, share: float, trials: int
) -> None:
    found = adjusted(ints(count), ints(errors), ints(unseen), ints(unseen_errors))
    assert [float(c[0]) for c in found] == pytest.approx([whole, share, trials])


def test_of_no_events_no_share_is_known() -> None:
    for unseen in (0, 5_000):
        rate, share, trials = adjusted(ints(0, 4), ints(0, 1), ints(0, unseen), ints(0, 0))
        assert (rate[0], math.isnan(share[0]), trials[0]) == (0.0, True, 0)
        assert share[1] == pytest.approx(1 / (4 + unseen / 1000))


def sums(*columns: int, cells: tuple[tuple[int, int], ...] = ()) -> Sums:
    """Of key 4, with cells of a histogram."""
    found = Sums(len(columns))
    found.add(ints(4), tuple(ints(c) for c in columns))
    for bucket, count in cells:
        found.add_cells(ints(4), ints(bucket), ints(count))
    return found


NOTHING = Sums(2)


def test_rates_are_by_the_second() -> None:
    low, high = midpoint(np.array([300, 400], np.int32)).tolist()
    requests = sums(20, 5, 1, 16, 2000, -3000, cells=((300, 18), (400, 2)))
    values, trials = span_values(requests, ints(4, 9), 0.5, NOTHING)
    assert values[0].tolist() == pytest.approx([40.0, 0.25, low, high, high])
    assert (values[1, 0], np.isnan(values[1, 1:]).all(), trials.tolist()) == (0.0, True, [20, 0])
    assert span_aside(requests, ints(4, 9)).tolist() == [[16.0, 2.0, -3.0], [0.0, 0.0, 0.0]]

    calls = sums(20, 5, 1, 6_000_000, 3, cells=((300, 19), (400, 1)))
    values, trials = edge_values(calls, ints(4, 9), 2.0, NOTHING)
    assert values[0].tolist() == pytest.approx([10.0, 0.25, low, 0.002])
    assert (values[1, 0], np.isnan(values[1, 1:]).all(), trials.tolist()) == (0.0, True, [20, 0])

    values, count = log_values(sums(20, 5), ints(4, 9), 0.5, ints(3, 0))
    assert values[0].tolist() == [40.0, 0.25, 6.0]
    assert (values[1, 0], math.isnan(values[1, 1]), values[1, 2], count.tolist()) == (0.0, True, 0.0, [20, 0])


def test_what_is_beyond_what_came_is_counted_at_its_rate() -> None:
    beyond = sums(180_000, 45_000)
    values, trials = span_values(sums(20, 5, 0, 0, 0, 0), ints(4), 1.0, beyond)
    assert (values[0, :2].tolist(), trials.tolist()) == ([200.0, 0.25], [20])
    values, trials = edge_values(sums(20, 5, 0, 0, 0), ints(4), 1.0, beyond)
    assert (values[0, :2].tolist(), trials.tolist()) == ([200.0, 0.25], [20])


def test_whom_nothing_came_of_but_what_was_left_out_is_worth_no_trial() -> None:
    """Beside one of which all came, and one that all failed."""
    rate, share, trials = adjusted(ints(0, 10, 4), ints(0, 0, 4), ints(0, 0, 9_000), ints(0, 0, 9_000))
    assert (rate.tolist(), trials.tolist()) == ([0.0, 10.0, 13.0], [0, 10, 4])
    assert (math.isnan(share[0]), share[1:].tolist()) == (True, [0.0, 1.0])


@pytest.mark.parametrize(("errors", "unseen_errors", "trials"), [(1, 0, 8), (1, 9_000, 10), (2, 4_500, 10), (9, 0, 6)])
def test_what_failed_and_what_did_not_are_worth_what_they_stand_for(
    errors: int, unseen_errors: int, trials: int
) -> None:
    """Ten came and half as many again did not: 15² over the sum of what is squared of each stratum."""
    well, bad = 15.0 - errors - unseen_errors / 1000, errors + unseen_errors / 1000
    exact = 225.0 / (well**2 / max(10 - errors, 1) + bad**2 / errors)
    found = adjusted(ints(10), ints(errors), ints(5_000), ints(unseen_errors))[2][0]
    assert found == min(round(exact), 10)
