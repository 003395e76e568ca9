"""What series were in the last weeks: means of half hours, for forecasters to learn from. Kept only where there are some."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.frames.decoded import B1, F64, I64
from models.series.forecasting.forecast_judgement import GAP_BINS, LEAST_BINS, MEASURED

BIN_S: Final = 1_800.0
DAY_BINS: Final = 48
LENGTH: Final = 21 * DAY_BINS
"""Bins that are learnt from: three weeks."""
SPARE: Final = 4
"""Bins that are kept beside them, so that what was asked for some bins ago can be asked again."""
_SIZE: Final = LENGTH + SPARE
NEVER: Final = -1


class Past(NamedTuple):
    """Of one series: `means` of equally spaced bins from bin `first` on, gaps filled, and which of them were `measured`."""

    means: F64
    measured: B1
    first: int

    @property
    def until(self) -> int:
        """The bin after them."""
        return self.first + len(self.means)


def bins_of(times_s: F64) -> I64:
    """Half hours since the epoch."""
    return (times_s // BIN_S).astype(np.int64)


class History:
    """Of `n` series."""

    def __init__(self, n: int = 0) -> None:
        self.means = np.full((n, _SIZE), np.nan, dtype=np.float32)
        """By bin, round and round; NaN: nothing was measured."""
        self.bins = np.full(n, NEVER, dtype=np.int64)
        """That of the last point."""
        self.sums, self.points = np.zeros(n), np.zeros(n)
        """In that bin."""

    def close(self, rows: I64, bins: I64) -> None:
        """Rows whose next point lies in a later bin than their last one."""
        before, seen = self.bins[rows], self.points[rows] > 0
        old, at = rows[seen], before[seen]
        self.means[old, at % _SIZE] = self.sums[old] / self.points[old]
        gaps = np.where(seen, np.minimum(bins - before, _SIZE), 0)
        for missed in range(1, int(gaps.max(initial=0))):
            late = gaps > missed
            self.means[rows[late], (before[late] + missed) % _SIZE] = np.nan
        self.bins[rows], self.sums[rows], self.points[rows] = bins, 0.0, 0.0

    def add(self, rows: I64, values: F64) -> None:
        """Points in the bin that each row is at."""
        self.sums[rows] += values
        self.points[rows] += 1.0

    def past(self, row: int, until: int) -> Past | None:
        """What a row was before bin `until`; None where that is too little, or has too many gaps."""
        values = self.means[row, np.arange(until - LENGTH, until) % _SIZE].astype(np.float64)
        known = np.flatnonzero(np.isfinite(values))
        if not len(known) or LENGTH - known[0] < LEAST_BINS:
            return None
        values = values[known[0] :]
        at = known - known[0]
        widest = int(np.diff(np.append(at, len(values))).max(initial=0))
        if len(at) < MEASURED * len(values) or widest > GAP_BINS:
            return None
        measured = np.isfinite(values)
        filled = np.interp(np.arange(len(values)), at, values[measured])
        return Past(filled, measured, until - len(values))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state, by name."""
        return {"means": self.means, "bins": self.bins, "sums": self.sums, "points": self.points}

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take what `arrays` gave."""
        for name in self.arrays():
            setattr(self, name, arrays[name])
