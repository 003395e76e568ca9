"""Who answers hardly anybody because it waits for a callee is kept waiting, and has not hung itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, ERROR_RATE, LATENCY_P95, REQUEST_RATE
from contracts.verdicts import CauseKind
from graph.evidence.situation import Edge, Node
from graph.evidence.waiting import last_calls
from graph.ranking import Suspect, rank
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, ratio, situation

WEB = node("web", ratio(ERROR_RATE, 0.9), level(LATENCY_P95, 0.1, 1.0))
GIVEN_UP = replace(
    call("web", "cart", ratio(CALL_ERROR_RATE, 0.9), level(CALL_LATENCY_P95, 0.05, 1.0)),
    attempted=200.0,
    observed=15.0,
)
CART = node("cart", ratio(ERROR_RATE, 0.2), level(LATENCY_P95, 0.05, 3.0), rate=1.5)
"""Its threads wait for the database until they give up, and requests queue for them."""
TIMED_OUT = (ratio(CALL_ERROR_RATE, 0.4), level(CALL_LATENCY_P95, 0.005, 0.5))


def found(*calls: Edge, db: Node | None = None) -> Suspect:
    stores = Node("db:sql/cart", "database", own=False)
    return next(iter(ranked(WEB, CART, db or stores, calls=(GIVEN_UP, *calls)).values()))


def test_a_database_that_answers_hardly_anybody_keeps_its_caller_waiting() -> None:
    leader = found(call("cart", "db:sql/cart", *TIMED_OUT))
    assert (leader.service, leader.kind) == ("db:sql/cart", CauseKind.DEPENDENCY)
    assert leader.probability > 0.9


def test_who_waits_for_nobody_hangs_itself() -> None:
    leader = found(call("cart", "db:sql/cart"))
    assert (leader.service, leader.kind) == ("cart", CauseKind.HANG)
    assert leader.probability > 0.9


def test_nobody_is_kept_waiting_by_whom_it_keeps_waiting() -> None:
    """Prices asks the cart, too: that calls to it time out is the cart's own doing."""
    prices = node("prices", ratio(ERROR_RATE, 0.4), level(LATENCY_P95, 0.005, 0.5))
    back = call("prices", "cart", ratio(CALL_ERROR_RATE, 0.9), level(CALL_LATENCY_P95, 0.05, 0.5))
    back = replace(back, attempted=200.0, observed=15.0)
    leader = found(call("cart", "prices", *TIMED_OUT), back, db=prices)
    assert (leader.service, leader.kind) == ("cart", CauseKind.HANG)


GONE = node("cart", level(REQUEST_RATE, 20.0, 0.0), rate=0.0)
"""Nothing ends any more: all its threads are in calls that nobody has given up yet."""
REFUSED = replace(
    call("web", "cart", ratio(CALL_ERROR_RATE, 1.0), level(CALL_LATENCY_P95, 0.05, 0.06)), attempted=200.0, observed=0.0
)


def stopped(*calls: Edge) -> Suspect:
    stores = (Node("db:sql/cart", "database", own=False), Node("db:redis/cart", "database", own=False))
    return next(iter(ranked(WEB, GONE, *stores, calls=(REFUSED, *calls)).values()))


def test_whose_last_calls_all_failed_at_one_callee_was_stopped_by_it_and_has_not_crashed() -> None:
    leader = stopped(
        call("cart", "db:sql/cart", ratio(CALL_ERROR_RATE, 1.0)),
        call("cart", "db:redis/cart", ratio(CALL_ERROR_RATE, 0.0)),
    )
    assert (leader.service, leader.kind) == ("db:sql/cart", CauseKind.DEPENDENCY)


@pytest.mark.parametrize(("sql", "redis"), [(0.0, 0.0), (1.0, 1.0), (0.4, 0.0)])
def test_who_fails_at_all_whom_it_calls_or_at_none_is_silent_by_itself(sql: float, redis: float) -> None:
    leader = stopped(
        call("cart", "db:sql/cart", ratio(CALL_ERROR_RATE, sql)),
        call("cart", "db:redis/cart", ratio(CALL_ERROR_RATE, redis)),
    )
    assert leader.service == "cart"


def test_who_was_stopped_by_a_callee_has_not_crashed_once_its_last_calls_are_long_ago() -> None:
    stores = (Node("db:sql/cart", "database", own=False), Node("db:redis/cart", "database", own=False))
    none = {"expected": 0.0, "usual": 0.0, "observed": 0.0, "attempted": 0.0}
    calls = (REFUSED, *(replace(call("cart", s.name), **none) for s in stores))
    at = situation(WEB, GONE, *stores, calls=calls)
    assert rank(at)[0].service == "cart", "of what was before nothing is known"
    known = replace(at, stopped={"cart": "db:sql/cart"})
    assert last_calls(known, "cart")[1] == "db:sql/cart"
    assert rank(known)[0].kind is not CauseKind.CRASH
    answers = replace(call("pay", "db:sql/cart", ratio(CALL_ERROR_RATE, 0.0)), attempted=200.0)
    again = replace(situation(WEB, GONE, node("pay"), *stores, calls=(*calls, answers)), stopped=known.stopped)
    assert last_calls(again, "cart") == (0.0, ""), "the callee answers others: who is still silent is so by itself"
