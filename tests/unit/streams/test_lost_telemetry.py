"""Telemetry that is lost is no outage, and an outage is no lost telemetry: through the real stages, on virtual time."""

from __future__ import annotations

import pytest

from contracts.frames import Presence
from contracts.units import SECOND
from contracts.verdicts import AnomalyKind, ServiceState
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.unit.streams.fleet import Fault, Fleet, Loss

SERVICES = ("cart", "catalog", "pay")
NODES = {"gateway": "n1", "cart": "n1", "catalog": "n2", "pay": "n2"}
EVERYTHING = ("gateway", *SERVICES)
LOST = 40
HUNG = 60
"""Later: how many requests are usual must be known well for so few to be called none."""
FINE_NS = SECOND // 4
"""Steps of time where it matters when in a second something happens."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]


def outages(fleet: Fleet) -> list[str]:
    """What was told of services."""
    return [
        f"{at:.1f} {a.service} {a.peer}: {a.text}" for at, a in fleet.anomalies(lambda a: a.kind is AnomalyKind.SERVICE)
    ]


@pytest.mark.parametrize(
    ("who", "seconds"),
    representatives(
        [
            (("cart",), 20),
            (("cart",), 120),
            (("gateway",), 20),
            (("catalog", "pay"), 20),
            (EVERYTHING, 20),
            (EVERYTHING, 120),
        ],
        *((("cart",), 20), (("catalog", "pay"), 20), (EVERYTHING, 20)),
    ),
    ids=lambda x: "+".join(x) if isinstance(x, tuple) else f"{x} s",
)
def test_lost_telemetry_is_stale_and_no_outage(who: tuple[str, ...], seconds: int) -> None:
    """It is told once, as what it is: of a service, of a node, or of everything."""
    scope = {1: who[0], 2: "node:n2", 4: "*"}[len(who)]
    fleet = Fleet(SERVICES, losses=(Loss(who, LOST, LOST + seconds),), rate=45, nodes=NODES).run(LOST + seconds + 16)
    assert outages(fleet) == []
    assert fleet.invented() == []
    for service in who:
        assert fleet.state(service, LOST + 10) == ServiceState.STALE
        assert fleet.state(service, LOST + seconds + 15) == ServiceState.HEALTHY
    for service in set(EVERYTHING) - set(who):
        assert fleet.state(service, LOST + 10) == ServiceState.HEALTHY
    findings = [(at, a) for at, a in fleet.told if a.kind is AnomalyKind.TELEMETRY]
    assert [(a.service, a.phase) for _, a in findings] == [(scope, "opened"), (scope, "closed")]
    assert [at for at, _ in findings] == [pytest.approx(LOST + 14, abs=5), pytest.approx(LOST + seconds + 2, abs=3)]
    assert "comes any more" in findings[0][1].text


@pytest.mark.parametrize("resumes", representatives([0.25, 0.5, 0.75], 0.25))
def test_whenever_in_a_second_telemetry_comes_again_nothing_is_invented(resumes: float) -> None:
    fleet = Fleet(SERVICES, losses=(Loss(EVERYTHING, 30, 42 + resumes),), rate=45, nodes=NODES, tick_ns=FINE_NS).run(48)
    assert outages(fleet) == []
    assert fleet.invented() == []
    wanted = {(s, w) for s in EVERYTHING for w in range(31, 41)}
    assert {(s, w) for s, w, what, _ in fleet.rows() if what is Presence.MISSING} >= wanted


def test_losses_that_come_again_and_again_are_no_habit() -> None:
    losses = tuple(Loss(EVERYTHING, at, at + 12) for at in range(30, 105, 25))
    fleet = Fleet(SERVICES, losses=losses, rate=45, nodes=NODES).run(105)
    assert outages(fleet) == []
    assert fleet.invented() == []


@pytest.mark.parametrize("who", representatives(["cart", "gateway"], "gateway"))
def test_lost_spans_are_no_outage_though_other_signals_come(who: str) -> None:
    fleet = Fleet(SERVICES, losses=(Loss((who,), LOST, LOST + 20, ("spans",)),), rate=45, nodes=NODES).run(LOST + 28)
    assert outages(fleet) == []
    assert fleet.state(who, LOST + 10) == ServiceState.STALE


@pytest.mark.parametrize("who", representatives(["cart", "gateway"], "cart"))
def test_lost_spans_and_logs_are_no_outage_though_its_metrics_come(who: str) -> None:
    """Nobody says that no log records were written where nobody says what was served."""
    fleet = Fleet(SERVICES, losses=(Loss((who,), LOST, LOST + 20, ("spans", "logs")),), rate=45, nodes=NODES).run(
        LOST + 28
    )
    assert outages(fleet) == []
    assert fleet.state(who, LOST + 10) == ServiceState.STALE


def test_a_service_that_hangs_is_told_because_its_callers_give_up() -> None:
    fleet = Fleet(SERVICES, {}, (Fault("hang", "cart", HUNG, HUNG + 30),), rate=45, nodes=NODES).run(HUNG + 10)
    opened = fleet.anomalies(lambda a: a.service == "cart")
    assert [a.kind for _, a in opened] == [AnomalyKind.SERVICE]
    assert "no requests" in opened[0][1].text
    assert opened[0][0] <= HUNG + 6


@pytest.mark.parametrize("batch", representatives([0.25, 5.0], 5.0))
def test_a_crash_is_told_at_once_because_its_callers_fail(batch: float) -> None:
    """However late its own telemetry comes, a service that is gone is told within two seconds of the first failed calls."""
    delays = {("cart", signal): batch for signal in ("spans", "logs", "metrics")}
    fleet = Fleet(SERVICES, delays, (Fault("crash", "cart", LOST, LOST + 30),), rate=45, tick_ns=FINE_NS).run(LOST + 14)
    opened = fleet.anomalies(lambda a: a.service == "cart")
    assert len(opened) == 1
    told, anomaly = opened[0]
    assert anomaly.kind is AnomalyKind.SERVICE
    assert "no requests" in anomaly.text
    assert told <= LOST + 3.5 + 2 * batch
    assert fleet.state("cart", LOST + 10) == ServiceState.ANOMALOUS
