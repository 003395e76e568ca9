"""Time lost between services: one call that is late is no slow way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.features import NETWORK_GAP
from graph.evidence.situation import Edge, Shift
from graph.ranking import findings
from tests.unit.graph.diagnosis.test_whose_doing import call, level, node, situation


def late(caller: str, callee: str, calls: float, seconds: float, deviation: float) -> Edge:
    gap = Shift(NETWORK_GAP, 0.005, seconds, deviation, 6.0, calls, 60.0)
    return replace(call(caller, callee, gap), expected=calls, usual=calls, observed=calls, attempted=calls)


@pytest.mark.parametrize(("calls", "leader"), [(1.0, "cart"), (5.0, "ads")])
def test_a_way_is_slow_by_several_calls(calls: float, leader: str) -> None:
    fine = tuple(
        call(caller, callee, level(NETWORK_GAP, 0.005, 0.005))
        for caller in ("web", "app")
        for callee in ("stock", "mail")
    )
    nodes = [node(n) for n in ("web", "app", "cart", "ads", "stock", "mail")]
    edges = (late("app", "ads", calls, 0.07, 5.5), late("web", "cart", 5.0, 1.7, 2.5), *fine)
    lost = {x.service: x.strength for x in findings(situation(*nodes, calls=edges)) if x.channel == "network"}
    assert max(lost, key=lambda n: lost[n]) == leader
