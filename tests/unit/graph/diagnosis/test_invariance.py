"""What is concluded of the sick depends on the sick: not on names, order, units, nor on how many others are well."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from graph.diagnosis import DiagnosisEngine
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.ranking import rank
from graph.world.world import World
from tests.unit.graph.diagnosis import shop
from tests.unit.graph.diagnosis.scenarios import feed, incidents
from tests.unit.graph.diagnosis.shop import ONSET, Fault

FAULTS = {
    "slow": {"pricing": Fault(slow=0.2)},
    "fails": {"payment": Fault(fails=0.4, logs_errors=0.3)},
    "crash": {"user": Fault(down="crash")},
    "network": {"orders": Fault(gap=0.15)},
    "leak": {"user": Fault(leak=0.04, slow=0.05)},
}
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@functools.cache
def situation(fault: str) -> Situation:
    return seen(list(shop.play(FAULTS[fault], faulty_s=8)))


def seen(seconds: list, times: float = 1.0) -> Situation:
    """The shop's situation, with resources measured in another unit."""
    world = World("shop")
    for _, events in seconds:
        for event in events:
            if isinstance(event, EvidenceFrame):
                world.take(scaled(event, times) if event.signal == Signal.METRICS else event)
    return world.situation(list(world.topology.services), ONSET)


def scaled(frame: EvidenceFrame, times: float) -> EvidenceFrame:
    """CPU and memory as cores and bytes, and those in other units."""
    share = [BY_SIGNAL[Signal.METRICS].index(n) for n in ("cpu_utilization", "memory_utilization")]
    level = [BY_SIGNAL[Signal.METRICS].index(n) for n in ("cpu_cores", "memory_bytes")]
    values = frame.values.copy()
    values[:, level] = values[:, share] * times
    values[:, share] = np.nan
    score = frame.score.copy()
    score[:, level], score[:, share] = score[:, share], 0.0
    return dataclasses.replace(frame, values=values, score=score)


def probabilities(at: Situation) -> dict[str, float]:
    return {s.service: s.probability for s in rank(at)}


def renamed(at: Situation, names: dict[str, str]) -> Situation:
    def node(n: Node) -> Node:
        return dataclasses.replace(n, name=names[n.name])

    def edge(e: Edge) -> Edge:
        return dataclasses.replace(e, caller=names[e.caller], callee=names[e.callee])

    nodes = {names[k]: node(n) for k, n in at.nodes.items()}
    return dataclasses.replace(at, nodes=nodes, edges={(names[a], names[b]): edge(e) for (a, b), e in at.edges.items()})


@pytest.mark.parametrize("fault", FAULTS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_names_are_only_names(fault: str, data: st.DataObject):
    at = situation(fault)
    fresh = data.draw(st.lists(NAMES, min_size=len(at.nodes), max_size=len(at.nodes), unique=True))
    names = dict(zip(at.nodes, fresh, strict=True))
    before, after = probabilities(at), probabilities(renamed(at, names))
    assert {names[n]: p for n, p in before.items()} == pytest.approx(after, abs=1e-9)


@pytest.mark.parametrize("fault", FAULTS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_order_of_services_and_calls_is_nothing(fault: str, data: st.DataObject):
    at = situation(fault)
    nodes = {n: at.nodes[n] for n in data.draw(st.permutations(list(at.nodes)))}
    edges = {e: at.edges[e] for e in data.draw(st.permutations(list(at.edges)))}
    mixed = dataclasses.replace(at, nodes=nodes, edges=edges)
    assert probabilities(mixed) == pytest.approx(probabilities(at), abs=1e-9)
    assert rank(mixed)[0].service == rank(at)[0].service


@pytest.mark.parametrize("fault", FAULTS)
@given(many=st.integers(1, 60))
@settings(max_examples=10, deadline=None)
def test_however_many_are_well(fault: str, many: int):
    at = situation(fault)
    calm = {f: Shift(f, x, x, 0.0, 0.0, 10.0, 60.0) for f, x in (("request_rate", 20.0), ("latency_p95", 0.05))}
    strangers = {f"stranger-{i}": Node(f"stranger-{i}", shifts=calm) for i in range(many)}
    calls = {
        (f"stranger-{i}", f"stranger-{i + 1}"): Edge(f"stranger-{i}", f"stranger-{i + 1}") for i in range(many - 1)
    }
    more = dataclasses.replace(at, nodes={**strangers, **at.nodes}, edges={**calls, **at.edges})
    after = probabilities(more)
    assert {n: after[n] for n in at.nodes} == pytest.approx(probabilities(at), abs=1e-9)
    assert all(after[n] == 0.0 for n in strangers)


@pytest.mark.parametrize("times", [1000.0, 2.0**-20])
def test_units_of_resources_are_nothing(times: float):
    seconds = list(shop.play(FAULTS["leak"], faulty_s=8))
    assert probabilities(seen(seconds, times)) == pytest.approx(probabilities(seen(seconds)), abs=1e-6)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_second_namespace_of_the_same_names(fault: str):
    alone, beside = (DiagnosisEngine("shop", DiagnoseSettings()) for _ in range(2))
    said: dict[int, list] = {0: [], 1: []}
    sick = shop.play(FAULTS[fault], faulty_s=10)
    well = shop.play({}, faulty_s=10, seed=7)
    for (now_ns, events), (_, others) in zip(sick, well, strict=True):
        feed(alone, events, now_ns)
        strangers = [moved(e) for e in others if isinstance(e, EvidenceFrame)]
        feed(beside, [*strangers, *events], now_ns)
        for i, engine in enumerate((alone, beside)):
            said[i] += [(now_ns, x) for x in engine.tick(now_ns)]
    mine, both = (incidents(said[i])[-1] for i in (0, 1))
    assert [c.service for c in both.candidates] == [c.service for c in mine.candidates]
    assert [c.probability for c in both.candidates] == pytest.approx([c.probability for c in mine.candidates], abs=0.01)
    assert both.time_ns - mine.time_ns <= SECOND


def moved(frame: EvidenceFrame) -> EvidenceFrame:
    """The same shop in another namespace."""
    return dataclasses.replace(
        frame, services=tuple(f"staging/{n}" for n in frame.services), peers=tuple(f"staging/{n}" for n in frame.peers)
    )
