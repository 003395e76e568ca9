"""Requests that hang are those in flight beyond what those that end account for; demand, slowness and streams are other things."""

from __future__ import annotations

import pytest

from contracts.features import IN_FLIGHT, LATENCY_P95, REQUEST_RATE
from contracts.verdicts import CauseKind
from graph.evidence.situation import Node, Shift, Situation
from graph.evidence.waiting import stuck, waiting


def shift(name: str, before: float, after: float, decades: float = 9.0) -> Shift:
    return Shift(name, before, after, (after - before) / max(before, 0.1), decades, 10.0, 60.0)


def node(held: tuple[float, float], rate: tuple[float, float], p95: tuple[float, float], decades: float = 9.0) -> Node:
    found = (shift(IN_FLIGHT, *held, decades), shift(REQUEST_RATE, *rate), shift(LATENCY_P95, *p95))
    return Node("shop", shifts={s.feature: s for s in found})


CASES = {
    "one of several hangs": ((3.0, 90.0), (60.0, 45.0), (0.05, 0.05), True),
    "callers are served by others": ((3.0, 90.0), (60.0, 60.0), (0.05, 0.05), True),
    "three times as much is asked": ((3.0, 9.0), (60.0, 180.0), (0.05, 0.05), False),
    "each takes ten times as long": ((3.0, 30.0), (60.0, 60.0), (0.05, 0.5), False),
    "streams are held open": ((400.0, 1300.0), (60.0, 60.0), (0.05, 0.05), False),
    "two instead of none": ((0.1, 2.0), (5.0, 5.0), (0.01, 0.01), False),
}


@pytest.mark.parametrize(("held", "rate", "p95", "hangs"), CASES.values(), ids=list(CASES))
def test_what_is_in_flight_and_does_not_end(held, rate, p95, hangs: bool):
    assert (stuck(node(held, rate, p95)) is not None) is hangs


def test_chance_is_no_hang():
    assert stuck(node((3.0, 90.0), (60.0, 60.0), (0.05, 0.05), decades=2.0)) is None


def test_a_hang_is_told_of_the_service_that_holds_the_requests():
    ill = node((3.0, 90.0), (60.0, 45.0), (0.05, 0.05))
    (found,) = waiting(Situation("prod", 0, 0, {"shop": ill}, {}), {})
    assert (found.service, found.kind) == ("shop", CauseKind.HANG)
    assert "hang" in found.text
