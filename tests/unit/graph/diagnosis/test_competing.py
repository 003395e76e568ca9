"""Effects compete: what callees account for is not the caller's own, in logs as in failures; and queueing is not demand."""

from __future__ import annotations

import pytest

from contracts.events import Change
from contracts.features import (
    ERROR_RATE,
    LATENCY_P95,
    LOG_ERROR_RATE,
    LOG_RATE,
    POOL_WAIT,
    REQUEST_RATE,
)
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.judgement import LOG_ERRORS_MOST
from graph.ranking import findings, rank

ONSET = 1_780_000_000 * S


def node(name: str, rate: float = 20.0, seconds: float = 10.0, **more: Shift) -> Node:
    shifts = {REQUEST_RATE: Shift(REQUEST_RATE, 20.0, rate, (rate - 20.0) / 4, abs(rate - 20.0), seconds, 60.0)}
    return Node(name, shifts={**shifts, **{s.feature: s for s in more.values()}})


def logs(errors: float, seconds: float = 10.0) -> dict[str, Shift]:
    """Twenty requests per second, two records for each, and this share of error records instead of hardly any."""
    share = Shift(LOG_ERROR_RATE, 0.001, errors, 50 * errors, 30.0, 400.0, 2400.0)
    return {"a": share, "b": Shift(LOG_RATE, 40.0, 40.0, 0.0, 0.0, seconds, 60.0)}


def fails(share: float) -> dict[str, Shift]:
    return {"c": Shift(ERROR_RATE, 0.001, share, 40 * share, 30.0, 200.0, 1200.0)}


def situation(*nodes: Node, calls: tuple[tuple[str, str], ...] = (), changes: tuple[Change, ...] = ()) -> Situation:
    edges = {
        c: Edge(*c, per_request_before=1.0, per_request_after=1.0, expected=200, usual=200, observed=200) for c in calls
    }
    return Situation("shop", ONSET, ONSET + 10 * S, {n.name: n for n in nodes}, edges, changes)


def test_a_gateway_that_only_logs_what_its_callee_does_is_not_blamed():
    at = situation(node("gateway", **logs(0.4)), node("stock", **fails(0.3)), calls=(("gateway", "stock"),))
    first, second = rank(at)[:2]
    assert first.service == "stock"
    assert first.probability > 5 * second.probability
    assert any(f.explained_by == "stock" for f in second.findings)


def test_error_records_say_only_so_much_however_long_they_go_on():
    short, long = (
        max(x.strength for s in rank(situation(node("gateway", seconds=t, **logs(0.4, t)))) for x in s.findings)
        for t in (10.0, 10_000.0)
    )
    assert short <= long <= LOG_ERRORS_MOST


WAITS = {
    "w": Shift(POOL_WAIT, 0.1, 8.0, 20.0, 12.0, 10.0, 60.0),
    "l": Shift(LATENCY_P95, 0.1, 0.4, 12.0, 12.0, 10.0, 60.0),
}


def test_waiting_without_more_demand_is_no_saturation():
    assert rank(situation(node("cart", **WAITS)))[0].kind is not CauseKind.SATURATION


def test_waiting_with_more_demand_is():
    assert rank(situation(node("cart", rate=60.0, **WAITS)))[0].kind is CauseKind.SATURATION


def change(kind: str, ago_s: float, actor: str = "") -> Change:
    return Change(
        environment="shop", service="cart", kind=kind, time_ns=ONSET - int(ago_s * S), actor=actor, after="v2"
    )


def test_waiting_after_instances_were_lost_is():
    at = situation(node("cart", w=WAITS["w"]), changes=(change("eviction", 5),))
    assert any(f.channel == "waiting" and f.kind is CauseKind.SATURATION for f in rank(at)[0].findings)


@pytest.mark.parametrize("kind", ["deploy", "config"])
@pytest.mark.parametrize("shown", [{}, WAITS, fails(0.02)])
def test_a_release_seconds_before_leads_where_its_service_shows_something(kind: str, shown: dict[str, Shift]):
    """Also beside a busier neighbour that suffers more; and by itself it is nothing."""
    other = node("stock", **fails(0.05))
    at = situation(node("cart", **shown), other, changes=(change(kind, 4),))
    first = rank(at)[0]
    if shown:
        assert (first.service, first.kind) == ("cart", CauseKind.BAD_RELEASE)
    else:
        assert first.service == "stock"


def test_what_a_warm_cache_answers_is_no_broken_pattern():
    """The catalog asks its store no more, and the cache before it as often as ever; an order that is no longer charged is another matter."""
    served = {"catalog": 200.0, "orders": 200.0}

    def call(caller: str, callee: str, made: float) -> Edge:
        each = made / served[caller]
        return Edge(
            caller, callee, per_request_before=1.0, per_request_after=each, expected=200, usual=200, observed=made
        )

    calls = (call("catalog", "db:redis/items", 200.0), call("catalog", "db:postgresql/items", 5.0))
    calls += (call("orders", "stock", 200.0), call("orders", "payment", 5.0))
    nodes = [node(n) for n in ("catalog", "orders", "stock", "payment")]
    nodes += [Node(n, "database", own=False) for n in ("db:redis/items", "db:postgresql/items")]
    at = Situation("shop", ONSET, ONSET + 10 * S, {n.name: n for n in nodes}, {(e.caller, e.callee): e for e in calls})
    found = [x.service for x in findings(at) if x.channel == "pattern"]
    assert set(found) == {"orders", "stock"}
