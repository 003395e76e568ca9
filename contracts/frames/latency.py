"""The latency grid: logarithmic buckets that merge exactly.

Bucket k holds durations d (seconds) with `BASE * GAMMA**k <= d < BASE * GAMMA**(k + 1)`, k in [0, BUCKETS). Counts are
integers, so merging in any order gives the same result (DDSketch: Masson, Rim, Lee, VLDB 2019, section 2). The relative
error of a quantile is at most sqrt(GAMMA) - 1, about 1 %.

Whoever measured with buckets that are too wide to tell (an SDK's bounds for milliseconds, and seconds measured) tells the sum of all durations as
well. Such counts travel apart, with the sum, as buckets below 0; what came between two points is placed (`placed`) once it is known.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

GAMMA: Final = 1.02
BASE: Final = 1e-6
BUCKETS: Final = 1100  # 1 µs .. 48 min
UNPLACED: Final = -1
"""Bucket of what was counted and of which nobody knows how long it took."""
FAILED_ONLY: Final = -2
"""Bucket of what failed, of which the number of all requests is told elsewhere."""
SUM_US: Final = -3
"""Bucket of the sum of all durations, microseconds."""
UNBOUNDED: Final = -4
"""Bucket of those, counted once more, that lie beyond the last bound: what they are of the sum nobody knows."""
WIDE: Final = -1000
"""Buckets up to this hold what lies in a wide one: its ends on the grid are in its number."""
SPREAD: Final = 0.5
"""Standard deviation of the logarithms of the durations in a wide bucket: that of a service's requests is mostly between a third and one."""
PLACES: Final = np.array([4, 2, 6, 1, 5, 3, 7, 0])
"""In which order the eighths of a bucket get observations."""
_EIGHTHS: Final = np.array([-1.534, -0.887, -0.489, -0.157, 0.157, 0.489, 0.887, 1.534])
"""Standard normal quantiles of the middles of eighths."""
_LOG_GAMMA: Final = float(np.log(GAMMA))


def bucket_of(seconds: NDArray[np.float64]) -> NDArray[np.int32]:
    """Bucket index of each duration; what is out of range falls into the first or last bucket."""
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.floor(np.log(np.maximum(seconds, BASE) / BASE) / _LOG_GAMMA)
    found: NDArray[np.int32] = np.clip(np.nan_to_num(k), 0, BUCKETS - 1).astype(np.int32)
    return found


def midpoint(bucket: NDArray[np.int32]) -> NDArray[np.float64]:
    """The duration (seconds) that stands for each bucket: its geometric middle."""
    seconds: NDArray[np.float64] = BASE * np.power(GAMMA, bucket.astype(np.float64) + 0.5)
    return seconds


def quantiles(bucket: NDArray[np.int32], count: NDArray[np.int64], q: tuple[float, ...]) -> NDArray[np.float64]:
    """Quantiles (seconds) of one histogram given as sorted sparse buckets; NaN where it is empty."""
    total = int(count.sum())
    if total == 0:
        return np.full(len(q), np.nan)
    at = np.searchsorted(np.cumsum(count), np.ceil(np.asarray(q) * total), side="left")
    return midpoint(bucket[np.minimum(at, len(bucket) - 1)])


def wide_bucket(low_s: float, high_s: float) -> int:
    """The bucket of what lies between two durations (seconds) that are too far apart to tell."""
    low, high = bucket_of(np.array([low_s, high_s]))
    return WIDE - (int(low) * BUCKETS + int(high))


def requests_in(bucket: NDArray[np.integer[Any]], count: NDArray[np.int64]) -> int:
    """How many requests sparse buckets hold, but for those that only tell what failed."""
    return int(count[(bucket >= 0) | (bucket == UNPLACED) | (bucket <= WIDE)].sum())


def placed(bucket: NDArray[np.int64], count: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cells of the grid of sparse buckets. Those of wide buckets lie about the mean that is left for them of the sum, log-normally, and
    evenly where that is not known: where no sum is told, or some lie beyond the last bound."""
    cell, wide = bucket >= 0, bucket <= WIDE
    if not wide.any():
        return bucket[cell], count[cell]
    ends = np.array(np.divmod(WIDE - bucket[wide], BUCKETS), np.int32)
    low, high = BASE * np.power(GAMMA, ends.astype(np.float64))
    low[ends[0] == 0] = 0.0
    number = count[wide]
    told, open_ = count[bucket == SUM_US].sum(), count[bucket == UNBOUNDED].sum()
    if told > 0 and not open_:
        left = told / 1e6 - float((midpoint(bucket[cell].astype(np.int32)) * count[cell]).sum())
        part = np.clip((left - (number * low).sum()) / (number * (high - low)).sum(), 1e-4, 1.0)
        mean = low + part * (high - low)
        at = mean[:, None] * np.exp(SPREAD * _EIGHTHS[PLACES] - SPREAD**2 / 2)
        at = np.clip(at, low[:, None], high[:, None])
    else:
        at = evenly(low, high)
    where = np.concatenate([bucket[cell], bucket_of(at.ravel()).astype(np.int64)])
    total = np.bincount(where, weights=np.concatenate([count[cell], dealt(number).ravel()])).astype(np.int64)
    filled = np.flatnonzero(total)
    return filled, total[filled]


def evenly(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eight places in each bucket of these ends, evenly apart, in the order in which they get observations."""
    at: NDArray[np.float64] = low[:, None] + (high - low)[:, None] * ((PLACES + 0.5) / 8)
    return at


def dealt(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The observations of each bucket dealt out in turn to its eight places: what a place has stays its own, whatever comes after it."""
    found: NDArray[np.int64] = (count[:, None] + np.arange(7, -1, -1)) // 8
    return found
