"""Pooled latency of thin traffic, used-up resources in slow readings, and what follows a gap."""

import dataclasses

import numpy as np
import pytest

from contracts import topics
from contracts.checks.detector_frames import T0, frame, steady
from contracts.events import Change, encode
from contracts.ports import Record
from contracts.settings import DetectSettings
from contracts.units import SECOND
from models.service.pooled import Given, Pooled, upper_decades
from streams.stages.detect import DetectStage


def feed(pool, seconds, start=0, every=4):
    """One request each `every` seconds; the last judgement of the series."""
    told = None
    for i, value in enumerate(seconds):
        window = T0 + (start + i * every) * SECOND
        given = Given(np.array([value]), np.array([1]), np.array([True]), np.array([True]))
        told = pool.step((("a",), ()), (window, every * SECOND), given)
    return told


def latencies(count, seed=5, level=0.01):
    return level * np.exp(np.random.default_rng(seed).normal(0.0, 0.5, count))


def test_one_slow_request_says_nothing_and_five_in_a_row_do():
    pool = Pooled()
    feed(pool, latencies(40))
    assert feed(pool, [2.0], start=160).decades[0] < 4
    told = feed(pool, [2.0] * 5, start=164)
    assert told.decades[0] >= 4
    assert told.typical[0] > told.high[0]


def test_steady_latency_is_hardly_ever_called_slow():
    loud = [feed(Pooled(), latencies(n, seed)).decades[0] >= 4 for seed in range(30) for n in (20, 60)]
    assert sum(loud) == 0


def test_a_busy_series_is_not_pooled():
    pool = Pooled()
    for i in range(60):
        given = Given(np.array([0.01 if i < 40 else 5.0]), np.array([50]), np.array([True]), np.array([True]))
        told = pool.step((("a",), ()), (T0 + i * SECOND, SECOND), given)
    assert not told.thin[0]
    assert told.decades[0] == 0


def test_a_fault_that_may_not_be_learnt_stays_unknown():
    pool = Pooled()
    feed(pool, latencies(40))
    known = pool.known[0]
    for i in range(40):
        given = Given(np.array([2.0]), np.array([1]), np.array([False]), np.array([True]))
        pool.step((("a",), ()), (T0 + (160 + 4 * i) * SECOND, 4 * SECOND), given)
    assert pool.known[0] == known


def test_a_restored_pool_goes_on_alike():
    pool = Pooled()
    feed(pool, latencies(30))
    twin = Pooled.of({k: v.copy() if isinstance(v, np.ndarray) else v for k, v in pool.plain().items()})
    a, b = (feed(p, latencies(9, seed=8), start=120) for p in (pool, twin))
    for field in dataclasses.fields(a):
        assert np.array_equal(getattr(a, field.name), getattr(b, field.name))


def test_decades_of_t_are_close_to_the_exact_tail():
    stats = pytest.importorskip("scipy.stats")
    for t, freedom in ((3.0, 9.0), (5.0, 20.0), (4.0, 200.0)):
        exact = -np.log10(stats.t.sf(t, freedom))
        assert float(upper_decades(np.array(t), np.array(freedom))) == pytest.approx(exact, abs=0.8)


def test_only_our_own_changes_keep_the_stage_from_learning():
    stage = DetectStage(0, DetectSettings(detectors=("bank",)))

    def change(actor):
        event = Change(environment="e", service="s0", kind="restart", time_ns=T0 + 40 * SECOND, actor=actor)
        return stage.handle(Record(topics.CHANGES, 0, 0, None, encode(event)), T0)

    assert change("somebody") == []
    assert stage.engine._states == {}
    assert change("homeostat") == []
    ledger = stage.engine._states["e"].services
    assert ledger.slots.keys == [("s0", "")]
    assert ledger.suspended_ns[0] == T0 + 50 * SECOND


@pytest.mark.parametrize(
    ("kind", "another"),
    [
        *((kind, True) for kind in ("deploy", "config", "flag", "scale", "restart", "rollback")),
        *((kind, False) for kind in ("oom", "eviction", "probe", "node", "other", "strange")),
    ],
)
def test_what_is_released_switched_or_scaled_is_no_drift(kind, another, monkeypatch):
    stage, told = DetectStage(0, DetectSettings(detectors=("bank",))), []
    monkeypatch.setattr(stage.engine, "changed", lambda *about: told.append(about))
    event = Change(environment="e", service="s0", kind=kind, time_ns=T0, actor="somebody")
    stage.handle(Record(topics.CHANGES, 0, 0, None, encode(event)), T0)
    assert told == ([("e", "s0", T0)] if another else [])


def test_a_resource_used_up_for_a_minute_opens_at_its_first_reading():
    stage = DetectStage(0, DetectSettings(detectors=("bank",)))
    told = []
    for minute in range(31):
        cpu = np.full((3, 1), 0.02) * (1.0 + 0.1 * np.sin(minute + np.arange(3)))[:, None]
        if minute == 30:
            cpu[1] = 0.99
        sent = frame(60 * minute, cpu, signal="metrics", features=("cpu_utilization",))
        told += [(minute, a) for a in stage.engine.observe(sent, T0 + (60 * minute + 1) * SECOND)[1]]
    assert [(minute, a.service) for minute, a in told] == [(30, "s1")]
    assert "CPU use 99 %" in told[0][1].text


def test_nothing_opens_in_the_first_seconds_after_a_gap():
    stage = DetectStage(0, DetectSettings(detectors=("bank",)))
    told = []
    for window, values in enumerate(steady(90, rows=3)):
        if window >= 60:
            values[0, 1], values[0, 2:] = 0.5, values[0, 2:] * 8
        second = window if window < 60 else window + 3600
        told += [(window, a) for a in stage.engine.observe(frame(second, values), T0 + (second + 1) * SECOND)[1]]
    assert told
    assert min(window for window, _ in told) >= 80
