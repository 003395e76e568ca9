"""Slow requests among all: the share that takes longer than twice what nineteen of twenty usually take, tested like failures.

A few per cent of requests that wait for a lock leave median and 95th percentile where they were. The share comes from the percentiles of
a window (of its log-bucket sketch): between two of them the logarithm of what is left is taken to fall straight with the logarithm of the
time. It is a column of the bank's own, behind those of the frames.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.features import (
    LATENCY_P50,
    LATENCY_P95,
    LATENCY_P99,
    METRIC_LATENCY_P50,
    METRIC_LATENCY_P95,
    METRIC_LATENCY_P99,
    Feature,
    FeatureKind,
    Signal,
)
from contracts.frames.decoded import F64
from models.judgement import PATIENCE

SLOW_SHARE: Final = "slow_share"
PERCENTILES: Final = {
    Signal.SPANS: (LATENCY_P50, LATENCY_P95, LATENCY_P99),
    Signal.METRICS: (METRIC_LATENCY_P50, METRIC_LATENCY_P95, METRIC_LATENCY_P99),
}
OWN: Final = {
    SLOW_SHARE: Feature(SLOW_SHARE, Signal.SPANS, FeatureKind.RATIO, "1", 1, "share of requests that take far too long")
}
"""Columns that are no features of frames."""
_LEFT: Final = np.log(np.array([0.5, 0.05, 0.01]))


def derived(names: tuple[str, ...], signal: Signal) -> tuple[str, ...]:
    """Names with the column of slow requests behind them, where there are percentiles to find it from."""
    needed = PERCENTILES.get(signal)
    if needed is None or SLOW_SHARE in names or not set(needed) <= set(names):
        return names
    return (*names, SLOW_SHARE)


def limit(usual_p95: F64) -> F64:
    """Logarithm of what is too long, by the logarithm of the usual 95th percentile."""
    found: F64 = usual_p95 + np.log(PATIENCE)
    return found


def share_slower(logs: F64, limits: F64, trials: F64) -> F64:
    """Share of requests slower than `limits` (S,): of percentiles `logs` (3, S), all logarithms of seconds."""
    p50, p95, p99 = logs
    steep = np.maximum(np.diff(logs, axis=0), 1e-3)
    middle = _LEFT[0] + (_LEFT[1] - _LEFT[0]) * (limits - p50) / steep[0]
    upper = _LEFT[1] + (_LEFT[2] - _LEFT[1]) * (limits - p95) / steep[1]
    beyond = np.where(limits > p99, -np.inf, upper)
    left = np.where(limits < p95, np.minimum(middle, np.log(0.95)), beyond)
    share = np.where(limits < p50, np.maximum(0.5, np.exp(np.minimum(left, 0.0))), np.exp(left))
    one = (p99 > limits) / np.maximum(trials, 1.0)
    return np.asarray(np.minimum(np.maximum(share, one), 1.0))
