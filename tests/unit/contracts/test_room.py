"""Whether more requests can be what a service suffers from: bounds on both sides."""

from __future__ import annotations

import math

import pytest

from contracts.room import has_room, queues, usual_seconds


@pytest.mark.parametrize(
    ("per_second", "seconds", "may"),
    [
        (10.0, 0.049, False),
        (10.0, 0.05, True),
        (1.0, 0.5, True),
        (0.0, 9.0, False),
        (math.nan, 0.1, True),
        (9.0, math.nan, True),
    ],
)
def test_requests_queue_once_they_keep_half_a_worker_busy(per_second: float, seconds: float, may: bool) -> None:
    assert queues(per_second, seconds) is may


@pytest.mark.parametrize(
    ("cpu", "times", "has"),
    [(0.3, 1.9, True), (0.3, 2.0, False), (0.4, 1.6, False), (0.0, 1.5, True), (math.nan, 1.5, False)],
)
def test_a_service_has_room_below_its_limit_and_twice_its_requests(cpu: float, times: float, has: bool) -> None:
    assert has_room(cpu, times) is has


@pytest.mark.parametrize(
    ("median", "p95", "mean"),
    [
        (0.02, 0.02, 0.02),
        (0.02, 0.066, 0.02602),
        (0.001, 10.0, 10.0),
        (0.0, 1.0, math.nan),
        (0.2, 0.1, math.nan),
        (math.nan, 1.0, math.nan),
    ],
)
def test_the_mean_of_latencies_lies_above_their_median_and_never_above_the_slowest(
    median: float, p95: float, mean: float
) -> None:
    assert usual_seconds(median, p95) == pytest.approx(mean, rel=1e-3, nan_ok=True)
