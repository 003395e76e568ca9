"""Calls that turn out to go through a service without spans: what was taken for a direct call is none any more."""

from __future__ import annotations

import pytest

from contracts.units import SECOND
from graph.world.passages import OVERLAP_NS, Passages
from graph.world.topology import Topology

S = SECOND


def town(*services: str) -> Topology:
    topology = Topology()
    for name in services:
        topology.see(name, 0, own=True)
    return topology


def lives(topology: Topology, passages: Passages, calls: set[tuple[str, str]], since_s: int, until_s: int) -> None:
    served = {("web", ""), ("opal", "")}
    for second in range(since_s, until_s):
        for pair in sorted(calls):
            topology.call(*pair, second * S, 1, 0)
        passages.look(topology, served, second * S)


@pytest.mark.parametrize("direct_too", [False, True])
def test_a_direct_call_ends_when_it_is_known_who_passes_it_on(direct_too: bool) -> None:
    topology, passages = town("web", "garnet", "opal"), Passages()
    lives(topology, passages, {("web", "opal")}, 0, 30)
    through = {("web", "garnet"), ("garnet", "opal")}
    lives(topology, passages, through | ({("web", "opal")} if direct_too else set()), 30, 60)
    assert topology.callees_at("web", 60 * S) == (["opal", "garnet"] if direct_too else ["garnet"])
    assert [(e.caller, e.callee) for e in topology.ended] == ([] if direct_too else [("web", "opal")])


def test_what_overlaps_a_little_is_the_same_call() -> None:
    topology, passages = town("web", "garnet", "opal"), Passages()
    lives(topology, passages, {("web", "opal")}, 0, 30)
    through = {("web", "garnet"), ("garnet", "opal")}
    lives(topology, passages, through | {("web", "opal")}, 30, 30 + OVERLAP_NS // S)
    assert "opal" in topology.callees_at("web", 40 * S), "it is waited for what is told late"
    lives(topology, passages, through, 40, 60)
    assert topology.callees_at("web", 60 * S) == ["garnet"]


def test_who_sends_spans_passes_nothing_on() -> None:
    """web calls stock no more, and stock is called by opal, which it calls: both tell of themselves."""
    topology, passages = town("web", "opal", "stock"), Passages()
    lives(topology, passages, {("web", "stock")}, 0, 30)
    lives(topology, passages, {("web", "opal"), ("opal", "stock")}, 30, 60)
    assert topology.callees_at("web", 60 * S) == ["stock", "opal"]


def test_a_store_passes_nothing_on() -> None:
    topology, passages = town("web", "opal"), Passages()
    lives(topology, passages, {("web", "opal")}, 0, 30)
    lives(topology, passages, {("web", "db:redis"), ("db:redis", "opal")}, 30, 60)
    assert "opal" in topology.callees_at("web", 60 * S)
