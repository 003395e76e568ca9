"""What routes say of requests, beside the same worked out one by one: mean and spread of logarithms, fading, learning little of the slow."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from contracts.units import HOUR, MILLISECOND, SECOND
from streams.windows.routes import Routes, pairs

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


def asked(
    routes: Routes, *durations_ms: float, at_s: float = 0, key: tuple[str, str] = KEY[0], error: bool | None = None
):
    """Requests of one route that end at a second."""
    count = len(durations_ms)
    failed = None if error is None else np.full(count, error)
    took = np.array([round(d * MILLISECOND) for d in durations_ms], np.int64)
    end = np.full(count, T0 + round(at_s * SECOND))
    return routes.compare([key], np.zeros(count, np.int64), end, took, failed)


def test_of_who_is_not_known_nothing_is_told_but_that_it_came() -> None:
    routes, counters = Routes(10, Counter()), Counter[str]()
    found = asked(routes, 5, 5000)
    assert [c.tolist() for c in found] == [[0, 0], [0, 0], [0, 0], [False, True], [0, 0], [False, False]]
    full = Routes(0, counters)
    found = asked(full, 5, 5000)
    assert [c.tolist() for c in found] == [[0, 0], [0, 0], [0, 0], [False, True], [-1, -1], [False, False]]
    assert counters["route_limit"] == 2
    found.level[0] = 1
    assert found.known.tolist() == [0, 0], "each column is its own"


def test_a_request_beside_which_there_is_no_room_is_counted_and_not_timed() -> None:
    counters = Counter[str]()
    routes = Routes(1, counters)
    for _ in range(30):
        found = routes.compare(
            [("a", "x"), ("b", "x")], np.array([0, 1, 0]), np.full(3, T0), np.full(3, 5 * MILLISECOND)
        )
    assert counters["route_limit"] == 30
    assert (found.route.tolist(), found.known.tolist()) == ([0, -1, 0], [1, 0, 1])
    assert found.level.tolist() == [round(1000 * math.log(5 * MILLISECOND)), 0, round(1000 * math.log(5 * MILLISECOND))]
    assert (routes.name(0), routes.owner(0), routes.name(1), routes.owner(1)) == ("x", "a", "", "")
    assert routes.several(["a", "b", "nobody"]).tolist() == [False, False, False]


def test_services_with_two_routes_have_several() -> None:
    routes = Routes(10, Counter())
    asked(routes, 5, key=("a", "x"))
    asked(routes, 5, key=("a", "y"))
    asked(routes, 5, key=("b", "x"))
    assert routes.several(["a", "b"]).tolist() == [True, False]
    again = Routes(10, Counter())
    again.load(routes.state())
    assert again.several(["a", "b"]).tolist() == [True, False]
    assert {again.name(i) for i in range(again.slots)} == {"x", "y"}
    assert len(again) == len(routes) == 3


@pytest.mark.parametrize(("took_ms", "untimed"), [(1999, False), (2000, True)])
def test_what_takes_two_seconds_of_a_strange_route_is_not_timed(took_ms: float, untimed: bool) -> None:
    assert asked(Routes(10, Counter()), took_ms).untimed.tolist() == [untimed]


@pytest.mark.parametrize(("begins_s", "judged"), [(60, True), (61, False), (120, False)])
def test_a_route_is_judged_when_it_has_been_there_for_half_as_long_as_its_service(begins_s: int, judged: bool) -> None:
    """Or for two minutes: here the service has been there for two."""
    routes = Routes(10, Counter())
    asked(routes, 5, key=("shop", "other"))
    asked(routes, *[5] * 30, at_s=begins_s)
    assert bool(asked(routes, 9000, at_s=120).untimed[0]) is not judged


def test_a_route_that_has_been_there_for_two_minutes_is_judged_however_old_its_service_is() -> None:
    for age_s, judged in ((119, False), (120, True)):
        routes = Routes(10, Counter())
        asked(routes, 5, key=("shop", "other"))
        asked(routes, *[5] * 30, at_s=1000)
        assert bool(asked(routes, 9000, at_s=1000 + age_s).untimed[0]) is not judged


@pytest.mark.parametrize(
    ("durations", "error", "cut"),
    [
        ((31_000, 31_000), True, True),
        ((29_999, 29_999), True, False),  # it may be a timeout
        ((30_000, 30_000), True, True),
        ((9000, 11_000), True, True),  # which began two seconds apart
        ((9000, 10_999), True, False),
        ((9000, 11_000), False, False),
        ((31_000, 31_000), None, False),
        ((1000, 1999), True, False),
    ],
)
def test_sessions_of_a_strange_route_are_cut_where_they_ended_together(
    durations: tuple[int, int], error: bool | None, cut: bool
) -> None:
    assert asked(Routes(10, Counter()), *durations, error=error).cut.tolist() == [cut, cut]


def test_of_several_routes_each_is_cut_for_itself() -> None:
    keys = [("shop", "a"), ("shop", "b")]
    took = np.array([9, 12, 9, 9]) * SECOND
    found = Routes(10, Counter()).compare(keys, np.array([0, 0, 1, 1]), np.full(4, T0), took, np.ones(4, np.bool_))
    assert found.cut.tolist() == [True, True, False, False]


def sums(routes: Routes) -> list[float]:
    """What is known of the one route: count, logarithms, their squares, long ones, as long as the longest."""
    return [round(float(v), 6) for v in routes.state()[1][:, 0]]


def test_what_failed_late_teaches_nothing_and_what_failed_soon_does() -> None:
    routes = Routes(10, Counter())
    asked(routes, 5000, error=True)
    assert sums(routes) == [0.0] * 5
    asked(routes, 5, error=True)
    log = math.log(5 * MILLISECOND)
    assert sums(routes) == pytest.approx([1.0, log, log**2, 0.0, 0.0], abs=1e-6)
    asked(routes, 5000, error=False)
    assert sums(routes)[3:] == [1.0, 1.0]


def test_a_route_knows_how_long_its_longest_take_and_how_many_are_as_long() -> None:
    routes = Routes(10, Counter())

    def end() -> float:
        return round(float(routes.state()[4][0]) - math.log(10 * SECOND), 6)

    asked(routes, 10_000)
    assert (end(), sums(routes)[4]) == (0.0, 1.0)
    asked(routes, 10_000 * math.exp(-0.029))
    assert (end(), sums(routes)[4]) == (0.0, 2.0), "as long, but for three hundredths"
    asked(routes, 10_000 * math.exp(-0.031))
    assert (end(), sums(routes)[4]) == (-0.001, 2.0), "shorter: the end comes down"
    asked(routes, 10_000 * math.exp(0.058))
    assert (end(), sums(routes)[4]) == (0.058, 3.0), "a little longer is as long"
    asked(routes, 10_000 * math.exp(0.058 + 0.061))
    assert (end(), sums(routes)[4]) == (pytest.approx(0.119), 1.0), "longer: counting begins anew"
    assert sums(routes)[3] == 5.0


def test_quarters_of_a_minute_with_long_requests_are_counted_once_each() -> None:
    routes = Routes(10, Counter())
    counts = []
    for at_s, took_ms in ((0, 10), (5, 3000), (9, 3000), (10, 3000), (24, 3000), (25, 10), (40, 3000), (0, 3000)):
        asked(routes, took_ms, at_s=at_s)
        counts.append(int(routes.state()[2][2, 0]))
    quarter = (T0 // SECOND) % 15  # where in a quarter the first second lies
    assert quarter == 5
    assert counts == [0, 1, 1, 2, 2, 2, 3, 3]
    assert routes.state()[2][:2, 0].tolist() == [T0, T0 + 40 * SECOND]


def test_a_snapshot_of_before_routes_had_ends_or_long_ones_is_read() -> None:
    routes = Routes(10, Counter())
    asked(routes, *[3000] * 30)
    keys, table, times, since, _ = routes.state()
    for rows, columns in ((5, 4), (3, 2)):
        again = Routes(10, Counter())
        again.load([keys, table[:rows], times[:columns], since])
        now = again.state()
        assert (now[1].shape, now[2].shape, now[4].tolist()) == ((5, 1), (4, 1), [0.0])
        assert now[1][:3].tolist() == table[:3].tolist()
        assert now[2][:2].tolist() == times[:2].tolist()
        if rows == 3:
            assert not now[1][3:].any()
            assert not now[2][2:].any()
        asked(again, 3000, at_s=1)
        assert again.state()[4].tolist() == [pytest.approx(math.log(3 * SECOND))]


def test_pairs_are_listed_once_each() -> None:
    services, names, which = pairs(np.array([2, 0, 2, 1]), np.array([5, 5, 5, 0]), 3)
    assert (services.tolist(), names.tolist(), which.tolist()) == ([1, 0, 2], [0, 5, 5], [2, 1, 2, 0])


@pytest.mark.parametrize(("count", "slots"), [(1, 64), (64, 64), (65, 128), (129, 256)])
def test_each_route_has_a_slot_of_its_own_however_many_there_are(count: int, slots: int) -> None:
    routes = Routes(1000, Counter())
    keys = [(f"s{n}", "x") for n in range(count)]
    took = np.array([(n + 1) * MILLISECOND for n in range(count)])
    for _ in range(2):
        found = routes.compare(keys, np.arange(count), np.full(count, T0), took)
    assert sorted(found.route.tolist()) == list(range(count))
    assert routes.slots == slots
    assert {len(routes._end), routes._times.shape[1], routes._sums.shape[1]} == {slots}
    keys_, sums_, *_ = routes.state()
    logs = {service: 2 * math.log((int(service[1:]) + 1) * MILLISECOND) for service, _ in keys_}
    assert sums_[1].tolist() == pytest.approx(list(logs.values()))
    assert [routes.owner(slot) for slot in found.route.tolist()] == [service for service, _ in keys]


def test_who_gets_the_slot_of_one_that_left_begins_anew() -> None:
    counters = Counter[str]()
    routes = Routes(2, counters)
    for key in (("a", "x"), ("b", "x")):
        asked(routes, *[9000] * 4, key=key)
    asked(routes, 5, at_s=70, key=("a", "x"))
    found = asked(routes, 5, at_s=100, key=("c", "x"))
    assert (counters["route_left"], found.route.tolist(), routes.name(int(found.route[0]))) == (1, [1], "x")
    keys, table, times, since, end = routes.state()
    assert [service for service, _ in keys] == ["a", "c"]
    log = math.log(5 * MILLISECOND)
    assert table[:, 1].tolist() == pytest.approx([1.0, log, log**2, 0.0, 0.0])
    assert times[:, 1].tolist() == [T0 + 100 * SECOND, T0 + 100 * SECOND, 0, 0]
    assert (since, end[1]) == ([["a", T0], ["c", T0 + 100 * SECOND]], 0.0)


def test_a_quarter_that_comes_late_begins_none_anew() -> None:
    routes = Routes(10, Counter())
    for at_s in (40, 0, 40, 41):
        asked(routes, 3000, at_s=at_s)
    assert routes.state()[2][2:, 0].tolist() == [1, (T0 + 40 * SECOND) // (15 * SECOND)]
