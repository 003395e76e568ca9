"""Of a service that tells of no requests its callers tell how often it is asked: one that is asked for more is not restarted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.verdicts import CauseKind, Conduct, DecisionVerdict, HeldReason
from playbooks.decision import ServiceView, decide
from playbooks.guards import Standing
from playbooks.guards.callers_view import Called
from tests.unit.playbooks.decision.test_deciding import LIBRARY, SETTINGS, WORLD, cause, incident

SLOW = incident(cause("cart", CauseKind.LATENCY, 0.95))
UNTOLD = Standing(Conduct.UNKNOWN, "it reports no requests of its own", untold=True)
MORE, AS_EVER = Called(50.0, 10.0, 13.0), Called(10.5, 10.0, 13.0)


@pytest.mark.parametrize(("called", "chosen"), [(MORE, "scale-out-slow-service"), (AS_EVER, "restart-slow-service")])
def test_its_callers_tell_whether_it_is_asked_for_more(called: Called, chosen: str) -> None:
    standings = {"cart": replace(UNTOLD, called=called, times=max(1.0, called.rate / called.usual))}
    found = decide(SLOW, replace(WORLD, services={"cart": ServiceView()}, standings=standings), LIBRARY, SETTINGS)
    assert found.chosen.playbook == chosen
    held = next(o for o in found.options if o.playbook == "restart-slow-service").held
    assert (held is HeldReason.CONDITION) is (called is MORE)


def test_what_it_tells_itself_counts() -> None:
    own = ServiceView("", {}, {"request_rate": 10.0}, {}, {"request_rate": 20.0})
    standings = {"cart": Standing(Conduct.WORSE, "slow", called=MORE)}
    found = decide(SLOW, replace(WORLD, services={"cart": own}, standings=standings), LIBRARY, SETTINGS)
    assert (found.verdict, found.chosen.playbook) == (DecisionVerdict.ACT, "restart-slow-service")
