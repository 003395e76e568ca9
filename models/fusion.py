"""Several opinions to one p-value per series, and a bound on false discoveries over all series of a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from contracts.frames.decoded import B1, F64
from models.judgement import CONTENT_P, DETECTOR_WEIGHTS, LEAST_P, OTHERS_WEIGHT, SUPPORT

LEADER: Final = "bank"


def fuse_detectors(p_values: Mapping[str, F64]) -> F64:
    """One p-value per row from each detector's: the Cauchy combination (Liu & Xie 2020, JASA 115), which stays valid for
    small p-values however dependent the opinions are.

    The bank leads: any other detector's p-value is raised to at least the bank's to the power `SUPPORT` before it
    counts. NaN is no opinion: it costs the others nothing. Without a bank, all are equal.
    """
    if LEADER not in p_values or len(p_values) == 1:
        return _cauchy(list(p_values.values()), [1.0] * len(p_values))
    lead = p_values[LEADER]
    bound = np.power(np.clip(lead, LEAST_P, 1.0), SUPPORT)
    ps, weights = [lead], [DETECTOR_WEIGHTS[LEADER]]
    for name, p in p_values.items():
        if name != LEADER:
            ps.append(np.maximum(p, bound))
            weights.append(DETECTOR_WEIGHTS.get(name, OTHERS_WEIGHT))
    return _cauchy(ps, weights)


def _cauchy(ps: list[F64], weights: list[float]) -> F64:
    """Weighted Cauchy combination, row by row over those that have an opinion (NaN: none). P-values above 0.9 count as
    0.9, so that one contented detector can't shout down the others (the truncated form: Fang et al. 2023)."""
    statistic, total = np.zeros_like(ps[0]), np.zeros_like(ps[0])
    for p, weight in zip(ps, weights, strict=True):
        has = ~np.isnan(p)
        # tan((1/2 - p) pi) written as 1 / tan(p pi), which keeps its precision for tiny p
        quantile = 1.0 / np.tan(np.clip(np.where(has, p, 0.5), LEAST_P, CONTENT_P) * np.pi)
        statistic += np.where(has, weight * quantile, 0.0)
        total += np.where(has, weight, 0.0)
    statistic /= np.maximum(total, 1e-9)
    tail = 1.0 / (np.pi * np.maximum(statistic, 1.0))
    combined = np.where(statistic > 1e3, tail, 0.5 - np.arctan(statistic) / np.pi)
    return np.where(total > 0, np.clip(combined, LEAST_P, 1.0), 1.0)


def discoveries(p_values: F64, rate: float) -> B1:
    """Which p-values may be called discoveries with a false-discovery rate of at most `rate`: the step-up procedure of
    Benjamini & Hochberg (1995), valid under positive dependence (Benjamini & Yekutieli 2001)."""
    n = len(p_values)
    if n == 0:
        return np.zeros(0, np.bool_)
    ordered = np.sort(p_values)
    passing = np.flatnonzero(ordered <= rate * np.arange(1, n + 1) / n)
    if len(passing) == 0:
        return np.zeros(n, np.bool_)
    found: B1 = p_values <= ordered[passing[-1]]
    return found
