"""VUS-PR: the volume under the precision-recall surface (Paparrizos et al., "Volume Under the Surface", PVLDB 15(11), 2022), which needs
no threshold and forgives a score that speaks a little before or after a label.

Precision and recall are taken over thresholds, and over buffers of 0 to `most` points about each labelled range, in which a predicted
point counts the less the farther off it is. The definition is that of the authors' package `vus` 0.0.6 (`RangeAUC_volume_opt`, which
TSB-AD has unchanged); here thresholds are ranks and sums over predicted points are cumulated, so that no threshold is looked at twice.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from contracts.frames.decoded import B1, F64, I64

THRESHOLDS: Final = 250
"""At evenly spaced ranks of the scores, as the authors do."""
_FIRST_LAG, _LAGS, _LONGEST, _NO_PERIOD, _LOOKED_AT = 3, 400, 300, 125, 20_000
"""Of the authors' `find_length`: lags that are looked at, the longest that counts, what is taken where none does, and points."""


def vus_pr(scores: F64, labels: B1, most: int) -> float:
    """Of one series: `scores` (n), finite, higher is stranger; `labels` (n); buffers up to `most` points long, half of it on each side.
    Without a label there is nothing to find: NaN."""
    if not labels.any():
        return float("nan")
    starts, ends = _ranges(labels)
    first, predicted = _thresholds(scores)
    hits = _reached(first[labels], np.ones(int(labels.sum())))
    near, away = _near(starts, ends, most // 2, len(labels))
    near, away = near[~labels[near]], away[~labels[near]]
    areas = []
    for buffer in range(most + 1):
        inside = away <= buffer // 2
        counts = np.bincount(near[inside], np.sqrt(1.0 - away[inside] / max(buffer, 1)), minlength=len(labels))
        credit = _reached(first, np.minimum(counts, 1.0))
        recall = np.minimum((hits + credit) / (hits[-1] + credit / 2.0), 1.0)
        recall *= _share_met(first, starts, ends, buffer // 2)
        areas.append(float(np.diff(recall, prepend=0.0) @ ((hits + credit) / predicted)))
    return float(np.mean(areas))


def buffer_of(values: F64) -> int:
    """The longest buffer for a series: its period (points), by the highest of the local maxima of the autocorrelation of its first
    dimension, as TSB-AD does it; 125 where it has none. `values` (n, d)."""
    x = values[:_LOOKED_AT, 0]
    known = np.isfinite(x)
    x = np.where(known, x - (x[known].mean() if known.any() else 0.0), 0.0)
    spectrum = np.fft.rfft(x, 2 * len(x))
    covariance = np.fft.irfft(spectrum * spectrum.conj())[: _LAGS + 1][_FIRST_LAG : len(x)]
    if len(covariance) < 3 or not x.any():
        return _NO_PERIOD
    inner = covariance[1:-1]
    peaks = np.flatnonzero((inner > covariance[:-2]) & (inner > covariance[2:])) + 1
    if not len(peaks):
        return _NO_PERIOD
    found = int(peaks[np.argmax(covariance[peaks])])
    return found + _FIRST_LAG if _FIRST_LAG <= found <= _LONGEST else _NO_PERIOD


def _ranges(labels: B1) -> tuple[I64, I64]:
    """First and last index of each labelled range."""
    edges = np.diff(labels.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _thresholds(scores: F64) -> tuple[I64, F64]:
    """Of each point the first threshold (the highest comes first) at which it is predicted; of each threshold how many points are."""
    at = np.sort(scores)[::-1][np.linspace(0, len(scores) - 1, THRESHOLDS).astype(np.int64)]
    first = np.searchsorted(-at, -scores, side="left")
    return first, np.bincount(first, minlength=THRESHOLDS).cumsum().astype(np.float64)


def _reached(first: I64, weights: F64) -> F64:
    """Of each threshold the weight of all that is predicted at it."""
    found: F64 = np.bincount(first, weights, minlength=THRESHOLDS).cumsum()
    return found


def _near(starts: I64, ends: I64, half: int, length: int) -> tuple[I64, I64]:
    """Points at most `half` before or behind each range, and how far away they are: one may be near several."""
    away = np.arange(1, half + 1)
    points = np.concatenate([(starts[:, None] - away).ravel(), (ends[:, None] + away).ravel()])
    there = (points >= 0) & (points < length)
    return points[there], np.tile(away, 2 * len(starts))[there]


def _share_met(first: I64, starts: I64, ends: I64, half: int) -> F64:
    """Of each threshold the share of ranges, with their buffers (those that touch are one), in which anything is predicted."""
    apart = np.concatenate([[True], ends[:-1] + half < starts[1:] - half])
    begin = np.maximum(starts[apart] - half, 0)
    end = np.minimum(ends[np.append(apart[1:], True)] + half, len(first) - 1) + 1
    bounds = np.stack([begin, end], axis=1).ravel()
    met = np.minimum.reduceat(np.append(first, THRESHOLDS), bounds)[::2]
    return _reached(met, np.ones(len(met))) / len(met)
