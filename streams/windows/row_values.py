"""Feature columns from integer sums, in the order of `contracts.features.BY_SIGNAL`."""

from __future__ import annotations

import numpy as np

from contracts.frames.decoded import F64, I64
from contracts.units import SECOND
from streams.windows.routes import THOUSANDTHS
from streams.windows.rows import UNIT
from streams.windows.window import Sums

COLUMNS = {"spans": 6, "edges": 5, "logs": 2, "metrics": 0}
"""How many integer columns a row has, count included."""


def span_values(sums: Sums, keys: I64, width_s: float, beyond: Sums) -> tuple[F64, I64]:
    """Request rate, error rate and latency quantiles of each key; and the number of requests that this rests on."""
    count, errors = sums.of(keys)[:2]
    rate, share, trials = adjusted(count, errors, *beyond.of(keys))
    quantiles = sums.quantiles(keys, (0.5, 0.95, 0.99))
    return np.column_stack([rate / width_s, share, quantiles]), trials


def span_aside(sums: Sums, keys: I64) -> F64:
    """What is known of each key's routes, (keys, `ASIDE[Signal.SPANS]`)."""
    known, level, pace = sums.of(keys)[3:]
    return np.column_stack([known, level / THOUSANDTHS, pace / THOUSANDTHS])


def edge_values(sums: Sums, keys: I64, width_s: float, beyond: Sums) -> tuple[F64, I64]:
    """Call rate, error rate, 95th percentile and mean gap (seconds) of each key; and the number of calls that this rests on."""
    count, errors, _, gap_ns, gap_count = sums.of(keys)
    rate, share, trials = adjusted(count, errors, *beyond.of(keys))
    gap = _share(gap_ns, gap_count) / SECOND
    return np.column_stack([rate / width_s, share, sums.quantiles(keys, (0.95,)), gap]), trials


def adjusted(count: I64, errors: I64, unseen: I64, unseen_errors: I64) -> tuple[F64, F64, I64]:
    """Of sampled events: how many happened, the share of them that failed, and how many trials that share is worth.

    The first two are Horvitz and Thompson's estimates (1952). Trials are the effective sample size (Kish, Survey Sampling, 1965,
    11.7) of two strata of equal weights each, what failed and what did not: no more than what was seen.
    """
    if not unseen.any():
        return count.astype(np.float64), _share(errors, count), count
    whole, failed = count + unseen / UNIT, errors + unseen_errors / UNIT
    well = whole - failed
    square = well**2 / np.maximum(count - errors, 1) + failed**2 / np.maximum(errors, 1)
    trials = whole**2 / np.maximum(square, 1e-9)
    return whole, _share(failed, whole), np.minimum(np.rint(trials).astype(np.int64), count)


def log_values(sums: Sums, keys: I64, width_s: float, new_templates: I64) -> tuple[F64, I64]:
    """Record rate, error share and rate of new templates of each key; and the number of records."""
    count, errors = sums.of(keys)
    return np.column_stack([count / width_s, _share(errors, count), new_templates / width_s]), count


def _share(part: I64 | F64, whole: I64 | F64) -> F64:
    """part / whole; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
