"""The share of requests that take far too long, from percentiles; and what becomes of it."""

import numpy as np
import pytest

from contracts import features as f
from contracts.checks.detector_frames import FEATURES, T0, frame
from contracts.features import Signal
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AnomalyPhase
from models.engine import DetectEngine
from models.service.slowness import SLOW_SHARE, derived, share_slower
from tests.patience import LONG_S

ROWS = 12


def test_the_share_agrees_with_the_requests_it_is_of():
    r = np.random.default_rng(1)
    for factor in (2.5, 3.0, 4.0, 6.0):
        draws = np.exp(r.normal(0.0, 0.6, (400, 2000)))
        logs = np.log(np.quantile(draws, (0.5, 0.95, 0.99), axis=1))
        found = share_slower(logs, np.full(400, np.log(factor)), np.full(400, 2000.0)).mean()
        assert found == pytest.approx((draws > factor).mean(), abs=0.02)


def test_one_request_is_slow_or_it_is_not():
    logs = np.log(np.array([[0.1, 0.5], [0.1, 0.5], [0.1, 0.5]]))
    assert share_slower(logs, np.log(np.full(2, 0.2)), np.ones(2)).tolist() == [0.0, 1.0]


def test_the_column_is_there_where_the_percentiles_are():
    spans = (f.REQUEST_RATE, f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99)
    assert derived(spans, Signal.SPANS) == (*spans, SLOW_SHARE)
    assert derived((*spans, SLOW_SHARE), Signal.SPANS) == (*spans, SLOW_SHARE)
    assert derived(spans[:3], Signal.SPANS) == spans[:3]
    assert derived((f.LOG_RATE,), Signal.LOGS) == (f.LOG_RATE,)


@pytest.mark.timeout(LONG_S)
def test_a_few_requests_in_a_hundred_that_wait_for_a_lock_are_found():
    r, engine, told = np.random.default_rng(2), DetectEngine(0, DetectSettings()), []
    for window in range(420):
        values = np.zeros((ROWS, len(FEATURES)))
        for row in range(ROWS):
            n = max(int(r.poisson(60)), 1)
            latency = 0.02 * np.exp(r.normal(0.0, 0.3, n))
            if window >= 360 and row < ROWS // 2:
                latency = np.where(r.random(n) < 0.04, latency * 10.0, latency)
            values[row] = (n, 0.0, *np.quantile(latency, (0.5, 0.95, 0.99)))
        told += engine.observe(frame(window, values), T0 + (window + 1) * SECOND)[1]
    opened = {a.service: a for a in told if a.phase is AnomalyPhase.OPENED}
    assert set(opened) == {f"s{i}" for i in range(ROWS // 2)}
    for anomaly in opened.values():
        assert (anomaly.time_ns - T0) / SECOND <= 360 + 20
        assert {c.feature for c in anomaly.contributions} <= {f.LATENCY_P95, f.LATENCY_P99}
        assert all(c.value > c.high for c in anomaly.contributions)
