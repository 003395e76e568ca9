"""Which anomalies become one incident."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Anomaly, Incident
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase, ServiceState
from graph.diagnosis import DiagnosisEngine
from graph.grouping import Group, incident_id, place
from graph.world import Topology
from tests.unit.contracts.samples import EVENTS
from tests.unit.graph.diagnosis import shop
from tests.unit.graph.diagnosis.scenarios import feed

LINE = ("a", "b", "c", "d", "e", "f")
"""a calls b calls c …"""


def anomaly(service: str, onset_s: int, phase: AnomalyPhase = AnomalyPhase.OPENED) -> Anomaly:
    return Anomaly(
        id=f"{service}@{onset_s}",
        environment="x",
        service=service,
        phase=phase,
        state=ServiceState.ANOMALOUS,
        onset_ns=onset_s * SECOND,
        time_ns=onset_s * SECOND,
        p_value=1e-6,
        decades=6.0,
        contributions=(),
        detector="t",
        model_version="1",
        text="",
    )


def topology(*calls: tuple[str, str]) -> Topology:
    graph = Topology()
    for a, b in calls:
        graph.see(a, 0, own=True)
        graph.see(b, 0, own=not b.startswith("db:"))
        graph.call(a, b, 0, 1, 0)
    return graph


def group(graph: Topology, events: list[Anomaly], hops: int = 3, window_s: int = 30) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for event in events:
        near = lambda a, b: graph.distance(a, b, 0, hops)  # noqa: E731
        home, others = place(groups, event, near, hops, window_s * SECOND)
        if home is None:
            home = Group(incident_id("x", event.onset_ns, event.service), event.onset_ns, event.service)
            groups[home.id] = home
        home.add(event)
        for other in others:
            for a in groups.pop(other.id).anomalies.values():
                home.add(a)
    return groups


def services(groups: dict[str, Group]) -> set[frozenset[str]]:
    return {frozenset(g.services) for g in groups.values()}


LINE_GRAPH = topology(*itertools.pairwise(LINE))


def test_near_on_the_graph_and_in_time_is_one() -> None:
    assert services(group(LINE_GRAPH, [anomaly("c", 10), anomaly("b", 11)])) == {frozenset("bc")}


def test_far_on_the_graph_stays_two() -> None:
    assert services(group(LINE_GRAPH, [anomaly("a", 10), anomaly("f", 10)])) == {frozenset("a"), frozenset("f")}


def test_far_in_time_stays_two() -> None:
    closed = anomaly("b", 10, AnomalyPhase.CLOSED)
    assert services(group(LINE_GRAPH, [closed, anomaly("c", 100)])) == {frozenset("b"), frozenset("c")}


def test_a_shared_caller_connects_nobody_but_a_shared_database_does() -> None:
    graph = topology(("gateway", "a"), ("gateway", "b"), ("a", "db:pg"), ("c", "db:pg"))
    found = services(group(graph, [anomaly("a", 10), anomaly("b", 10), anomaly("c", 10)]))
    assert found == {frozenset("ac"), frozenset("b")}


def test_a_link_merges_two_groups() -> None:
    found = group(LINE_GRAPH, [anomaly("a", 10), anomaly("f", 11), anomaly("c", 12), anomaly("d", 13)], hops=2)
    assert services(found) == {frozenset("acdf")}


@given(st.permutations([anomaly(s, 10 + i) for i, s in enumerate(LINE)]))
def test_order_of_arrival_does_not_matter(events: list[Anomaly]) -> None:
    found = group(LINE_GRAPH, events)
    assert services(found) == {frozenset(LINE)}
    (one,) = found.values()
    assert (one.onset_ns, one.first) == (10 * SECOND, "a")


def test_ids_are_the_same_wherever_they_are_computed() -> None:
    assert incident_id("prod", 1_700_000_000 * SECOND, "cart") == "inc-1700000000-5f98643d48"
    assert len({incident_id("prod", 5, "a"), incident_id("prod", 5, "b"), incident_id("dev", 5, "a")}) == 3


def test_detection_is_believed_where_single_windows_can_not_show_it() -> None:
    for pooled_s, opens in ((60.0, True), (0.0, False)):
        engine = DiagnosisEngine("shop", DiagnoseSettings())
        for now_ns, events in shop.play({}, faulty_s=0):
            feed(engine, events, now_ns)
            engine.tick(now_ns)
        told = msgspec.structs.replace(
            next(e for e in EVENTS.values() if isinstance(e, Anomaly)),
            environment="shop",
            service="cart",
            peer="pricing",
            phase=AnomalyPhase.OPENED,
            onset_ns=now_ns - 30 * shop.SECOND,
            time_ns=now_ns,
            decades=3.0,
            pooled_s=pooled_s,
        )
        engine.anomaly(told, now_ns)
        assert bool([x for x in engine.tick(now_ns) if isinstance(x, Incident)]) is opens


def test_pooled_evidence_is_its_own_word_where_single_windows_show_nothing():
    pooled = msgspec.structs.replace(anomaly("cart", 10), id="pooled", pooled_s=60.0)
    alone, shown = Group("a", 0, "cart"), Group("b", 0, "cart")
    alone.add(pooled)
    assert alone.pooled
    shown.add(anomaly("cart", 8, AnomalyPhase.CLOSED))
    shown.add(pooled)
    assert not shown.pooled, "its windows say when it is over"
    shown.add(msgspec.structs.replace(pooled, id="other", service="orders"))
    assert shown.pooled
