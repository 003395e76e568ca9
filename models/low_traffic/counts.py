"""Counts of what follows requests (calls to a callee, error records), pooled over many windows, and whether they are chance.

Each series has a count of events and of the requests that they belong to, window by window. Windows of which either is not known
count neither way: nothing is made up for them, and no hole is taken for silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64
from models.judgement import DECAY, MIX, UNUSUAL_SIGMAS
from models.service.state import Slots

RING: Final = 128
"""Windows kept of each series: twice what is looked at, because signals are not equally late."""
_MOST_TERMS: Final = 400
_LEAST_P: Final = 1e-12

I64 = NDArray[np.int64]
Rows = NDArray[np.intp]


class CountRing:
    """The last `RING` windows of the counts of many series, and whether each may be learnt from. NaN: a window is not known."""

    def __init__(self) -> None:
        self.slots = Slots()
        self._allocate(0)

    def _allocate(self, rows: int) -> None:
        self.values: NDArray[np.float32] = np.full((rows, RING), np.nan, np.float32)
        self.rounds: NDArray[np.int32] = np.full((rows, RING), -1, np.int32)
        """Which time round the ring each count is of."""
        self.learn: B1 = np.zeros((rows, RING), np.bool_)

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, keys: tuple[tuple[str, ...], tuple[str, ...]], window: int, values: F64, learn: B1) -> None:
        """Put the counts of one window on record: `values` (rows,), NaN where nothing is known."""
        rows = self.slots.rows(*keys)
        if len(self.slots) > len(self.values):
            old = self.values, self.rounds, self.learn
            self._allocate(max(64, len(self.slots) + len(self.slots) // 4))
            for array, known in zip((self.values, self.rounds, self.learn), old, strict=True):
                array[: len(known)] = known
        turn, at = divmod(window, RING)
        newer = self.rounds[rows, at] <= turn
        rows = rows[newer]
        self.values[rows, at], self.rounds[rows, at], self.learn[rows, at] = values[newer], turn, learn[newer]

    def of(self, rows: Rows, windows: I64) -> F64:
        """Counts (rows, windows); NaN where they are not known, and for row -1."""
        turns, at = np.divmod(windows, RING)
        if not len(self.values):
            return np.full((len(rows), len(windows)), np.nan)
        there = (self.rounds[rows][:, at] == turns) & (rows >= 0)[:, None]
        return np.where(there, self.values[rows][:, at].astype(np.float64), np.nan)

    def may_learn(self, rows: Rows, window: int) -> B1:
        """Whether a window may be learnt from, by row."""
        return np.asarray(self.learn[rows, window % RING] & (rows >= 0), np.bool_)

    def forget(self, row: int) -> None:
        """What is known of a series so far is not known any more."""
        self.values[row] = np.nan

    def rate(self) -> F64:
        """Mean count per known window, by row; 0 where none is known."""
        known = np.isfinite(self.values[: len(self)])
        counted = np.where(known, self.values[: len(self)], 0.0).sum(axis=1, dtype=np.float64)
        total: F64 = counted / np.maximum(known.sum(axis=1), 1)
        return total

    def newest(self) -> I64:
        """The newest window of each row."""
        rounds = self.rounds[: len(self)].astype(np.int64)
        newest: I64 = np.where(rounds >= 0, rounds * RING + np.arange(RING), -1).max(axis=1, initial=-1)
        return newest

    def keep(self, kept: Rows) -> None:
        """Forget all series but these."""
        self.values, self.rounds, self.learn = self.values[kept], self.rounds[kept], self.learn[kept]
        self.slots.keep(kept)

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        arrays = {name: getattr(self, name)[: len(self)] for name in ("values", "rounds", "learn")}
        return {"keys": [list(k) for k in self.slots.keys], **arrays}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> CountRing:
        """Inverse of `plain`."""
        it = cls()
        it.slots = Slots(tuple((s, p) for s, p in plain["keys"]))
        it.values, it.learn = plain["values"].astype(np.float32), plain["learn"]
        rounds = plain["rounds"] if "rounds" in plain else plain["windows"] // RING  # so in states of before
        it.rounds = rounds.astype(np.int32)
        return it


@dataclass(frozen=True, slots=True)
class Compared:
    """What some windows hold of each series (rows,), against what is usual. `known`: events that the usual rests on; `bunch`: how
    many events come at once, about."""

    counted: F64
    requests: F64
    expected: F64
    usual: F64
    known: F64
    served: F64
    bunch: F64

    def range(self, i: int) -> tuple[float, float]:
        """The events that are not unusual, of row i."""
        bunch, expected = float(self.bunch[i]), float(self.expected[i])
        variance = expected * bunch + (MIX * expected) ** 2 + expected**2 / max(float(self.known[i]), 0.5)
        reach = UNUSUAL_SIGMAS * variance**0.5
        return max(0.0, expected - reach), expected + reach


class Following:
    """One kind of event, per series, with the requests it follows. `key`s of both are (service, peer)."""

    def __init__(self) -> None:
        self.events = CountRing()
        self._usual: dict[str, F64] = {name: np.zeros(0) for name in ("events", "requests", "busy")}
        """Of windows that left what is looked at, decayed: events, requests, windows that had events."""

    def _grow(self) -> None:
        for name, known in self._usual.items():
            self._usual[name] = np.concatenate([known, np.zeros(max(0, len(self.events) - len(known)))])

    def learn(self, requests: CountRing, rows: Rows, window: int) -> None:
        """Take what a window that leaves the look says of the usual. `rows`: of `requests`, for each series (-1: none)."""
        self._grow()
        if not len(self.events):
            return
        every, at = np.arange(len(self.events)), np.array([window])
        counts, served = self.events.of(every, at)[:, 0], requests.of(rows, at)[:, 0]
        learn = np.isfinite(counts) & np.isfinite(served) & self.events.may_learn(every, window)
        told = {"events": counts, "requests": served, "busy": counts > 0}
        decay = np.where(learn & (served > 0), DECAY, 1.0)
        for name, column in told.items():
            self._usual[name] = self._usual[name] * decay + np.where(learn, column, 0.0)

    def compare(self, requests: CountRing, rows: Rows, now: I64, then: I64) -> Compared:
        """The windows `now` against what is usual and the windows `then`, which nothing was learnt from yet."""
        self._grow()
        counted, served, busy = self._sums(requests, rows, now)
        before = self._sums(requests, rows, then)
        known, of, busy_before = (
            self._usual[n] + b for n, b in zip(("events", "requests", "busy"), before, strict=True)
        )
        usual = known / np.maximum(of, 1.0)
        bunch = np.maximum(1.0, (known + counted) / np.maximum(busy_before + busy, 1.0))
        return Compared(counted, served, usual * served, usual, known, of, bunch)

    def _sums(self, requests: CountRing, rows: Rows, windows: I64) -> tuple[F64, F64, F64]:
        counts, served = self.events.of(np.arange(len(self.events)), windows), requests.of(rows, windows)
        both = np.isfinite(counts) & np.isfinite(served)
        counts, served = np.where(both, counts, 0.0), np.where(both, served, 0.0)
        return counts.sum(axis=1), served.sum(axis=1), (counts > 0).sum(axis=1).astype(np.float64)

    def keep(self, kept: Rows) -> None:
        """Forget all series but these."""
        self._grow()
        self._usual = {name: known[kept] for name, known in self._usual.items()}
        self.events.keep(kept)

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        self._grow()
        return {"events": self.events.plain(), "usual": self._usual}

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Following:
        """Inverse of `plain`."""
        it = cls()
        it.events, it._usual = CountRing.of_plain(plain["events"]), plain["usual"]
        return it


def fewer(counted: F64, expected: F64, known: F64) -> F64:
    """-log10 of the chance of so few events where `expected` are, if `known` were seen before.

    Events are Poisson with a rate that is itself uncertain: by what is known of it, and by `MIX` in proportion, because what is
    asked for varies. That is a negative binomial (Greenwood & Yule 1920).
    """
    return _decades(_at_most(np.floor(counted), expected, known))


def more(counted: F64, expected: F64, known: F64) -> F64:
    """-log10 of the chance of so many events where `expected` are; otherwise as `fewer`."""
    return _decades(1.0 - _at_most(np.ceil(counted) - 1.0, expected, known))


def _at_most(most: F64, expected: F64, known: F64) -> F64:
    """P(X <= most) of the negative binomial with mean `expected`, term by term."""
    shape = 1.0 / (MIX**2 + 1.0 / np.maximum(known, 0.5))
    again = expected / (expected + shape)
    term = np.power(1.0 - again, shape)
    total = np.where(most >= 0, term, 0.0)
    for k in range(1, int(min(most.max(initial=0.0), _MOST_TERMS)) + 1):
        term = term * again * (shape + k - 1.0) / k
        total = total + np.where(most >= k, term, 0.0)
    return np.where(most > _MOST_TERMS, 1.0, np.minimum(total, 1.0))


def _decades(p: F64) -> F64:
    decades: F64 = -np.log10(np.maximum(p, _LEAST_P))
    return decades
