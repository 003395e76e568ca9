"""From standardised departures to decades of evidence, per feature and jointly per row."""

from __future__ import annotations

import numpy as np

from contracts.frames.telemetry import B1, F64
from models.service.columns import GROUPS, Columns

DECADES = float(np.log10(np.e))
"""Decades per nat."""
BASE_Q = 0.95
BASE = float(-np.log10(1.0 - BASE_Q))
"""Decades of the quantile where tails begin: what has to be paid for looking at several windows and features."""
WINDOWS_LOOKED_AT = float(np.log10(4.0))
SECOND, THIRD = 0.5, 0.3


def compress(z: F64, heavy: B1) -> F64:
    """|z| (rows, F, W) with heavy tails bent in the shortest window, 5·log(1 + z/5), so that a Student-like tail looks
    exponential. The longer windows hold winsorised values: their tails are light already."""
    out = np.array(z)
    out[:, heavy, 0] = 5.0 * np.log1p(z[:, heavy, 0] / 5.0)
    return out


def tail_decades(z: F64, quantile: F64, excess: F64, caps: F64) -> F64:
    """-log10 P(|Z| > z) under an exponential tail above the 95 % quantile with mean excess `excess`, at most `caps`.

    Peaks over threshold with shape 0 (Pickands 1975; Siffer et al. 2017, SPOT): a Gaussian's tail is thinner, so this
    errs on the quiet side.
    """
    decades = z - quantile
    over = decades > 0.0
    decades /= excess
    decades *= DECADES
    decades += BASE
    np.minimum(decades, caps, out=decades)
    decades *= over
    return decades


def deviance_z(observed: F64, expected: F64) -> F64:
    """Signed root of the Poisson deviance: about a standard normal also where few events are expected
    (McCullagh & Nelder 1989, 2.4)."""
    safe = np.maximum(expected, 1e-9)
    ratio = np.log(np.maximum(observed, 1e-12) / safe)
    deviance = 2.0 * (observed * ratio - (observed - safe))
    return np.sign(observed - safe) * np.sqrt(np.maximum(deviance, 0.0))


def joint(features: F64, columns: Columns) -> F64:
    """Joint decades of each row from its features' decades above `BASE` (rows, F), all non-negative.

    Features of a group (three percentiles of one latency) say much the same, so the group speaks with its loudest;
    groups then add up with falling weights, because they are dependent too (cf. Brown 1975 on dependent p-values).
    """
    groups = np.zeros((len(features), len(GROUPS)))
    for column, group in enumerate(columns.group):
        np.maximum(groups[:, group], features[:, column], out=groups[:, group])
    groups.sort(axis=1)
    joined: F64 = groups[:, -1] + SECOND * groups[:, -2] + THIRD * groups[:, -3]
    return joined
