"""A service that sends no spans is asked for as much as its callers call it: where that is more than before, it is slow because of that."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import CALL_ERROR_RATE, CALL_LATENCY_P95, CALL_RATE, LATENCY_P95, LOG_RATE, REQUEST_RATE, Signal
from contracts.frames import Presence
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.diagnosis.assess import assess
from graph.evidence.situation import Edge, Node, Shift
from graph.grouping import Group
from graph.world import World
from tests.unit.graph.diagnosis.test_absence import END, ONSET, RATE, T0, anomaly, frame
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, ranked, ratio

DUNE = Node("dune", shifts={LOG_RATE: level(LOG_RATE, 3.0, 9.0)})
"""It writes logs, and tells of nothing that it serves."""
SLOW = level(CALL_LATENCY_P95, 0.085, 0.5)


def asked(caller: str, times: float, *shifts: Shift) -> Edge:
    """Calls to dune, twenty a second before, and so many times as many by now."""
    rate = level(CALL_RATE, 20.0, 20.0 * times) if times > 1 else Shift(CALL_RATE, 20.0, 20.0, 0.0, 0.0, 10.0, 60.0)
    return replace(Edge(caller, "dune", {s.feature: s for s in (SLOW, *shifts)}), asked=rate, known_ns=DUNE.known_ns)


@pytest.mark.parametrize(
    ("times", "users", "fails", "kind"),
    [
        pytest.param(5.0, 5.0, 0.0, CauseKind.SATURATION, id="users ask for more"),
        pytest.param(5.0, 5.0, 0.4, CauseKind.SATURATION, id="and some of it fails by now"),
        pytest.param(3.0, 1.0, 0.0, CauseKind.SATURATION, id="its caller asks more often"),
        pytest.param(1.0, 1.0, 0.0, CauseKind.LATENCY, id="as much as ever"),
        pytest.param(1.2, 1.2, 0.0, CauseKind.LATENCY, id="hardly more"),
        pytest.param(1.6, 1.0, 0.5, CauseKind.LATENCY, id="what failed is asked again"),
    ],
)
def test_who_is_slow_because_more_is_asked_is_saturated(
    times: float, users: float, fails: float, kind: CauseKind
) -> None:
    web = node("web", level(LATENCY_P95, 0.1, 0.55), rate=20.0 * users)
    failed = (ratio(CALL_ERROR_RATE, fails),) if fails else ()
    edges = (asked("web", times, *failed), call("web", "cart"))
    found = ranked(web, DUNE, node("cart", rate=20.0 * users), calls=edges)
    leader = next(iter(found.values()))
    assert leader.service == "dune"
    assert leader.kind is kind
    assert any(x.channel == "demand" for x in leader.findings) is (kind is CauseKind.SATURATION)


def test_what_all_callers_ask_counts() -> None:
    """One of ten asks three times as much: all together ask hardly more."""
    others = tuple(asked(f"c{i}", 1.0) for i in range(9))
    nodes = [node(f"c{i}", level(LATENCY_P95, 0.1, 0.55)) for i in range(9)]
    web = node("web", level(LATENCY_P95, 0.1, 0.55), rate=60.0)
    found = ranked(web, DUNE, *nodes, calls=(asked("web", 3.0), *others))
    assert found["dune"].kind is CauseKind.LATENCY


@pytest.mark.parametrize(("named", "times"), [("dune", 5.0), ("external:dune", 5.0), ("external:dune", 1.0)])
def test_whatever_callers_call_it_they_tell_how_often_it_is_asked(named: str, times: float) -> None:
    world = World("shop")
    for t in range(END):
        ill = t >= ONSET
        rate, took = (times * RATE, 0.5) if ill else (RATE, 0.08)
        world.take(frame(Signal.LOGS, t, {("dune", ""): [3.0, 0.0, 0.0]}, Presence.OBSERVED))
        world.take(
            frame(Signal.SPANS, t, {("web", ""): [rate, 0.0, took, took + 0.03, took + 0.04]}, Presence.OBSERVED)
        )
        world.take(frame(Signal.EDGES, t, {("web", named): [rate, 0.0, took, float("nan")]}, Presence.OBSERVED))
    group = Group("inc-1", T0 + ONSET * S, "web")
    group.add(anomaly("web"))
    found = assess(world, group, T0 + ONSET * S, 0)
    assert found is not None
    assert REQUEST_RATE not in found.situation.nodes["dune"].shifts
    wanted = CauseKind.SATURATION if times > 1 else CauseKind.LATENCY
    assert (found.leader.service, found.leader.kind) == ("dune", wanted)
