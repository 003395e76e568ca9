"""Feature columns from integer sums, in the order of `contracts.features.BY_SIGNAL`."""

from __future__ import annotations

import numpy as np

from contracts.frames.decoded import F64, I64
from contracts.units import SECOND
from streams.windows.routes import THOUSANDTHS
from streams.windows.window import Sums

COLUMNS = {"spans": 6, "edges": 5, "logs": 2, "metrics": 0}
"""How many integer columns a row has, count included."""


def span_values(sums: Sums, keys: I64, width_s: float) -> tuple[F64, I64]:
    """Request rate, error rate and latency quantiles of each key; and the number of requests."""
    count, errors = sums.of(keys)[:2]
    quantiles = sums.quantiles(keys, (0.5, 0.95, 0.99))
    return np.column_stack([count / width_s, _share(errors, count), quantiles]), count


def span_aside(sums: Sums, keys: I64) -> F64:
    """What is known of each key's routes, (keys, `ASIDE[Signal.SPANS]`)."""
    known, level, pace = sums.of(keys)[3:]
    return np.column_stack([known, level / THOUSANDTHS, pace / THOUSANDTHS])


def edge_values(sums: Sums, keys: I64, width_s: float) -> tuple[F64, I64]:
    """Call rate, error rate, 95th percentile and mean gap (seconds) of each key; and the number of calls."""
    count, errors, _, gap_ns, gap_count = sums.of(keys)
    gap = _share(gap_ns, gap_count) / SECOND
    return np.column_stack([count / width_s, _share(errors, count), sums.quantiles(keys, (0.95,)), gap]), count


def log_values(sums: Sums, keys: I64, width_s: float, new_templates: I64) -> tuple[F64, I64]:
    """Record rate, error share and rate of new templates of each key; and the number of records."""
    count, errors = sums.of(keys)
    return np.column_stack([count / width_s, _share(errors, count), new_templates / width_s]), count


def _share(part: I64, whole: I64) -> F64:
    """part / whole; NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
