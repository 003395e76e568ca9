"""What the cluster says of a silent service, through the real stages: lost telemetry is no outage, gone pods are one at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from contracts.frames import InstanceState, Presence, pack
from contracts.topics import PARTIALS
from contracts.units import SECOND
from contracts.verdicts import AnomalyKind, ServiceState
from streams.windows.instances import REPEATED_NS, InstanceReports, instance_frames
from tests.patience import LONG_S
from tests.representatives import representatives
from tests.unit.streams.fleet import PARTITIONS, T0, Fault, Fleet, Loss

READY, GONE, UNSURE = InstanceState.READY, InstanceState.GONE, InstanceState.UNSURE
LOST, END = 40, 70
UNSEEN = Loss(("gateway",), 0, 10_000)
"""Who calls sends nothing, so nobody but the cluster can say how it is."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(LONG_S)]


@dataclass
class Clustered(Fleet):
    """A fleet that is watched: `said` are service, second from which on, and state."""

    said: tuple[tuple[str, float, InstanceState], ...] = ()
    until: float = 10_000
    repeated_ns: int = field(default=0, init=False)
    before: dict[str, InstanceState] = field(default_factory=dict, init=False)

    def _send(self) -> None:
        super()._send()
        at = (self.now - T0) / SECOND
        states = {service: state for service, begin, state in self.said if begin <= at}
        if states and at < self.until and (states != self.before or self.now - self.repeated_ns >= REPEATED_NS):
            self.before, self.repeated_ns = states, self.now
            for target, frame in instance_frames("prod", "cluster/prod", states, self.now, PARTITIONS):
                self.pipeline.feed(PARTIALS, pack(frame), self.now, partition=target)


def outages(fleet: Fleet) -> list[tuple[float, str]]:
    return [(at, a.service) for at, a in fleet.anomalies(lambda a: a.kind is AnomalyKind.SERVICE)]


def lonely(*said: tuple[str, float, InstanceState], lost: tuple[str, ...], until: float = 10_000) -> Fleet:
    """Only telemetry of cart comes, and of that these signals stop."""
    losses = (UNSEEN, Loss(("cart",), LOST, END, lost))
    return Clustered(("cart",), losses=losses, rate=30, said=said, until=until).run(END)


def test_a_ready_service_whose_spans_are_lost_is_stale_and_no_outage() -> None:
    """Its metrics go on, and count no requests: whether anything is served they don't say, and the readiness probe does."""
    fleet = lonely(("cart", 5, READY), lost=("spans", "logs"))
    assert outages(fleet) == []
    assert fleet.invented() == []
    assert fleet.state("cart", LOST + 10) == ServiceState.STALE


@pytest.mark.parametrize("unsure", representatives([False, True], True))
def test_without_such_a_word_it_is_as_it_was(unsure: bool) -> None:
    said = (("cart", 5, UNSURE),) if unsure else ()
    fleet = lonely(*said, lost=("spans", "logs"))
    assert [service for _, service in outages(fleet)] == ["cart"]


@pytest.mark.parametrize("metrics_too", representatives([False, True], True))
def test_a_service_whose_pods_are_gone_is_told_at_once(metrics_too: bool) -> None:
    """Nobody calls it, nothing of it comes: without the cluster's word that is stale, and told by nobody."""
    lost = ("spans", "logs", "metrics") if metrics_too else ("spans", "logs")
    fleet = lonely(("cart", 5, READY), ("cart", LOST + 0.25, GONE), lost=lost)
    ((told, service),) = outages(fleet)
    assert service == "cart"
    assert told <= LOST + 6
    assert fleet.state("cart", LOST + 8) == ServiceState.ANOMALOUS


def test_without_the_clusters_word_all_of_it_gone_is_stale() -> None:
    fleet = lonely(lost=("spans", "logs", "metrics"))
    assert outages(fleet) == []
    assert fleet.state("cart", LOST + 10) == ServiceState.STALE


def test_a_word_that_nobody_repeats_is_over() -> None:
    """The watch ended long before: that it was ready then says nothing of now."""
    fleet = lonely(("cart", 5, READY), lost=("spans", "logs"), until=LOST - 20)
    assert [service for _, service in outages(fleet)] == ["cart"]


def test_who_answers_its_callers_is_not_gone_whatever_the_cluster_says() -> None:
    """Its pods fail their probe, or it runs elsewhere, too: the calls succeed, so its telemetry is what is lost."""
    losses = (Loss(("cart",), LOST, END),)
    fleet = Clustered(("cart", "pay"), losses=losses, rate=45, said=(("cart", LOST, GONE),)).run(END)
    assert outages(fleet) == []
    assert fleet.state("cart", LOST + 10) == ServiceState.STALE


def test_a_crash_is_told_though_the_cluster_calls_it_ready() -> None:
    """A probe that asks for too little: callers fail."""
    faults = (Fault("crash", "cart", LOST, END),)
    fleet = Clustered(("cart", "pay"), {}, faults, rate=45, said=(("cart", 5, READY),)).run(END)
    assert "cart" in [service for _, service in outages(fleet)]


def test_rows_of_gone_pods_are_quiet_as_soon_as_a_whole_window_was_so() -> None:
    fleet = lonely(("cart", LOST + 0.25, GONE), lost=("spans", "logs", "metrics"))
    rows = {second: what for service, second, what, _ in fleet.rows() if service == "cart"}
    assert {rows[s] for s in range(LOST + 1, LOST + 20)} == {Presence.QUIET}


def test_reports_are_remembered_over_a_snapshot_and_no_longer_than_they_are_believed() -> None:
    reports = InstanceReports(2)
    for second in (0, 5, 10):
        for _, frame in instance_frames("prod", "watch", {"a": READY, "b": GONE}, second * SECOND, 1):
            assert reports.take(frame) == 0
            assert reports.take(frame) == 0, "delivered twice"
    again = InstanceReports(2)
    again.load(reports.state())
    for found in (reports, again):
        assert found.since_ns("a", READY, 12 * SECOND) == 0
        assert found.since_ns("a", GONE, 12 * SECOND) is None
        assert found.since_ns("b", GONE, 12 * SECOND) == 0
        assert found.since_ns("b", GONE, 60 * SECOND) is None
        assert found.since_ns("c", READY, 12 * SECOND) is None
    ((_, late),) = instance_frames("prod", "watch", {"a": READY}, 100 * SECOND, 1)
    again.take(late)
    assert again.since_ns("a", READY, 101 * SECOND) == 100 * SECOND, "what was between nobody said"


def test_of_more_services_than_there_is_room_for_the_silent_leave_first() -> None:
    reports = InstanceReports(2)
    ((_, first),) = instance_frames("prod", "watch", {"a": READY, "b": READY, "c": READY}, 1 * SECOND, 1)
    assert reports.take(first) == 1
    ((_, later),) = instance_frames("prod", "watch", {"d": GONE, "e": GONE}, 100 * SECOND, 1)
    assert reports.take(later) == 0
    assert reports.since_ns("e", GONE, 101 * SECOND) == 100 * SECOND
