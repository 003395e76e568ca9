"""Requests that end before anybody is asked: no callee's answer made them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import LATENCY_P50, NETWORK_GAP
from graph.evidence.situation import Edge
from graph.ranking import findings
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, situation

WAY = level(NETWORK_GAP, 0.008, 0.008)


def lost(callee: str) -> Edge:
    return replace(call("web", callee, WAY), per_request_after=0.1, observed=20.0, attempted=20.0)


@pytest.mark.parametrize(
    ("takes", "asked"),
    [
        pytest.param(0.002, False, id="it ends sooner than a call takes"),
        pytest.param(0.02, True, id="it ends sooner, and after a call"),
        pytest.param(0.05, True, id="it takes as long as before"),
    ],
)
def test_whose_requests_end_sooner_than_a_call_takes_got_no_wrong_answer(takes: float, asked: bool) -> None:
    web = node("web", level(LATENCY_P50, 0.05, takes)) if takes < 0.05 else node("web")
    rates = node("rates", level(LATENCY_P50, 0.001, 0.001))
    nodes = (web, rates, node("cart"), node("ads"))
    calls = (call("web", "rates", WAY), lost("cart"), lost("ads"))
    assert (
        any(x.service == "rates" for x in findings(situation(*nodes, calls=calls)) if x.channel == "pattern") is asked
    )
    assert (next(iter(ranked(*nodes, calls=calls))) == "web") is not asked


def test_who_never_asked_in_its_typical_requests_tells_nothing_by_their_time() -> None:
    nodes = (node("web", level(LATENCY_P50, 0.004, 0.002)), node("rates", level(LATENCY_P50, 0.001, 0.001)))
    calls = (call("web", "rates", WAY), lost("cart"), lost("ads"))
    found = findings(situation(*nodes, node("cart"), node("ads"), calls=calls))
    assert "rates" in {x.service for x in found if x.channel == "pattern"}
