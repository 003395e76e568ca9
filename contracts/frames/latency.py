"""The latency grid: logarithmic buckets that merge exactly.

Bucket k holds durations d (seconds) with `BASE * GAMMA**k <= d < BASE * GAMMA**(k + 1)`, k in [0, BUCKETS). Counts are
integers, so merging in any order gives the same result (DDSketch: Masson, Rim, Lee, VLDB 2019, section 2). The relative
error of a quantile is at most sqrt(GAMMA) - 1, about 1 %.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

GAMMA: Final = 1.02
BASE: Final = 1e-6
BUCKETS: Final = 1100  # 1 µs .. 48 min
UNPLACED: Final = -1
"""Bucket of what was counted and of which nobody knows how long it took."""
FAILED_ONLY: Final = -2
"""Bucket of what failed, of which the number of all requests is told elsewhere."""
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
