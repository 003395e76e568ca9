"""What is known of a service's routes: their usual times, and how many there are at most."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from connectors.otlp.folding import fold_route
from streams.windows.routes import ROUTES_PER_SERVICE, SETTLED_NS, Routes
from tests.unit.streams.windows.support import MS, SECOND

MINUTE = 60 * SECOND


def feed(routes: Routes, second: int, took_ms: dict[str, float], each: int = 10, service: str = "shop"):
    """`each` requests of some routes in one second, spread by a quarter: known, level and pace of all."""
    rng = np.random.default_rng(second)
    keys = [(service, name) for name in took_ms]
    which = np.repeat(np.arange(len(keys)), each)
    duration = np.concatenate([ms * MS * rng.lognormal(0, 0.25, each) for ms in took_ms.values()]).astype(np.int64)
    return routes.compare(keys, which, np.full(len(which), second * SECOND), duration)


def warm(seconds: int = 120) -> Routes:
    """Two routes, a hundredfold apart, watched for two minutes."""
    routes = Routes(1000, Counter())
    for second in range(seconds):
        feed(routes, second, {"GET /": 5, "GET /search": 500})
    return routes


def test_requests_are_compared_with_their_own_route():
    routes = warm()
    known, level, pace, *_ = feed(routes, 120, {"GET /": 5, "GET /search": 500})
    assert known.all()
    assert np.abs(pace).mean() < 1500
    assert level[-1] - level[0] == pytest.approx(1000 * np.log(100), rel=0.05)


def test_a_slower_route_has_a_higher_pace_and_goes_on_having_it():
    routes = warm()
    for second in range(120, 120 + 2 * 3600, 20):
        _, _, pace, *_ = feed(routes, second, {"GET /": 50, "GET /search": 500})
        assert pace[:10].mean() > 2000, second
        assert abs(pace[10:].mean()) < 1500


def test_a_new_route_is_not_known_at_once():
    routes = warm()
    known, *_ = feed(routes, 121, {"GET /new": 900}, each=50)
    again, *_ = feed(routes, 122, {"GET /new": 900}, each=50)
    later, *_ = feed(routes, 122 + SETTLED_NS // SECOND, {"GET /new": 900})
    assert not known.any()
    assert not again.any()
    assert later.all()


def test_a_stranger_with_many_routes_displaces_his_own_only_and_is_counted():
    counters = Counter[str]()
    routes = Routes(100_000, counters)
    for second in range(60):
        feed(routes, second, {"GET /": 5})
        feed(routes, second, {f"GET /x{second}-{i}x": 5 for i in range(20)}, each=1, service="crawled")
    assert sum(s == "crawled" for s, _ in routes._slot) <= ROUTES_PER_SERVICE
    assert counters["route_limit"] > 0
    known, *_ = feed(routes, 60, {"GET /": 5})
    assert known.all()


def test_routes_nobody_asks_for_leave_when_there_are_new_ones():
    """21,000 names, three days later others."""
    counters = Counter[str]()
    routes = Routes(2000, counters)
    for second in range(0, 2100, 10):
        feed(routes, second, {f"GET /old{second}-{i}": 5 for i in range(100)}, each=1, service=f"s{second}")
    assert len(routes) <= 2000
    three_days = 3 * 24 * 3600
    before = counters["route_limit"]
    for second in range(three_days, three_days + 60):
        feed(routes, second, {"GET /new": 5})
    known, *_ = feed(routes, three_days + 60, {"GET /new": 5})
    assert known.all()
    assert counters["route_limit"] == before
    assert counters["route_left"] > 0


def test_a_snapshot_knows_what_was_known():
    routes, again = warm(), Routes(1000, Counter())
    again.load(routes.state())
    for a, b in zip(feed(routes, 120, {"GET /": 5}), feed(again, 120, {"GET /": 5}), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("name", "folded"),
    [("GET /users/17", "GET /users/*"), ("GET /v2/orders", "GET /v2/orders"), ("GET /a/3/b/4?x=1", "GET /a/*/b/*?x=1")],
)
def test_numbers_in_paths_are_no_routes(name: str, folded: str):
    assert fold_route(name) == folded


LASTING = {
    "sessions, as long as their users like": lambda rng, n: rng.lognormal(np.log(60_000), 1.0, n),
    "long polls, answered or not": lambda rng, n: np.where(
        rng.random(n) < 0.5, rng.lognormal(np.log(20), 0.5, n), 25_000
    ),
    "long polls that nobody answers": lambda rng, n: 30_000 + rng.normal(0, 5, n),
    "a third waits for its timeout": lambda rng, n: np.where(
        rng.random(n) < 0.3, 10_000, rng.lognormal(np.log(5), 0.5, n)
    ),
    "uploads over lines of all kinds": lambda rng, n: rng.lognormal(np.log(3_000), 1.6, n),
    "downloads by slow readers": lambda rng, n: rng.lognormal(np.log(5_000), 1.4, n),
    "jobs of minutes": lambda rng, n: rng.lognormal(np.log(180_000), 0.4, n),
    "event streams that are cut after a minute": lambda rng, n: np.minimum(rng.exponential(60_000, n), 60_000),
    "batches of one to ten thousand": lambda rng, n: 2 * rng.lognormal(np.log(800), 1.7, n),
    "waits for a queue with work now and then": lambda rng, n: np.where(
        rng.random(n) < 0.6, 20_000, rng.uniform(0, 20_000, n)
    ),
    "sockets that are closed at once or stay": lambda rng, n: np.where(
        rng.random(n) < 0.7, 15, rng.exponential(600_000, n)
    ),
}
ANSWERING = {
    "a page": lambda rng, n: rng.lognormal(np.log(20), 0.4, n),
    "a slow report": lambda rng, n: rng.lognormal(np.log(6_000), 0.5, n),
    "a broad search": lambda rng, n: rng.lognormal(np.log(300), 1.2, n),
    "from a cache or not": lambda rng, n: np.where(rng.random(n) < 0.5, 1, 800) * rng.lognormal(0, 0.3, n),
    "one in twenty takes seconds": lambda rng, n: np.where(rng.random(n) < 0.05, 5_000, 30) * rng.lognormal(0, 0.3, n),
    "a model that thinks": lambda rng, n: rng.lognormal(np.log(9_000), 0.7, n),
}


def lasts(took, seed: int = 1, seconds: int = 400, error: bool = False) -> np.ndarray:
    """Which of the last requests of a route are untimed; another route of the service answers quickly."""
    rng, routes = np.random.default_rng(seed), Routes(1000, Counter())
    for second in range(0, seconds, 2):
        feed(routes, second, {"GET /": 5})
        ms = np.maximum(took(rng, 2), 0.1)
        which, end = np.zeros(2, np.int64), np.full(2, second * SECOND)
        failed = np.full(2, error)
        found = routes.compare([("shop", "GET /x")], which, end, (ms * MS).astype(np.int64), failed).untimed
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", LASTING)
def test_a_route_that_lasts_as_it_likes_is_learnt(name: str, seed: int):
    assert lasts(LASTING[name], seed).all()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", ANSWERING)
def test_a_route_that_is_slow_is_timed(name: str, seed: int):
    assert not lasts(ANSWERING[name], seed).any()


def test_a_route_that_begins_to_hang_stays_timed_however_long_it_does():
    routes = warm(300)
    for second in range(300, 1200, 3):
        found = feed(routes, second, {"GET /": 30_000, "GET /search": 500}, each=2)
        assert not found.untimed.any(), second


def test_requests_that_fail_at_a_timeout_teach_nothing():
    assert not lasts(lambda rng, n: np.where(rng.random(n) < 0.5, 10, 30_000), error=True).any()


def test_sessions_that_all_end_at_once_are_not_timed_though_nobody_knew_their_route():
    routes = warm()
    for second in (121, 122):
        found = feed(routes, second, {"GET /": 5, "GET /live": 60_000}, each=15)
        assert found.untimed.tolist() == [False] * 15 + [True] * 15


@pytest.mark.parametrize(
    ("seconds", "failed", "cut"),
    [
        ([40.0, 41.0], [True, True], [True, True]),
        ([40.0, 0.1], [True, True], [True, False]),
        ([8.0, 12.0, 3.0], [True] * 3, [True] * 3),
        ([3.0, 3.01, 3.02], [True] * 3, [False] * 3),
        ([8.0, 12.0], [False, False], [False, False]),
        ([8.0], [True], [False]),
        ([30.0], [True], [True]),
        ([29.9], [True], [False]),
        ([8.0, 10.0], [True, True], [True, True]),
        ([8.0, 9.9], [True, True], [False, False]),
        ([1.5, 0.2], [True, True], [False, False]),
    ],
)
def test_of_a_strange_route_what_ends_together_and_began_apart_was_cut(
    seconds: list[float], failed: list[bool], cut: list[bool]
) -> None:
    routes, n = Routes(100, Counter()), len(seconds)
    duration = (np.array(seconds) * SECOND).astype(np.int64)
    which, end = np.zeros(n, np.int64), np.full(n, 1000 * SECOND)
    found = routes.compare([("shop", "GET /x")], which, end, duration, np.array(failed))
    assert found.cut.tolist() == cut


def test_what_fails_late_on_a_known_route_is_a_failure() -> None:
    routes, key = Routes(100, Counter()), [("shop", "GET /x")]
    for second in range(200):
        which = np.zeros(5, np.int64)
        routes.compare(key, which, np.full(5, second * SECOND), np.full(5, SECOND // 50), np.zeros(5, np.bool_))
    duration, failed = np.array([40, 50, 60]) * SECOND, np.ones(3, np.bool_)
    found = routes.compare(key, np.zeros(3, np.int64), np.full(3, 200 * SECOND), duration, failed)
    assert not found.cut.any()


def test_a_service_has_room_for_so_many_routes_and_for_others_once_some_are_not_asked_for() -> None:
    counters = Counter[str]()
    routes = Routes(1000, counters)
    names = {f"GET /{chr(97 + i // 26)}{chr(97 + i % 26)}": 5.0 for i in range(ROUTES_PER_SERVICE)}
    first, *others = names
    assert (feed(routes, 0, {first: 5}).route >= 0).all()
    assert routes.several(["shop", "web"]).tolist() == [False, False]
    slots = feed(routes, 0, dict.fromkeys(others, 5.0), each=1).route.tolist()
    assert (len({*slots}), min(slots) >= 0, len(routes)) == (ROUTES_PER_SERVICE - 1, True, ROUTES_PER_SERVICE)
    assert routes.several(["shop", "web"]).tolist() == [True, False]
    assert [(routes.owner(slot), routes.name(slot)) for slot in slots] == [("shop", name) for name in others]
    assert (routes.owner(10**6), routes.name(10**6)) == ("", "")
    none = feed(routes, 0, {"GET /more": 5000}, each=3)
    assert (none.route.tolist(), none.untimed.all(), counters["route_limit"]) == ([-1] * 3, True, 3)
    both = feed(routes, 30, {first: 5, "GET /more": 5000}, each=2)
    assert (both.route[2:].tolist(), counters["route_limit"], counters["route_left"]) == ([-1, -1], 5, 0)
    later = feed(routes, 91, {"GET /more": 5000}, each=2)
    assert (later.route >= 0).all()
    left = counters["route_left"]
    assert 0 < left < ROUTES_PER_SERVICE / 2
    assert len(routes) == ROUTES_PER_SERVICE + 1 - left
    assert feed(routes, 91, {first: 5}).route.tolist() == both.route[:1].tolist() * 10, "who was asked for stays"


def test_all_services_share_the_room_of_an_environment() -> None:
    counters = Counter[str]()
    routes = Routes(4, counters)
    for n in range(4):
        feed(routes, 0, {"GET /": 5.0}, each=1, service=f"s{n}")
    assert feed(routes, 0, {"GET /": 5.0}, each=1, service="new").route.tolist() == [-1]
    assert feed(routes, 30, {"GET /": 5.0}, each=1, service="s2").route.tolist() == [2]
    assert feed(routes, 90, {"GET /": 5.0}, each=1, service="new").route[0] >= 0
    assert (len(routes), counters["route_limit"]) == (5 - counters["route_left"], 1)
    assert routes.several([f"s{n}" for n in range(4)]).tolist() == [False] * 4


def test_where_there_was_no_room_it_is_looked_for_again_after_a_minute() -> None:
    routes = Routes(2, Counter())
    for n in range(2):
        feed(routes, 0, {"GET /": 5.0}, each=1, service=f"s{n}")
    found = [feed(routes, second, {"GET /": 5.0}, each=1, service="new").route[0] >= 0 for second in (30, 70, 89, 90)]
    assert found == [False, False, False, True]


def test_a_route_is_known_when_it_has_been_there_for_half_as_long_as_its_service() -> None:
    routes, begin = Routes(1000, Counter()), 1_700_000_000
    known = {}
    for second in range(begin, begin + 60):
        feed(routes, second, {"GET /": 5})
    for second in range(begin + 60, begin + 131):
        both = feed(routes, second, {"GET /": 5, "GET /new": 5}).known
        known[second - begin] = both[:10].all(), both[10:].any()
    assert all(old for old, _ in known.values())
    assert [second for second, (_, new) in known.items() if new] == list(range(120, 131))


def test_what_was_learnt_of_a_route_loses_half_its_weight_in_six_hours() -> None:
    def is_known(hours: float) -> bool:
        routes, key = Routes(1000, Counter()), [("shop", "GET /")]
        for second, n in ((0, 30), (60, 1), (round(hours * 3600), 1)):
            end_ns = np.full(n, (second + 10**6) * SECOND)
            routes.compare(key, np.zeros(n, np.int64), end_ns, np.full(n, 5 * MS))
        return bool(routes.compare(key, np.zeros(1, np.int64), end_ns, np.array([5 * MS])).known.all())

    assert [is_known(hours) for hours in (0.1, 4.0, 4.5, 12.0)] == [True, True, False, False], (
        "of 31 a moment later twenty are enough"
    )


def test_requests_that_take_no_time_are_as_short_as_can_be_told() -> None:
    routes = Routes(1000, Counter())
    for second in range(100):
        found = routes.compare(
            [("shop", "GET /")], np.zeros(4, np.int64), np.full(4, second * SECOND), np.array([0, 0, 1, 0])
        )
    assert (found.known.all(), found.level.tolist(), found.pace.tolist()) == (True, [0] * 4, [0] * 4)
