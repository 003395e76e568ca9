"""How rare a residual is, by what the series itself has shown: decayed counts by size, and an exponential tail beyond them.

A p-value is the share of what was seen that was at least as large, plus one (conformal prediction; Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World, 2005), forgetting old values slowly (forward decay; Cormode et al., ICDE 2009). Beyond what was
seen the tail of log residuals is taken for exponential, its mean excess estimated above the upper 3 % and shrunk where few values lie
there. Small residuals are told from large ones by a gate that is renewed now and then; only large ones are looked at closely.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from contracts.frames.decoded import B1, F64, I64

WIDTH: Final = 0.125
BINS: Final = 56
"""Of log(1 + residual)."""
MEMORY: Final = 4000.0
"""Values after which what was seen counts 1/e."""
FEW: Final = 30.0
"""Fewer values tell nothing."""
MOST_DECADES: Final = 12.0
_GATED: Final = 0.1
"""Share of values, from the largest, that are looked at closely; the others show nothing."""
_RENEWED: Final = 32
_SURE: Final = 4.0
"""Values from a size on that make their count believable."""
_UPPER: Final = 0.03
_UPPER_LEAST: Final = 8.0
_PRIOR_EXCESS, _PRIOR_WEIGHT, _LEAST_EXCESS = 0.15, 0.6, 0.03
_GROWTH: Final = 1.0 / (1.0 - 1.0 / MEMORY)
_HIGHEST_GAIN: Final = 1e12
_SIZES: Final[F64] = np.arange(0.0, BINS + 1.0) * np.float64(WIDTH)


class Tails:
    """Of `n` series, each in `ways` ways."""

    def __init__(self, n: int, ways: int) -> None:
        self.counts = np.zeros((n, ways, BINS), dtype=np.float32)
        self.gain, self.seen = np.ones((n, ways)), np.zeros((n, ways))
        self.gate = np.zeros((n, ways))
        self.steps = np.zeros(n, dtype=np.int64)

    def step(self, rows: I64, residuals: F64, usable: B1, taught: F64, learns: B1) -> F64:
        """Decades (rows × ways, in [0, `MOST_DECADES`]) below 1 of the p-value of each residual where it is usable and enough was seen,
        else 0; then count what is `taught` where it `learns`."""
        u = np.log1p(residuals)
        found = np.zeros(u.shape)
        row, way = np.nonzero(usable & (self.seen[rows] >= FEW) & (u > self.gate[rows]))
        if len(row):
            found[row, way] = self._decades(rows[row], way, u[row, way])
        self._learn(rows, np.log1p(taught), learns)
        return found

    def _decades(self, rows: I64, ways: I64, u: F64) -> F64:
        above = self._above(rows, ways)
        seen = self.seen[rows, ways]
        at = np.minimum((u / WIDTH).astype(np.int64), BINS - 1)
        between = np.clip(u / WIDTH - at, 0.0, 1.0)
        counted = _take(above, at) * (1.0 - between) + _take(above, at + 1) * between
        sure = np.maximum((above >= _SURE).sum(axis=1) - 1, 0)
        upper = np.maximum((above >= np.maximum(_UPPER_LEAST, _UPPER * seen)[:, None]).sum(axis=1) - 1, 0)
        in_upper = _take(above, upper)
        excess = np.where(np.arange(BINS + 1) > upper[:, None], above, 0.0).sum(axis=1) * WIDTH + 0.5 * WIDTH * in_upper
        scale = (excess + _PRIOR_WEIGHT * _PRIOR_EXCESS) / (in_upper + _PRIOR_WEIGHT)
        beyond = np.maximum(u - _SIZES[sure], 0.0) / np.maximum(scale, _LEAST_EXCESS)
        logs = np.where(
            beyond > 0, np.log(np.maximum(_take(above, sure), 0.5)) - beyond, np.log(np.maximum(counted, 1e-9))
        )
        decades: F64 = np.clip((np.log(seen + 1.0) - logs) / np.log(10.0), 0.0, MOST_DECADES)
        return decades

    def _above(self, rows: I64, ways: I64) -> F64:
        """Decayed counts at least as large as each of `_SIZES`."""
        counts = self.counts[rows, ways].astype(np.float64) / self.gain[rows, ways][:, None]
        above = np.zeros((len(rows), BINS + 1))
        above[:, :BINS] = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        return above

    def _learn(self, rows: I64, u: F64, learns: B1) -> None:
        row, way = np.nonzero(learns)
        which = rows[row]
        gain = self.gain[which, way] * _GROWTH
        self.gain[which, way] = gain
        self.counts[which, way, np.minimum((u[row, way] / WIDTH).astype(np.int64), BINS - 1)] += gain
        self.seen[which, way] = self.seen[which, way] / _GROWTH + 1.0
        high = np.flatnonzero(gain > _HIGHEST_GAIN)
        if len(high):
            self.counts[which[high], way[high]] /= gain[high, None]
            self.gain[which[high], way[high]] = 1.0
        self.steps[rows] += 1
        due = rows[self.steps[rows] % _RENEWED == 0]
        if len(due):
            self._renew(due)

    def _renew(self, rows: I64) -> None:
        counts = self.counts[rows].astype(np.float64)
        below = counts.cumsum(axis=2)
        whole = np.maximum(below[:, :, -1:], 1e-30)
        self.gate[rows] = (below < (1.0 - _GATED) * whole).sum(axis=2) * WIDTH

    def grow(self, more: int) -> None:
        """Make room for `more` series."""
        fresh = Tails(more, self.gain.shape[1])
        for name, values in fresh.arrays().items():
            setattr(self, name, np.concatenate([getattr(self, name), values]))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state, by name."""
        return {n: getattr(self, n) for n in ("counts", "gain", "seen", "gate", "steps")}

    def load(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take what `arrays` gave."""
        for name in self.arrays():
            setattr(self, name, arrays[name])


def _take(values: F64, at: I64) -> F64:
    return values[np.arange(len(values)), at]
