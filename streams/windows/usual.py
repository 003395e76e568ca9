"""What is usual of rows of spans and calls, and which of them fell short of it: somebody may keep only a part of them.

A sampler that keeps what failed, or what took long, makes a service look ill: of the same failures, among fewer that went well, the share
is higher. Where fewer came than usual, the rest may have been left out, and went well: as many of the usual number failed as were seen to
fail, and latencies within the range of what was usual are those of the slowest, as ever. What is worse than that is news whatever a
sampler does. Where less was asked for in truth the same is said of fewer, and nothing that fails more often than it did is hidden.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from contracts.frames.decoded import B1, F64, I64

PACES: Final = (0.4, 0.08)
"""Weights of a new window in the means of the latest few, and of half a minute: rare events need more windows to be missed."""
_USUAL: Final = 1 / 60
_IN_DOUBT: Final = 1 / 900
"""What is usual follows so slowly while it is in doubt: what lasts for a quarter of an hour is how life is."""
KNOWN_AFTER: Final = 20
"""Windows from which on it is known what is usual."""
LESS: Final = 1.5
"""Less than usual by this factor, and by so many standard deviations of a Poisson process, is too few."""
_SIGMAS: Final = 4.0
_WORSE: Final = 1.25
_MOST: Final = 100_000
Key = tuple[str, str]


class UsualRows:
    """Rows by their key (service and peer). `latencies`: how many columns of them there are, the highest quantile last."""

    def __init__(self, latencies: int) -> None:
        self._latencies = latencies
        self._clear()

    def _clear(self) -> None:
        self._slot: dict[Key, int] = {}
        self._windows: I64 = np.zeros(0, np.int64)
        self._count: F64 = np.zeros((0, 1 + len(PACES)))
        """Mean events per window: usually, and of late by each pace."""
        self._each: F64 = np.zeros(0)
        self._log: F64 = np.zeros((0, self._latencies))
        """Logarithms of usual latencies; NaN: not known."""

    def rows(self, keys: list[Key]) -> I64:
        """Their numbers; they are given any that are new."""
        if len(self._slot) + len(keys) > _MOST:
            self._clear()
        slots = np.array([self._slot.setdefault(key, len(self._slot)) for key in keys], np.int64)
        more = len(self._slot) - len(self._windows)
        if more > 0:
            more += len(self._slot)
            self._windows = np.concatenate([self._windows, np.zeros(more, np.int64)])
            self._count = np.concatenate([self._count, np.zeros((more, self._count.shape[1]))])
            self._each = np.concatenate([self._each, np.ones(more)])
            self._log = np.concatenate([self._log, np.full((more, self._latencies), np.nan)])
        return slots

    def usual(self, rows: I64) -> F64:
        """Events per window that are usual; NaN where that is not known."""
        return np.where(self._windows[rows] >= KNOWN_AFTER, self._count[rows, 0], np.nan)

    def short(self, rows: I64, events: F64, each: F64) -> B1:
        """Which rows have too few events, counting those of this window. `each`: for how many events one stands that came (NaN: none
        did), by which they vary more than those of a Poisson process do."""
        usual = self.usual(rows)
        self._each[rows] = np.where(np.isnan(each), self._each[rows], np.fmax(each, 0.9 * self._each[rows]))
        varies = np.fmax(self._each[rows], 1.0)
        known = 1 / np.minimum(np.maximum(self._windows[rows], 1), 2 / _USUAL)
        found: B1 = (events < usual / LESS) & (usual - events > _SIGMAS * np.sqrt(usual * (varies + known)))
        for at, pace in enumerate(PACES, 1):
            late = self._count[rows, at] + pace * (events - self._count[rows, at])
            spread = np.sqrt(usual * (varies * pace / (2 - pace) + known))
            found |= (late < usual / LESS) & (usual - late > _SIGMAS * spread)
        return found

    def explained(self, rows: I64, latencies: F64, spread: F64) -> B1:
        """Which latencies are longer than usual, but no longer than the longest that are usual, (rows, columns).

        `spread`: the logarithm of how far the 99th percentile is from the median. The longest are taken to be as far again beyond: of a
        log-normal distribution one in a million is longer.
        """
        usual = self._log[rows]
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(latencies)
        found: B1 = (log > usual + np.log(_WORSE)) & (log <= usual[:, -1:] + spread[:, None])
        return found

    def spread(self, rows: I64) -> F64:
        """The logarithm of how far the highest usual quantile is from the lowest; 0 where it is not known."""
        apart: F64 = np.nan_to_num(self._log[rows, -1] - self._log[rows, 0])
        return apart

    def learn(self, rows: I64, events: F64, latencies: F64, doubt: B1) -> None:
        """Take a window in: each row at most once. What is in doubt changes little."""
        known = np.isfinite(events)
        rows, events, latencies, doubt = rows[known], events[known], latencies[known], doubt[known]
        self._windows[rows] += 1
        age = self._windows[rows]
        for at, pace in enumerate((_USUAL, *PACES)):
            settled = np.where(doubt, _IN_DOUBT, pace) if at == 0 else pace
            weight = np.maximum(settled, np.where(doubt, 0.0, 1 / age))
            self._count[rows, at] += weight * (events - self._count[rows, at])
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.where((latencies > 0) & ~doubt[:, None], np.log(latencies), np.nan)
        before = self._log[rows]
        step = np.maximum(_USUAL, 1 / age)[:, None]
        self._log[rows] = np.where(
            np.isnan(log), before, np.where(np.isnan(before), log, before + step * (log - before))
        )

    def accept(self, rows: I64) -> None:
        """What is of late is usual from now on: it is known to be no sampler's doing."""
        self._count[rows, 0] = self._count[rows, 1]

    def state(self) -> list[Any]:
        """For a snapshot."""
        n = len(self._slot)
        return [list(self._slot), self._windows[:n], self._count[:n], self._each[:n], self._log[:n]]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        keys, self._windows, self._count, self._each, self._log = state[0], *(np.array(a) for a in state[1:])
        self._slot = {(service, peer): i for i, (service, peer) in enumerate(keys)}
