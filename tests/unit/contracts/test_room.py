"""Whether more requests can be what a service suffers from: bounds on both sides."""

from __future__ import annotations

import math

import pytest

from contracts.room import has_room, queues


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
