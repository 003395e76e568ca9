"""From standardised departures to decades of evidence, per feature and jointly per row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from models.judgement import ADDS_SECOND, ADDS_THIRD, BASE_Q
from models.service.columns import Columns

DECADES = float(np.log10(np.e))
"""Decades per nat."""
BASE = float(-np.log10(1.0 - BASE_Q))
"""Decades of the quantile where tails begin: what has to be paid for looking at several windows and features."""
WINDOWS_LOOKED_AT = float(np.log10(4.0))


def bend(size: F64, heavy: B1) -> None:
    """Bend heavy tails of `size` (W, F, rows), |z|, in the shortest window: 5·log(1 + z/5), so that a Student-like tail
    looks exponential. The longer windows hold winsorised values: their tails are light already."""
    size[0, heavy] = 5.0 * np.log1p(size[0, heavy] / 5.0)


def tail_decades(size: F64, quantile: F64, excess: F64, tops: F64) -> F64:
    """-log10 P(|Z| > size) under an exponential tail above the 95 % quantile with mean excess `excess`, at most `tops`.

    Peaks over threshold with shape 0 (Pickands 1975; Siffer et al. 2017, SPOT): a Gaussian's tail is thinner, so this
    errs on the quiet side.
    """
    decades = size - quantile
    over = decades > 0.0
    decades /= excess
    decades *= DECADES
    decades += BASE
    np.minimum(decades, tops, out=decades)
    decades *= over
    return decades


def loudest(decades: F64, z: F64) -> tuple[F64, F64, NDArray[np.int8]]:
    """Decades (F, rows) of the window (first axis) that says most, the sign of its departure `z`, and which it is; of windows
    that say as much the shortest."""
    most, at = decades[0], z[0]
    which = np.zeros(most.shape, np.int8)
    for window in range(1, len(decades)):
        more = decades[window] > most
        at = np.where(more, z[window], at)
        which[more] = window
        most = np.maximum(most, decades[window])
    return most, np.sign(at), which


def joint(features: F64, columns: Columns) -> F64:
    """Joint decades of each row from its features' decades above `BASE` (F, rows), all non-negative.

    Features of a group (three percentiles of one latency) say much the same, so the group speaks with its loudest;
    groups then add up with falling weights, because they are dependent too (cf. Brown 1975 on dependent p-values).
    """
    groups: dict[int, F64] = {}
    for group, decades in zip(columns.group, features, strict=True):
        groups[group] = np.maximum(groups[group], decades) if group in groups else decades
    first, second, third = np.zeros((3, features.shape[1]))
    for decades in groups.values():
        first, rest = np.maximum(first, decades), np.minimum(first, decades)
        second, rest = np.maximum(second, rest), np.minimum(second, rest)
        third = np.maximum(third, rest)
    return first + ADDS_SECOND * second + ADDS_THIRD * third
