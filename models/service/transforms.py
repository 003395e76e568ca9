"""Typed transforms: to a scale where noise is symmetric and of stable variance, and back to the feature's own unit."""

from __future__ import annotations

import numpy as np

from contracts.frames.decoded import F64
from models.service.columns import Columns

LEAST_LATENCY_S = 1e-6


def stabilise(values: F64, columns: Columns, width_s: float) -> F64:
    """Transformed `values` (F, rows); NaN stays NaN.

    Latency: natural logarithm. Count: Anscombe's 2·sqrt(x + 3/8) of the events in the window, which gives a Poisson
    count unit variance (Anscombe 1948). Level: log(1 + x), relative for bytes and near linear for small queues.
    Utilisation and ratio as they are: ratios are judged as counts of errors among trials, not here.
    """
    out = np.array(values, np.float64)
    latency, count, level = columns.latency, columns.count, columns.level
    out[latency] = np.log(np.maximum(out[latency], LEAST_LATENCY_S))
    out[count] = 2.0 * np.sqrt(np.maximum(out[count], 0.0) * width_s + 0.375)
    out[level] = np.log1p(np.maximum(out[level], 0.0))
    return out


def restore(transformed: F64, columns: Columns, width_s: float) -> F64:
    """Inverse of `stabilise`, for the bounds of expected ranges; what falls below zero is zero."""
    out = np.maximum(transformed, np.where(columns.latency, -np.inf, 0.0)[:, None])
    latency, count, level = columns.latency, columns.count, columns.level
    out[latency] = np.exp(np.minimum(out[latency], 50.0))
    out[count] = np.maximum(np.square(out[count] / 2.0) - 0.375, 0.0) / width_s
    out[level] = np.expm1(np.minimum(out[level], 500.0))
    return out
