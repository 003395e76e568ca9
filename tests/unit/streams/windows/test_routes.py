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
    known, level, pace, _ = feed(routes, 120, {"GET /": 5, "GET /search": 500})
    assert known.all()
    assert np.abs(pace).mean() < 1500
    assert level[-1] - level[0] == pytest.approx(1000 * np.log(100), rel=0.05)


def test_a_slower_route_has_a_higher_pace_and_goes_on_having_it():
    routes = warm()
    for second in range(120, 120 + 2 * 3600, 20):
        _, _, pace, _ = feed(routes, second, {"GET /": 50, "GET /search": 500})
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
