"""One route of many is slow or fails: that is what is told. A route that is asked for seldom, or takes as long as ever, is not."""

from __future__ import annotations

import pytest

from contracts.settings import Settings
from tests.representatives import representatives
from tests.scenarios.traffic import END_S, ONSET_S, T0, Found, Plan, Route, S, Shop, messages, through

SETTINGS = Settings(detect={"detectors": ("bank",)})
HOME = Route("GET /", 20, 4, {"catalog": 1.0, "reco": 1.0})
BUY = Route("POST /buy", 12, 4, {"checkout": 1.0})
SEARCH = Route("GET /search", 1.5, 60)
RARE = Route("GET /report", 0.2, 300)


def watched(changed: tuple[Route, ...], seed: int = 31) -> Found:
    plan = Plan(usual=(HOME, BUY, SEARCH, RARE), changed=changed)
    return through(messages(Shop(plan, seed).spans_by_end(), T0 + END_S * S), SETTINGS)


@pytest.mark.slow
def test_a_slow_route_in_twenty_is_named():
    found = watched((HOME, BUY, Route("GET /search", 1.5, 900), RARE))
    told = [a for a in found.anomalies if a.operation]
    assert {(a.service, a.operation) for a in told} == {("gateway", "GET /search")}, found.told()
    assert "instead of" in told[0].text
    assert told[0].contributions[0].value == pytest.approx(0.9, rel=0.3)
    assert told[0].time_ns <= T0 + (ONSET_S + 15) * S
    causes = [c for i in found.incidents for c in i.candidates if c.service == "gateway"]
    assert causes, found.told()
    assert "GET /search" in {c.operation for c in causes}
    assert found.blamed == {"gateway"}, found.told()
    assert not found.touched, found.told()
    assert found.offered == {"gateway"}, found.told()


CHANGED = {
    "nothing changes": (HOME, BUY, SEARCH, RARE),
    "a few slow requests of a rare route": (HOME, BUY, SEARCH, Route("GET /report", 0.2, 3000)),
    "a route is asked for more": (HOME, BUY, Route("GET /search", 12, 60), RARE),
    "many new routes": (HOME, BUY, SEARCH, RARE, *(Route(f"GET /p{i}/x", 0.3, 20) for i in range(20))),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", representatives(CHANGED, "a few slow requests of a rare route"))
def test_no_operation_is_told_without_evidence(case: str):
    assert not [a.text for a in watched(CHANGED[case]).anomalies if a.operation]
