"""Calls that are due by the routes of requests, where no client span tells of them: whatever the order, bounded, and kept in snapshots."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.windows.calls import ASKED, DUE
from streams.windows.edges import EdgeJoiner
from streams.windows.route_calls import CALLEES_KEPT, ROUTES_KEPT, RouteCalls
from tests.unit.streams.windows.support import CLIENT, CONSUMER, INTERNAL, MS, PRODUCER, SERVER, T0, Span
from tests.unit.streams.windows.test_calls import SETTINGS, Half

_ids = itertools.count(2, 2)


def request(*callees: str, at: int = T0, error: bool = False, inside: int = 0) -> list[Span]:
    """A request of `web` and the spans of its callees, children of it or of spans `inside` it."""
    trace, me = next(_ids), next(_ids)
    spans, parent = [Span("web", trace, me, 0, SERVER, at, at + 9 * MS, error)], me
    for _ in range(inside):
        spans.append(Span("web", trace, next(_ids), parent, INTERNAL, at, at + 8 * MS))
        parent = spans[-1].span
    spans += [Span(c, trace, next(_ids), parent, SERVER, at + MS, at + 2 * MS) for c in callees]
    return spans


def named(route: str, *callees: str) -> list[Span]:
    """A request for a route."""
    first, *rest = request(*callees)
    return [replace(first, name=route), *rest]


def due(half: Half, callee: str, caller: str = "web") -> float:
    return half.said.get((caller, callee, DUE), (0, 0))[0] / 1000


@pytest.mark.parametrize("inside", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_a_request_is_due_what_requests_usually_call_in_any_order(seed: int, inside: int) -> None:
    half, rng = Half(), random.Random(seed)
    half.send(*request("cart", "pay", inside=inside))
    spans = [s for i in range(20) for s in request("cart", "pay", at=T0 + i * MS, inside=inside)]
    rng.shuffle(spans)
    half.send(*spans)
    assert due(half, "cart") == pytest.approx(21)
    assert due(half, "pay") == pytest.approx(21)
    half.send(*(s for i in range(10) for s in request("pay", at=T0 + i * MS, error=i < 4)))  # cart does not answer
    assert due(half, "cart") == pytest.approx(31, rel=0.2)
    assert half.said["web", "cart", DUE][1] / 1000 == pytest.approx(4, rel=0.4)


def test_calls_of_which_client_spans_tell_are_not_due_besides() -> None:
    half, trace, web, call = Half(), *(next(_ids) for _ in range(3))
    half.send(
        Span("web", trace, web, 0, SERVER, T0, T0 + 9 * MS),
        Span("web", trace, call, web, CLIENT, T0, T0 + 8 * MS),
        Span("cart", trace, next(_ids), call, SERVER, T0, T0 + 7 * MS),
    )
    assert due(half, "cart") == 0


def test_each_route_has_its_own_calls_whatever_is_generated_in_its_name() -> None:
    half = Half()
    for i in range(20):
        half.send(
            *named(f"GET /items/{1_000_000 + i}", "catalog", "catalog"), *named("POST /buy", "pay"), *named("GET /live")
        )
    assert (due(half, "catalog"), due(half, "pay")) == (pytest.approx(40), pytest.approx(20))
    half.send(*(s for _ in range(50) for s in named("GET /live")))  # a burst that calls nobody
    assert (due(half, "catalog"), due(half, "pay")) == (pytest.approx(40), pytest.approx(20))
    half.send(*(s for _ in range(10) for s in named("POST /buy")))
    assert due(half, "catalog") == pytest.approx(40)
    assert due(half, "pay") == pytest.approx(20 + 10 * 20 / 30, abs=0.1)


def test_client_spans_without_a_peer_are_known_by_their_names_whatever_is_generated_in_them() -> None:
    half, at = Half(), T0
    for i in range(4):
        trace, call = next(_ids), next(_ids)
        asked = Span("web", trace, call, 1, CLIENT, at, at + 9 * MS, name=f"GET /user/{1_000_000 + i}")
        half.send(asked, *([Span("users", trace, next(_ids), call, SERVER, at, at + 8 * MS)] if i < 1 else []))
    assert half.said["web", "users", ASKED][0] == 3, "the first one taught where they lead"


def test_messages_are_due_by_the_request_that_sends_them() -> None:
    half = Half()
    for _ in range(3):
        trace, web, sent = (next(_ids) for _ in range(3))
        half.send(
            Span("web", trace, web, 0, SERVER, T0, T0 + 9 * MS),
            Span("web", trace, sent, web, PRODUCER, T0, T0 + 2 * MS),
            Span("mailer", trace, next(_ids), sent, CONSUMER, T0 + 3 * MS, T0 + 7 * MS),
        )
    assert due(half, "mailer") == pytest.approx(3)


def test_what_was_learnt_is_in_snapshots() -> None:
    half = Half()
    half.send(*(s for _ in range(10) for s in request("cart")))
    state, fresh = half.joiner.snapshot(), EdgeJoiner("prod", SETTINGS, 2)
    fresh.restore(state)
    half.joiner = fresh
    half.send(*request())
    assert due(half, "cart") == pytest.approx(10 + 10 / 11, abs=0.01)


def key(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def one(number: int, times: int = 1) -> np.ndarray:
    return np.full(times, number, np.int64)


def test_made_up_routes_and_callees_leave_before_those_that_are_used() -> None:
    routes, thousand = RouteCalls(), one(1000)
    routes.callers(one(1))
    routes.callers(one(2))
    for service in (1, 2):
        for _ in range(50):
            routes.served(one(service), key(7), thousand)
            routes.called(one(service), key(7), one(9), thousand)
    for made_up in range(100, 3000, 10):
        some = key(*range(made_up, made_up + 10))
        routes.served(one(1, 10), some, np.full(10, 1000))
        routes.called(one(1, 10), some, np.arange(made_up, made_up + 10), np.full(10, 1000))
        routes.called(one(1, 10), key(*[7] * 10), np.arange(made_up, made_up + 10), np.full(10, 1000))
    assert len(routes) <= 2 * ROUTES_KEPT + 1
    for service in (1, 2):
        _, callees, calls = routes.due(one(service), key(7))
        assert len(callees) <= 2 * CALLEES_KEPT
        assert calls[callees == 9] == pytest.approx([1.0])


def test_a_name_that_leaves_takes_what_it_called_along() -> None:
    routes = RouteCalls()
    routes.callers(one(1))
    routes.served(one(1), key(7), one(1000))
    routes.called(one(1), key(7), one(9), one(1000))
    routes.forget(one(9))
    assert not len(routes.due(one(1), key(7))[1]), "its number may be another's by now"
    routes.forget(one(1))
    assert not len(routes)
    assert not routes.calling(one(1)).any()


def test_what_was_learnt_fades_alike() -> None:
    routes = RouteCalls()
    routes.callers(one(1))
    for hour in range(5):
        routes.decay(T0 + hour * 3_600 * 1000 * MS)
        routes.served(one(1), key(7), one(1000))
        routes.called(one(1), key(7), one(9), one(2000))
    assert routes.due(one(1), key(7))[2] == pytest.approx([2.0])


ROUND = st.tuples(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(1, 3)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2), st.integers(7, 9), st.integers(1, 3)), max_size=6),
)


@given(st.lists(ROUND, min_size=1, max_size=4))
def test_calls_per_request_are_those_of_a_plain_table(rounds) -> None:
    """Requests (service, route, how many) and calls (service, route, callee, how many) as drawn; what is due is their ratio."""
    routes, served, called = RouteCalls(), Counter[tuple[int, int]](), Counter[tuple[int, int, int]]()
    for requests, calls in rounds:
        service, route, times = (np.array(c, np.int64) for c in zip(*requests, strict=True))
        routes.served(service, route.astype(np.uint64), 1000 * times)
        for s, r, n in requests:
            served[s, r] += n
        known = [c for c in calls if c[:2] in served]
        if calls:
            service, route, callee, times = (np.array(c, np.int64) for c in zip(*calls, strict=True))
            routes.called(service, route.astype(np.uint64), callee, 1000 * times)
        for s, r, c, n in known:
            called[s, r, c] += n
        again = RouteCalls()
        again.load(routes.state())
        asked = [(s, r) for s in (1, 2, 3, 4) for r in (0, 1, 2)]
        which, callees, ratio = again.due(np.array([s for s, _ in asked]), key(*(r for _, r in asked)))
        found = {(*asked[i], c): n for i, c, n in zip(which.tolist(), callees.tolist(), ratio.tolist(), strict=True)}
        assert found == pytest.approx({(s, r, c): n / served[s, r] for (s, r, c), n in called.items()})
        assert len(again) == len(served)
        routes = again


def test_so_many_routes_stay_that_are_asked_for_most() -> None:
    routes = RouteCalls()
    for n in range(2 * ROUTES_KEPT):
        routes.served(one(1), key(n + 1), one(1000 * (n + 1)))
    routes.served(one(2), key(1), one(1))
    assert len(routes) == 2 * ROUTES_KEPT + 1, "twice as many in between"
    routes.served(one(1), key(999), one(500))
    assert len(routes) == ROUTES_KEPT + 1
    for n in range(2 * ROUTES_KEPT):
        routes.called(one(1), key(n + 1), one(9), one(1000))
    which, _, calls = routes.due(one(1, 2 * ROUTES_KEPT), key(*range(1, 2 * ROUTES_KEPT + 1)))
    assert which.tolist() == list(range(ROUTES_KEPT, 2 * ROUTES_KEPT)), "who is not kept teaches nothing"
    assert calls[-1] == pytest.approx(1 / (2 * ROUTES_KEPT))


def test_so_many_callees_of_a_route_stay_that_are_called_most() -> None:
    routes = RouteCalls()
    routes.served(one(1), key(7), one(1000))
    for n in range(2 * CALLEES_KEPT):
        routes.called(one(1), key(7), one(n), one(1000 * (n + 1)))
    assert len(routes.due(one(1), key(7))[1]) == 2 * CALLEES_KEPT
    assert (ROUTES_KEPT, CALLEES_KEPT) == (128, 32)
    routes.called(one(1), key(7), one(999), one(500))
    assert routes.due(one(1), key(7))[1].tolist() == list(range(CALLEES_KEPT, 2 * CALLEES_KEPT))


def test_what_is_learnt_loses_half_its_weight_in_an_hour_and_nothing_by_a_clock_set_back() -> None:
    def after(*hours: float) -> float:
        routes = RouteCalls()
        for hour in (100.0, *hours):
            routes.decay(int(hour * 3_600 * 1000 * MS))
            routes.served(one(1), key(7), one(1000))
            if hour == 100.0:
                routes.called(one(1), key(7), one(9), one(1000))
        return float(routes.due(one(1), key(7))[2][0])

    assert after(101.0) == pytest.approx(0.5 / 1.5)
    assert after(99.0) == pytest.approx(1 / 2)


def test_who_makes_calls_is_known_by_number() -> None:
    routes = RouteCalls()
    routes.callers(np.array([5, 3], np.int64))
    routes.callers(np.array([3, 4], np.int64))
    assert routes.calling(np.array([2, 3, 4, 5, 6])).tolist() == [False, True, True, True, False]
    routes.forget(one(4))
    assert routes.calling(np.array([3, 4, 5])).tolist() == [True, False, True]


def test_what_leaves_is_no_others_and_the_rest_stays() -> None:
    routes = RouteCalls()
    for service in (1, 2):
        routes.served(one(service), key(7), one(1000))
        for callee in (8, 9):
            routes.called(one(service), key(7), one(callee), one(1000 * callee))
    routes.forget(one(8))
    both = routes.due(np.array([1, 2]), key(7, 7))
    assert [c.tolist() for c in both] == [[0, 1], [9, 9], [9.0, 9.0]]
    routes.forget(one(1))
    assert [c.tolist() for c in routes.due(np.array([1, 2]), key(7, 7))] == [[1], [9], [9.0]]
