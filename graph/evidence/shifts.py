"""Has a feature changed since onset, by how much, and can it be chance?

Levels (log latencies, utilisations, rates): the difference of means over a scale that is the larger of the row's own spread and a
share of the median spread of the same feature over its peers, so that a row that hardly ever moves cannot win by dividing by
almost nothing. Ratios: two binomial samples with Laplace smoothing. Chances are Gaussian tails of a compressed z, because
window statistics have heavier tails than the normal law.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts import features as f
from contracts.features import FeatureKind
from graph.evidence.situation import Shift
from graph.judgement import (
    BENT_FROM,
    DETECTED_SHARE,
    FLOOR,
    LOOKS,
    MIN_BEFORE,
    PEER_SHARE,
    REFERENCE_TRIALS,
    SHRUNK,
    SLOW_METRICS,
)

F64 = NDArray[np.float64]


def decades_of(z: F64) -> F64:
    """-log10 of the two-sided Gaussian tail beyond the compressed |z| (Mills' ratio, good to 0.1 decades beyond 1)."""
    a = np.abs(z)
    a = np.where(a > BENT_FROM, BENT_FROM + 2 * np.log1p(np.maximum(a - BENT_FROM, 0.0) / 2), a)
    return np.where(a > 0.3, (a**2 / 2 + np.log(np.maximum(a, 0.8) * 1.2533)) / math.log(10), 0.0)


_TOLD_TWICE: Final = {
    f.METRIC_REQUEST_RATE: f.REQUEST_RATE,
    f.METRIC_ERROR_RATE: f.ERROR_RATE,
    f.METRIC_LATENCY_P50: f.LATENCY_P50,
    f.METRIC_LATENCY_P95: f.LATENCY_P95,
    f.METRIC_LATENCY_P99: f.LATENCY_P99,
}


def since_then(found: Mapping[str, Shift]) -> dict[str, Shift]:
    """What a service shows since the onset, without what its metrics say of requests in a first look that reaches back before it: that of a
    minute tells of a fault that was over, and its spans tell the same of each second."""
    asked, seldom = found.get(f.REQUEST_RATE), found.get(f.METRIC_REQUEST_RATE)
    if asked is None or seldom is None or seldom.samples >= LOOKS or asked.samples < 1:
        return dict(found)
    if SLOW_METRICS * seldom.samples_before > asked.samples_before:
        return dict(found)
    return {name: shift for name, shift in found.items() if _TOLD_TWICE.get(name) not in found}


def shifts(
    features: Sequence[str], kinds: Sequence[FeatureKind], before: F64, after: F64, detected: F64
) -> list[dict[str, Shift]]:
    """What changed in each row, from moments (3: weight, sum, sum of squares; rows; features) and the detector's decades."""
    n0, n1 = before[0], after[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        m0, m1 = before[1] / n0, after[1] / n1
        own = np.sqrt(np.maximum(before[2] / n0 - m0**2, 0.0))
    out: list[dict[str, Shift]] = [{} for _ in range(before.shape[1])]
    for j, (name, kind) in enumerate(zip(features, kinds, strict=True)):
        rows = np.flatnonzero(n1[:, j] > 0)
        if not len(rows):
            continue
        ratio = kind is FeatureKind.RATIO
        deviation, decades = (
            _ratio(m0[:, j], n0[:, j], m1[:, j], n1[:, j], own[:, j])
            if ratio
            else _level(kind, m0[:, j], n0[:, j], m1[:, j], n1[:, j], own[:, j])
        )
        said = detected[:, j]
        decades = np.where(deviation * said > 0, np.maximum(decades, DETECTED_SHARE * np.abs(said)), decades)
        # Nothing to compare with: only the detector can say whether this is unusual.
        alone = (n0[:, j] < MIN_BEFORE) | ~np.isfinite(deviation)
        deviation, decades = np.where(alone, said, deviation), np.where(alone, np.abs(said), decades)
        usual = np.where(n0[:, j] > 0, m0[:, j], np.nan)
        levels = (np.exp(usual), np.exp(m1[:, j])) if kind is FeatureKind.LATENCY else (usual, m1[:, j])
        columns = (x[rows].tolist() for x in (*levels, deviation, decades, n1[:, j], n0[:, j]))
        for i, cell in zip(rows.tolist(), zip(*columns, strict=True), strict=True):
            out[i][name] = Shift(name, *cell)
    return out


def _level(kind: FeatureKind, m0: F64, n0: F64, m1: F64, n1: F64, own: F64) -> tuple[F64, F64]:
    known = own[(n0 >= MIN_BEFORE) & np.isfinite(own)]
    peers = float(np.median(known)) if len(known) else 0.0
    # Of a few windows no spread can be told: it is taken to be like the peers', less so with each window.
    shrunk = np.sqrt((n0 * np.where(np.isfinite(own), own, 0.0) ** 2 + SHRUNK * peers**2) / (n0 + SHRUNK))
    scale = np.maximum(shrunk, max(PEER_SHARE * peers, FLOOR[kind]))
    if kind is FeatureKind.COUNT:
        scale = np.maximum(scale, np.sqrt(np.maximum(m0, 0.0)))
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = (m1 - m0) / scale
        z = deviation / np.sqrt(1 / np.maximum(n1, 1) + 1 / np.maximum(n0, 1))
    return deviation, decades_of(np.nan_to_num(z))


def _ratio(m0: F64, n0: F64, m1: F64, n1: F64, own: F64) -> tuple[F64, F64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        p0 = (np.nan_to_num(m0) * n0 + 0.5) / (n0 + 1)
        p1 = (np.nan_to_num(m1) * n1 + 0.5) / (n1 + 1)
        pooled = (p0 * n0 + p1 * n1) / np.maximum(n0 + n1, 1)
        z = (p1 - p0) / np.sqrt(
            np.maximum(pooled * (1 - pooled), 1e-6) * (1 / np.maximum(n0, 1) + 1 / np.maximum(n1, 1))
        )
        # Some ratios change from window to window by more than chance: a job that fails half of its few runs.
        binomial = np.sqrt(p0 * (1 - p0) / REFERENCE_TRIALS)
        spread = np.where(np.isfinite(own), np.maximum(binomial, own), binomial) + FLOOR[FeatureKind.RATIO]
    return (np.nan_to_num(m1) - np.nan_to_num(m0)) / spread, decades_of(np.nan_to_num(z))
