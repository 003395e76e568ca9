"""Summaries of request durations on the latency grid: how many there were, and how their quantiles say that they are spread.

A summary's count is cumulative, its quantiles are of the last minutes; so a row holds the whole count in the present shape, and what came
since the row before is spread in that shape (`HistogramBatch`, mode 3). Each quantile that is given is met exactly; between two of them
the observations lie evenly in the logarithm.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import I32, I64
from contracts.frames.latency import BASE, UNPLACED, bucket_of

_PARTS: Final = 8


def shape_of(point: Any, factor: float) -> tuple[I32, I64]:
    """Grid buckets of a summary point, in ascending order. Without quantiles nobody knows how long requests took."""
    found = sorted(
        (float(q.quantile), max(float(q.value) * factor, BASE))
        for q in point.quantile_values
        if 0.0 <= q.quantile <= 1.0 and math.isfinite(q.value) and q.value >= 0
    )
    if not found:
        return np.array([UNPLACED], np.int32), np.array([point.count], np.int64)
    at: list[float] = []
    upto: list[float] = []
    share, seconds = 0.0, found[0][1]
    for quantile, value in found:
        higher = max(value, seconds)
        for part in range(1, _PARTS + 1):
            at.append(seconds * (higher / seconds) ** (part / _PARTS))
            upto.append(share + (quantile - share) * part / _PARTS)
        share, seconds = quantile, higher
    at.append(seconds)
    upto.append(1.0)
    count = np.diff(np.round(np.array(upto) * point.count).astype(np.int64), prepend=0)
    bucket = bucket_of(np.array(at))
    total = np.bincount(bucket, weights=count).astype(np.int64)
    filled = np.flatnonzero(total)
    return filled.astype(np.int32), total[filled]
