"""The world's arrays against the plain words of what they say: entries of a graph, old snapshots."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.features import (
    ERROR_RATE,
    METRIC_ERROR_RATE,
    METRIC_LATENCY_P95,
    METRIC_REQUEST_RATE,
    REQUEST_RATE,
    Signal,
)
from contracts.settings import DiagnoseSettings
from graph.diagnosis import DiagnosisEngine, memory
from graph.evidence.shifts import since_then
from graph.evidence.situation import Shift
from graph.world.topology import Topology
from tests.unit.graph.diagnosis.shop import START, Usual, frames, simulate

NAMES = st.sampled_from("abcdefgh")


def closure(topology: Topology, name: str) -> set[str]:
    """Everything that reaches a service by calls, and itself."""
    return {name, *topology.upstream(name, START)}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=16), st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_entries_are_those_upstream_whom_nobody_calls(calls: list[tuple[str, str]], asked: list[str]) -> None:
    topology = Topology()
    for name in (*asked, *(n for pair in calls for n in pair)):
        topology.see(name, START, own=True)
    for caller, callee in calls:
        if caller != callee:
            topology.call(caller, callee, START, 1, 0)

    found = topology.entries(asked, START)

    assert len(found) == len(set(found))
    roots = {s for n in asked for s in closure(topology, n) if not topology.callers_at(s, START)}
    rings = [n for n in asked if not any(not topology.callers_at(s, START) for s in closure(topology, n))]
    assert roots <= set(found)
    for name in rings:
        assert set(found) & closure(topology, name), "a ring that nobody enters has an entry of its own"
    assert all(any(extra in closure(topology, n) for n in rings) for extra in set(found) - roots)


def test_a_snapshot_that_kept_values_is_read_as_levels() -> None:
    engine = DiagnosisEngine("prod", DiagnoseSettings())
    rng, usual = np.random.default_rng(3), Usual.learn(3)
    for second in range(12):
        for frame in frames(simulate(rng, {}, -1), START + second * 10**9, usual, "prod", {}):
            engine.evidence(frame, frame.window_ns)
    engine.tick(START + 12 * 10**9)
    old = msgspec.msgpack.decode(engine.snapshot())
    old["version"] = 1
    for signal, series in old["world"]["series"].items():
        levels = series["columns"].pop("levels")
        array = np.frombuffer(levels["data"], np.dtype(levels["dtype"])).reshape(levels["shape"])
        logarithmic = engine.world.series[Signal(signal)].logarithmic
        values = np.where(logarithmic, np.exp(np.where(logarithmic, array, 0.0)), array).astype(np.float32)
        series["columns"]["values"] = {**levels, "data": values.tobytes()}

    again = DiagnosisEngine("prod", DiagnoseSettings())
    again.restore(msgspec.msgpack.encode(old))

    assert memory.VERSION == 2
    for signal in Signal:
        mine, theirs = engine.world.series[signal], again.world.series[signal]
        n = len(mine.keys)
        np.testing.assert_allclose(theirs.levels[:n], mine.levels[:n], rtol=1e-5)


def test_a_first_look_of_slow_metrics_is_of_before_the_onset_as_well() -> None:
    """Spans tell each second that a service answers as before; its counters tell of a minute, most of which was before."""
    spans = {REQUEST_RATE: shift(REQUEST_RATE, 150.0, 20.0), ERROR_RATE: shift(ERROR_RATE, 3000.0, 400.0)}

    def found(before: float, since: float, **spoken: Shift) -> set[str]:
        looks = {
            METRIC_REQUEST_RATE: shift(METRIC_REQUEST_RATE, before, since),
            METRIC_ERROR_RATE: shift(METRIC_ERROR_RATE, 3000.0, 400.0),
            METRIC_LATENCY_P95: shift(METRIC_LATENCY_P95, before, since),
        }
        return set(since_then({**looks, **spoken}))

    assert found(5.0, 1.0, **spans) == {REQUEST_RATE, ERROR_RATE, METRIC_LATENCY_P95}
    assert METRIC_ERROR_RATE in found(5.0, 2.0, **spans), "the last look is of since then"
    assert METRIC_ERROR_RATE in found(140.0, 1.0, **spans), "they are as quick as spans"
    assert METRIC_ERROR_RATE in found(5.0, 1.0), "nothing else tells"


def shift(feature: str, before: float, since: float) -> Shift:
    return Shift(feature, 1.0, 1.0, 0.0, 0.0, since, before)
