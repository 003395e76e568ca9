"""What routes say of requests, beside the same worked out one by one: mean and spread of logarithms, fading, learning little of the slow."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from contracts.units import HOUR, MILLISECOND, SECOND
from streams.windows.routes import Routes

T0 = 1_700_000_000 * SECOND
KEY = [("shop", "GET /")]


@dataclass
class Plain:
    """One route of a service that has no other."""

    n: float = 0.0
    total: float = 0.0
    square: float = 0.0
    last_ns: int = 0

    def compare(self, now_ns: int, durations: list[int]) -> list[tuple[int, int, int]]:
        """Known, level and pace of each request."""
        mean = self.total / self.n if self.n else 0.0
        spread = max(0.1, math.sqrt(max(self.square / self.n - mean**2, 0.0))) if self.n else 0.1
        known, found, learnt = self.n >= 20.0, [], []
        for duration in durations:
            log = math.log(max(duration, 1))
            far = (log - mean) / spread if known else 0.0
            pace = round(1000 * min(8.0, max(-8.0, far)))
            found.append((1, round(1000 * mean), pace) if known else (0, 0, 0))
            learnt.append((1 / 16, mean + 2.33 * spread) if far > 2.33 else (1.0, log))
        fades = 0.5 ** ((now_ns - self.last_ns) / (6 * HOUR)) if self.last_ns else 1.0
        self.n, self.total, self.square = (fades * s for s in (self.n, self.total, self.square))
        for weight, log in learnt:
            self.n, self.total, self.square = self.n + weight, self.total + weight * log, self.square + weight * log**2
        self.last_ns = now_ns
        return found


@pytest.mark.parametrize("seed", range(6))
def test_requests_are_compared_as_when_worked_out_one_by_one(seed: int) -> None:
    rng, routes, plain, now_ns = random.Random(seed), Routes(10, Counter()), Plain(), T0
    for step in range(60):
        now_ns += rng.choice([1, 5, 60, 600, 5000]) * SECOND
        usual = 2.0 if seed % 2 else 0.02  # broad, or narrower than spreads are told apart by
        durations = [round(rng.lognormvariate(math.log(20 * MILLISECOND), usual / 3)) for _ in range(rng.randint(1, 6))]
        if rng.random() < 0.2:
            durations.append(rng.choice([1, 100, 900, 1999]) * MILLISECOND)
        durations = [min(d, 2 * SECOND - 1) for d in durations]
        if step % 7 == 3:
            again = Routes(10, Counter())
            again.load(routes.state())
            routes = again
        count = len(durations)
        found = routes.compare(KEY, np.zeros(count, np.int64), np.full(count, now_ns), np.array(durations))
        told = list(zip(found.known.tolist(), found.level.tolist(), found.pace.tolist(), strict=True))
        for one, other in zip(told, plain.compare(now_ns, durations), strict=True):
            assert one == pytest.approx(other, abs=1), step
        assert not found.untimed.any()


@pytest.mark.parametrize(("asked", "known"), [(19, False), (20, True)])
def test_twenty_requests_make_a_route_known(asked: int, known: bool) -> None:
    routes = Routes(10, Counter())
    for count in (asked, 1):
        found = routes.compare(KEY, np.zeros(count, np.int64), np.full(count, T0), np.full(count, 5 * MILLISECOND))
    assert bool(found.known[0]) is known


def long_requests(*seconds: float, times: int, share: float = 1.0, spread: float = 0.0, each: int = 6) -> bool:
    """Whether requests of a route last as they like, after so many quarters of a minute with them, a share of which were so long."""
    routes, rng = Routes(10, Counter()), random.Random(3)
    for quarter in range(times):
        took = [
            rng.choice(seconds) * math.exp(spread * rng.gauss(0, 1)) if i < round(each * share) else 0.01
            for i in range(each)
        ]
        end = np.full(each, T0 + quarter * 15 * SECOND)
        routes.compare(KEY, np.zeros(each, np.int64), end, np.array([round(t * SECOND) for t in took]))
    last = T0 + (times * 15 - 1) * SECOND
    found = routes.compare(KEY, np.zeros(1, np.int64), np.array([last]), np.array([10 * MILLISECOND]))
    return bool(found.untimed[0])


def test_half_a_minute_is_no_latency_nor_is_a_timeout_of_five_seconds_after_two_minutes_of_them() -> None:
    assert [long_requests(31.0, times=n) for n in (7, 8)] == [False, True]
    assert [long_requests(s, times=9) for s in (5.01, 4.99)] == [True, False], "exactly as long as each other"
    assert [long_requests(40.0, times=12, share=s, each=10) for s in (0.1, 0.3)] == [False, True]
    assert [long_requests(12.0, 14.0, 17.0, times=12, spread=s) for s in (0.2, 1.6)] == [False, True]
