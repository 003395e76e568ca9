"""One instance of several hangs: nothing of its requests is in its service's own figures, its callers wait in vain, each for a part of their calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import Anomaly, Contribution
from contracts.features import ERROR_RATE, LATENCY_P50, LATENCY_P95, REQUEST_RATE
from contracts.units import SECOND as S
from contracts.verdicts import AnomalyPhase, CauseKind, ServiceState
from graph.evidence.situation import Edge, Node, Shift
from tests.unit.graph.diagnosis.test_whose_doing import ONSET, call, level, node, ranked, ratio

THIRD = 0.3
"""The share of calls that come to the instance that hangs."""


def unanswered(caller: str, callee: str = "stock", blamed: float = 1.0) -> Edge:
    """Calls of which a third were never answered: joined with nothing, they are in no statistics of calls."""
    return replace(call(caller, callee), attempted=200.0, observed=200.0 * (1 - THIRD), blamed=blamed)


def callers(slow: bool) -> list[Node]:
    waited = (level(LATENCY_P95, 0.1, 0.9),) if slow else ()
    return [node(n, ratio(ERROR_RATE, THIRD), *waited) for n in ("web", "app")]


@pytest.mark.parametrize(("slow", "kind"), [(True, CauseKind.HANG), (False, CauseKind.NETWORK)])
def test_who_waits_for_what_nobody_answers_waits_for_an_instance_that_hangs(slow: bool, kind: CauseKind) -> None:
    stock = node("stock", rate=20.0 * (1 - THIRD))
    found = ranked(
        *callers(slow), stock, node("cart"), calls=(unanswered("web"), unanswered("app"), call("web", "cart"))
    )
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("stock", kind)
    assert leader.probability > 0.9


def test_a_service_that_is_always_known_of_later_than_its_callers_is_heard_of_all_the_same() -> None:
    """Its spans are exported every few seconds, its callers' at once: it never catches up with what is known of their calls."""
    late = replace(node("stock", rate=20.0 * (1 - THIRD)), known_ns=ONSET + 5 * S, late_ns=4 * S)
    found = ranked(*callers(slow=True), late, calls=(unanswered("web"), unanswered("app")))
    leader = next(iter(found.values()))
    assert (leader.service, leader.kind) == ("stock", CauseKind.HANG)


@pytest.mark.parametrize(
    ("took", "lately", "kind"),
    [
        pytest.param(2.4, 1.0, CauseKind.LATENCY, id="each answer comes late"),
        pytest.param(2.4, 0.0, CauseKind.HANG, id="late ones came, none do any more"),
        pytest.param(0.09, 1.0, CauseKind.HANG, id="the others are answered in good time"),
        pytest.param(0.3, 1.0, CauseKind.HANG, id="hardly later"),
    ],
)
def test_who_answers_so_late_that_its_callers_give_up_is_slow(took: float, lately: float, kind: CauseKind) -> None:
    web = node("web", ratio(ERROR_RATE, 0.4), level(LATENCY_P95, 0.1, 1.0))
    users = replace(node("users", level(LATENCY_P50, 0.088, took), rate=3.0), lately={REQUEST_RATE: lately})
    asked = replace(call("web", "users"), attempted=200.0, observed=30.0, blamed=1.0)
    leader = next(iter(ranked(web, users, calls=(asked,)).values()))
    assert (leader.service, leader.kind) == ("users", kind)


def operation(service: str) -> Anomaly:
    part = Contribution(feature=LATENCY_P95, signal="spans", share=1.0, value=0.9, low=0.0, high=0.04, decades=12.0)
    return Anomaly(
        id="o", environment="shop", service=service, phase=AnomalyPhase.OPENED, state=ServiceState.ANOMALOUS, onset_ns=ONSET,
        time_ns=ONSET, p_value=1e-12, decades=12.0, contributions=(part,), detector="operations", model_version="1",
        text=f"GET /buy of {service} takes 900 ms instead of 40 ms (25 requests)", operation="GET /buy",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("edge", "innocent"),
    [
        pytest.param(replace(unanswered("web"), blamed=float("nan")), True, id="calls that nobody answered"),
        pytest.param(replace(call("web", "stock"), blamed=0.6), True, id="most that fail do so in its calls"),
        pytest.param(replace(call("web", "stock"), blamed=0.1), False, id="the callee is well"),
    ],
)
def test_an_operation_that_waits_for_calls_in_vain_is_not_its_services_own_doing(edge: Edge, innocent: bool) -> None:
    web = replace(node("web", ratio(ERROR_RATE, 0.05)), operations=(operation("web"),))
    found = ranked(web, node("stock", rate=15.0), calls=(edge,))
    told = next(x for x in found["web"].findings if x.channel == "operation")
    assert (told.explained_by == "stock") is innocent


@pytest.mark.parametrize(
    ("took", "kind"),
    [
        pytest.param(0.12, CauseKind.CRASH, id="they are refused at once"),
        pytest.param(1.2, CauseKind.HANG, id="they are given up after a second"),
    ],
)
def test_whose_calls_time_out_hangs_though_most_of_its_callers_requests_fail(took: float, kind: CauseKind) -> None:
    """The only instance of a service stood still, and was taken for a crashed one: its caller's errors weighed more than that they were waited for."""
    waits = Shift(LATENCY_P95, 0.1, took, 4.0, 3.0, 10.0, 60.0)
    web = replace(node("web", ratio(ERROR_RATE, 0.5), waits), lately={LATENCY_P95: took})
    silent = node("users", rate=0.0)
    asked = replace(call("web", "users"), attempted=200.0, observed=0.0)
    leader = next(iter(ranked(web, silent, calls=(asked,)).values()))
    assert (leader.service, leader.kind) == ("users", kind)
    assert leader.probability > 0.9
