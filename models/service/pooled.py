"""Latency of thin traffic, pooled: what no single window of one or two requests can show, the last minute together can.

One slow request in a window is a slow request; five in a row are a slow service. Per series the last observations
(logarithms, at most `POOL_HELD` within `POOL_HELD_NS`) are compared with all that came before them: by a t-test on winsorised
departures, and by rank, for the newest k to be slower than everything before has probability 1 / C(n + k, k). An observation joins what is known only when it leaves the held ones, so a fault is never compared with itself,
and few known observations make a wide comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from contracts.units import SECOND
from models.judgement import (
    POOL_HELD,
    POOL_HELD_NS,
    POOL_LEAST_HELD,
    POOL_LEAST_KNOWN,
    POOL_LEAST_RUN,
    POOL_LEAST_SIGMA,
    POOL_MEMORY,
    POOL_MOST_DECADES,
    POOL_RATE_WEIGHT,
    POOL_RUN_NS,
    POOL_THIN_RATE,
    POOL_TOP_FADES,
    POOL_WIDER,
    POOL_WINSOR,
)
from models.service.state import Slots


@dataclass(frozen=True, slots=True)
class Pool:
    """Per frame row: whether its traffic is thin, decades by which its latest latencies are higher than before (0: not, or
    unknown), their geometric mean, and the range that was usual (seconds)."""

    thin: B1
    decades: F64
    typical: F64
    low: F64
    high: F64


class Pooled:
    """All series of one environment and signal."""

    def __init__(self) -> None:
        self.slots = Slots()
        self.values = np.zeros((0, POOL_HELD))
        self.times: NDArray[np.int64] = np.zeros((0, POOL_HELD), np.int64)
        """Window of each held value; 0 where there is none."""
        self.known, self.mean, self.var = np.zeros(0), np.zeros(0), np.zeros(0)
        self.rate, self.age = np.zeros(0), np.zeros(0)
        self.top = np.zeros(0)
        """Slowest known; it fades."""

    def step(self, keys: tuple[tuple[str, ...], tuple[str, ...]], window: tuple[int, int], given: Given) -> Pool:
        """Take in one frame. `keys`: its services and peers; `window`: start and width in ns."""
        rows = self.slots.rows(*keys)
        self._grow()
        self._count(rows[given.present], (given.counts / (window[1] / SECOND))[given.present])
        thin = self.rate[rows] < POOL_THIN_RATE
        x = np.log(np.maximum(given.seconds, 1e-6))
        fresh = thin & np.isfinite(x) & (given.counts > 0)
        self._expire(rows[thin], window[0], given.learn[thin])
        self._hold(rows[fresh], x[fresh], window[0], given.learn[fresh])
        return self._test(rows, thin)

    def rebase(self, service: str, peer: str, seconds: float) -> None:
        """Take `seconds` for the usual latency of one series: what is held of it becomes known, what was known is worth
        little."""
        row = self.slots.find(service, peer)
        if row is None or row >= len(self.known):
            return
        self.mean[row] = float(np.log(max(seconds, 1e-6)))
        self.top[row] = self.mean[row] + 2.0 * max(float(np.sqrt(self.var[row])), POOL_LEAST_SIGMA)
        self.known[row] = min(self.known[row], float(POOL_LEAST_KNOWN))
        self.times[row] = 0

    def _grow(self) -> None:
        missing = len(self.slots) - len(self.known)
        if missing <= 0:
            return
        self.values = np.concatenate([self.values, np.zeros((missing, POOL_HELD))])
        self.times = np.concatenate([self.times, np.zeros((missing, POOL_HELD), np.int64)])
        for name in ("known", "mean", "var", "rate", "age", "top"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(missing)]))

    def _count(self, rows: NDArray[np.intp], rates: F64) -> None:
        """Usual rate: plain mean at first, then exponentially weighted."""
        self.age[rows] += 1.0
        weight = np.maximum(POOL_RATE_WEIGHT, 1.0 / self.age[rows])
        self.rate[rows] += weight * (rates - self.rate[rows])

    def _expire(self, rows: NDArray[np.intp], window_ns: int, learn: B1) -> None:
        """What was held for too long becomes known, oldest first."""
        while True:
            held = np.where(self.times[rows] > 0, self.times[rows], window_ns)
            slot = held.argmin(axis=1)
            old = held[np.arange(len(rows)), slot] <= window_ns - POOL_HELD_NS
            if not old.any():
                return
            which, where = rows[old], slot[old]
            self._learn(which[learn[old]], self.values[which, where][learn[old]])
            self.times[which, where] = 0

    def _hold(self, rows: NDArray[np.intp], x: F64, window_ns: int, learn: B1) -> None:
        """Put the newest in the place of the oldest held ones, which become known."""
        slot = self.times[rows].argmin(axis=1)
        known = (self.times[rows, slot] > 0) & learn
        self._learn(rows[known], self.values[rows, slot][known])
        self.values[rows, slot], self.times[rows, slot] = x, window_ns

    def _learn(self, rows: NDArray[np.intp], x: F64) -> None:
        """Location and variance with a long memory (West 1979), values far out winsorised once some are known. Each row
        once."""
        known, mean = self.known[rows], self.mean[rows]
        self.top[rows] = np.where(known == 0, x, np.maximum(x, self.top[rows] - POOL_TOP_FADES))
        reach = 4.0 * np.maximum(np.sqrt(self.var[rows]), POOL_LEAST_SIGMA)
        x = np.where(known >= POOL_LEAST_KNOWN, np.clip(x, mean - reach, mean + reach), x)
        self.known[rows] = known + 1.0
        weight = np.maximum(POOL_MEMORY, 1.0 / (known + 1.0))
        off = x - mean
        self.mean[rows] = mean + weight * off
        self.var[rows] = (1.0 - weight) * (self.var[rows] + weight * off * off)

    def _test(self, rows: NDArray[np.intp], thin: B1) -> Pool:
        if not thin.any():
            nothing = np.zeros(len(rows))
            return Pool(thin, nothing, nothing, nothing, nothing)
        known = np.maximum(self.known[rows], 1.0)
        there = self.times[rows] > 0
        held = np.maximum(there.sum(axis=1), 1)
        sigma = np.maximum(np.sqrt(self.var[rows] * known / np.maximum(known - 1.0, 1.0)), POOL_LEAST_SIGMA)
        off = np.where(there, self.values[rows] - self.mean[rows, None], 0.0)
        clipped = np.clip(off / sigma[:, None], -POOL_WINSOR, POOL_WINSOR)
        t = clipped.sum(axis=1) / np.sqrt(held * (1.0 + held / known)) / POOL_WIDER
        enough = thin & (there.sum(axis=1) >= POOL_LEAST_HELD) & (self.known[rows] >= POOL_LEAST_KNOWN)
        decades = np.where(enough & (t > 0), upper_decades(t, known - 1.0), 0.0)
        warm = thin & (self.known[rows] >= POOL_LEAST_KNOWN)
        if warm.any():
            decades[warm] = np.maximum(decades[warm], self._rank(rows[warm]))
        centre, reach = self.mean[rows], 2.0 * sigma
        typical = np.exp(centre + off.sum(axis=1) / held)
        return Pool(thin, decades, typical, np.exp(centre - reach), np.exp(centre + reach))

    def _rank(self, rows: NDArray[np.intp]) -> F64:
        """Decades by which the newest k held, for the best k, are all slower than everything before them."""
        order = np.argsort(-self.times[rows], axis=1, kind="stable")
        times = np.take_along_axis(self.times[rows], order, axis=1)
        values = np.where(times > 0, np.take_along_axis(self.values[rows], order, axis=1), -np.inf)
        slowest = np.maximum.accumulate(values[:, ::-1], axis=1)[:, ::-1]
        before = np.maximum(slowest[:, 1:], self.top[rows, None])
        beats = np.minimum.accumulate(values, axis=1)[:, :-1] > before
        beats &= times[:, :1] - times[:, :-1] >= POOL_RUN_NS
        beats[:, : POOL_LEAST_RUN - 1] = False
        total = np.minimum(self.known[rows], 1.0 / POOL_MEMORY) + (times > 0).sum(axis=1)
        k = np.arange(1, POOL_HELD)
        chances = np.log10(np.maximum(total[:, None] - k + 1.0, 1.0) / k).cumsum(axis=1)
        decades: F64 = np.minimum(np.where(beats, chances, 0.0).max(axis=1), POOL_MOST_DECADES)
        return decades

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        names = ("values", "times", "known", "mean", "var", "rate", "age", "top")
        return {"keys": [list(k) for k in self.slots.keys], **{n: getattr(self, n) for n in names}}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Pooled:
        """Inverse of `plain`."""
        it = cls()
        it.slots = Slots(tuple((s, p) for s, p in plain["keys"]))
        for name, array in plain.items():
            if name != "keys":
                setattr(it, name, array)
        return it


@dataclass(frozen=True, slots=True)
class Given:
    """What a frame says per row: seconds (NaN: nothing), requests, whether it may be learnt from, and whether it says anything."""

    seconds: F64
    counts: NDArray[np.int64]
    learn: B1
    present: B1


def upper_decades(t: F64, freedom: F64) -> F64:
    """-log10 P(T > t) for t > 0: Wallace's normal approximation to Student's t (1959, Ann. Math. Stat. 30), then a bound of
    the Gaussian tail (Chernoff with the factor 1/2)."""
    freedom = np.maximum(freedom, 1.0)
    z2 = freedom * np.log1p(np.square(t) / freedom) * np.square((8.0 * freedom + 1.0) / (8.0 * freedom + 3.0))
    decades: F64 = np.minimum(0.30103 + z2 * 0.5 * 0.4342945, POOL_MOST_DECADES)
    return decades
