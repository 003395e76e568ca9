"""What an anomaly says of itself is never at odds with itself: the value it names lies outside of the range it names."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import features as f
from contracts.checks.detector_frames import FEATURES, T0, frame, steady
from contracts.settings import DetectSettings
from contracts.verdicts import AnomalyPhase
from models.engine import DetectEngine

BANK = DetectSettings(detectors=("bank",))
RATE, ERRORS, P50 = (FEATURES.index(n) for n in (f.REQUEST_RATE, f.ERROR_RATE, f.LATENCY_P50))
METRICS = (f.CPU, f.MEMORY, f.QUEUE_LAG)


def told(engine, windows, make):
    found = []
    for w in range(windows):
        made = make(w)
        found += engine.observe(made, made.window_ns + made.width_ns)[1]
    return [a for a in found if a.phase in {AnomalyPhase.OPENED, AnomalyPhase.UPDATED}]


def sound(anomalies):
    for a in anomalies:
        for c in a.contributions:
            assert c.value is not None
            assert not c.low <= c.value <= c.high, f"{a.text}: {c}"
            assert c.window_s >= 0
        for value, low, high in re.findall(r"(\S+) %(?: over about \S+ s)?, expected ([\d.]+)–([\d.]+) %", a.text):
            assert not float(low) <= float(value) <= float(high) or value in {low, high}, a.text


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    errors=st.floats(0.0, 0.9),
    slower=st.floats(0.3, 12.0),
    fewer=st.sampled_from([0.0, 0.02, 0.2, 1.0, 3.0]),
    every=st.integers(1, 5),
    warm=st.integers(35, 160),
    traffic=st.sampled_from([0.05, 0.3, 1.0, 10.0]),
)
def test_no_anomaly_contradicts_itself(seed, errors, slower, fewer, every, warm, traffic):
    values = list(steady(warm + 40, rows=2, seed=seed))
    r = np.random.default_rng(seed)

    def make(w):
        v = values[w]
        v[:, RATE] = np.maximum(np.round(v[:, RATE] * traffic), 0)
        if w >= warm and w % every == 0:
            v[0, RATE] = np.round(v[0, RATE] * fewer)
            v[0, P50:] *= slower
            v[0, ERRORS] = r.binomial(int(v[0, RATE]), errors) / max(v[0, RATE], 1)
        empty = v[:, RATE] == 0
        v[empty, ERRORS:] = np.nan
        return frame(w, v)

    sound(told(DetectEngine(0, BANK), warm + 40, make))


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10_000), step=st.floats(0.02, 0.65), lag=st.floats(1, 1e5), apart=st.sampled_from([1, 15, 60])
)
def test_no_anomaly_of_a_resource_contradicts_itself(seed, step, lag, apart):
    r = np.random.default_rng(seed)

    def make(w):
        values = np.column_stack([0.3 + r.normal(0, 0.02, 2), 0.3 + r.normal(0, 0.004, 2), r.poisson(3.0, 2)])
        if w >= 80:
            values[0, :2] += step
            values[0, 2] += lag
        return frame(w * apart, values, signal="metrics", features=METRICS, counts=np.zeros(2, np.int64))

    sound(told(DetectEngine(0, BANK), 160, make))


@pytest.mark.parametrize("usual_s", [0.002, 0.02, 0.2])
def test_a_slow_thin_service_says_what_was_slow_and_what_is_usual(usual_s):
    r = np.random.default_rng(4)

    def make(w):
        values = np.full((1, len(FEATURES)), np.nan)
        values[0, RATE] = float(w % 3 == 0)
        if w % 3 == 0:
            values[0, ERRORS] = 0.0
            values[0, P50:] = usual_s * np.exp(r.normal(0, 0.3)) * (1.0 if w < 300 else 4.0)
        return frame(w, values)

    found = told(DetectEngine(0, BANK), 420, make)
    assert found
    sound(found)


def test_a_long_window_that_speaks_says_so():
    def make(w):
        v = next(iter(steady(1, rows=2, seed=w)))
        v[:, ERRORS] = 0.0
        if w >= 200:
            v[0, ERRORS] = 0.015
        return frame(w, v)

    found = told(DetectEngine(0, BANK), 260, make)
    spoken = [c for a in found for c in a.contributions if c.feature == f.ERROR_RATE and c.window_s >= 10]
    assert spoken
    assert all(0.01 < c.value < 0.0151 for c in spoken), "no share is told larger than it was"
    assert found[0].time_ns >= T0 + 200 * 10**9
    sound(found)
