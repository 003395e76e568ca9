"""What is usual of rows of spans and calls, and which of them fell short of it: somebody may keep only a part of them.

A sampler that keeps what failed, or what took long, makes a service look ill: of the same failures, among fewer that went well, the share
is higher. Where fewer came than usual, the rest may have been left out, and went well: as many of the usual number failed as were seen to
fail, and those that took long are the slowest, as ever, if there are no more of them than there always are. Where there are more in number
(whoever leaves some out adds none) it is news whatever a sampler does. Where less was asked for in truth the same is said of fewer, and
nothing that fails more often than it did is hidden.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts.frames.decoded import B1, F64, I64

PACES: Final = (0.4, 0.08)
"""Weights of a new window in the means of the latest few, and of half a minute: rare events need more windows to be missed."""
_USUAL: Final = 1 / 60
_IN_DOUBT: Final = 1 / 900
"""What is usual follows so slowly while it is in doubt: what lasts for a quarter of an hour is how life is."""
KNOWN_AFTER: Final = 20
"""Windows from which on it is known what is usual."""
LESS: Final = 1.5
_SIGMAS: Final = 4.0
"""Less than usual by this factor, and by so many standard deviations, is too few. Of roots of numbers: the lower tail of a Poisson process
is shorter than a normal one's (Anscombe 1948), so that one event where ten are usual is too few."""
BURSTS: Final = 2.0
"""From so many times the variance of a Poisson process on events are known to come in bursts."""
PAUSES: Final = 10.0
"""From so many times on there is hardly anything between them. What varies less is fewer where it is fewer, until one knows better."""
WORSE: Final = 1.25
"""Latencies that are longer than usual by this factor are slower."""
_FEW: Final = 2.0
_LATELY: Final = (0.25, 0.08)
"""Weights of a new window in what is slow of late: of the latest seven, and twenty-four."""
_MORE_SLOW: Final = 3.5
_CELLS: Final = 28
_CELL: Final = 1.5
_SHORTEST_S: Final = 0.0005
"""Latencies are counted in cells, each half as long again as the one before: up to 40 s."""
_TAIL: Final = 0.03
_TWO: Final = 20
"""Of so many events the 95th percentile tells of a second one."""
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
        self._last: F64 = np.zeros(0)
        self._bursts: F64 = np.zeros(0)
        """By how many times numbers of events vary more than a Poisson process's, by differences between windows that follow each other
        (von Neumann 1941): a step to another level is no burst."""
        self._log: F64 = np.zeros((0, self._latencies))
        """Logarithms of usual latencies; NaN: not known."""
        self._slow: NDArray[np.float32] = np.zeros((0, _CELLS), np.float32)
        self._late: list[NDArray[np.float32]] = [np.zeros((0, _CELLS), np.float32) for _ in _LATELY]
        """Events per window by how long they took: usually, and of late."""

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
            empty = np.zeros((more, _CELLS), np.float32)
            self._slow = np.concatenate([self._slow, empty])
            self._late = [np.concatenate([late, empty]) for late in self._late]
            self._last = np.concatenate([self._last, np.full(more, np.nan)])
            self._bursts = np.concatenate([self._bursts, np.ones(more)])
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
        varies = self.varies(rows, PAUSES)
        known = 1 / np.minimum(np.maximum(self._windows[rows], 1), 2 / _USUAL)
        found: B1 = _too_few(events, usual, 1 / varies, known)
        for at, pace in enumerate(PACES, 1):
            late = self._count[rows, at] + pace * (events - self._count[rows, at])
            found |= _too_few(late, usual, (2 - pace) / pace / varies, known)
        return found

    def varies(self, rows: I64, since: float = BURSTS) -> F64:
        """How many times the variance of a Poisson process numbers of events have: they stand for several, or come in bursts, of which is spoken
        `since` so many times."""
        bursts = self._bursts[rows]
        return np.fmax(self._each[rows], np.where(bursts >= since, bursts, 1.0))

    def slower(self, rows: I64, latencies: F64) -> B1:
        """Which latencies are longer than usual, (rows, columns)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            found: B1 = np.log(latencies) > self._log[rows] + np.log(WORSE)
        return found

    def few(self, rows: I64, events: F64, passed: float = 1.0) -> B1:
        """Which rows have rather few events in this window alone, of which such a part has passed; that may be by chance."""
        return _too_few(events, passed * self.usual(rows), 1 / self.varies(rows, PAUSES), np.zeros(len(rows)), _FEW)

    def more_slow(self, rows: I64, latencies: F64) -> B1:
        """Of which latencies there are more lately that are as long or longer than is usual, (rows, columns). Whoever leaves requests out makes
        none of them more."""
        cells, found = _cells(latencies), np.zeros(latencies.shape, np.bool_)
        before = np.take_along_axis(_at_least(self._slow[rows]), cells, axis=1)
        for late, pace in zip(self._late, _LATELY, strict=True):
            now = np.take_along_axis(_at_least(late[rows]), cells, axis=1)
            weight = ((2 - pace) / pace / self.varies(rows, PAUSES))[:, None]
            found |= 2 * (np.sqrt(now * weight + 0.375) - np.sqrt(before * weight + 0.375)) > _MORE_SLOW
        return found

    def learn(self, rows: I64, events: F64, latencies: F64, doubt: B1) -> None:
        """Take a window in: each row at most once. What is in doubt changes little."""
        known = np.isfinite(events)
        rows, events, latencies, doubt = rows[known], events[known], latencies[known], doubt[known]
        self._learn_bursts(rows, events, doubt)
        self._learn_slow(rows, events, latencies, doubt)
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

    def _learn_slow(self, rows: I64, events: F64, latencies: F64, doubt: B1) -> None:
        masses = _masses(events, latencies).astype(np.float32)
        for late, pace in zip(self._late, _LATELY, strict=True):
            late[rows] += np.float32(pace) * (masses - late[rows])
        step = np.where(doubt, 0.0, np.maximum(_USUAL, 1 / (self._windows[rows] + 1))).astype(np.float32)
        self._slow[rows] += step[:, None] * (masses - self._slow[rows])

    def _learn_bursts(self, rows: I64, events: F64, doubt: B1) -> None:
        usual, last = self._count[rows, 0], self._last[rows]
        apart = (events - last) ** 2 / (2 * np.fmax(usual, _USUAL))
        known = (self._windows[rows] > 0) & np.isfinite(last) & ~doubt
        self._bursts[rows] += np.where(known, _USUAL * (np.nan_to_num(apart) - self._bursts[rows]), 0.0)
        self._last[rows] = np.where(doubt, np.nan, events)

    def accept(self, rows: I64) -> None:
        """What is of late is usual from now on: it is known to be no sampler's doing."""
        self._count[rows, 0] = self._count[rows, 1]

    def state(self) -> list[Any]:
        """For a snapshot."""
        n = len(self._slot)
        columns: list[NDArray[Any]] = [self._windows, self._count, self._each, self._log, self._last, self._bursts]
        columns += [self._slow, *self._late]
        return [list(self._slot), *(column[:n] for column in columns)]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot; one of before there were bursts knows of none."""
        keys, n = state[0], len(state[0])
        columns = [np.array(a) for a in state[1:]]
        self._windows, self._count, self._each, self._log = columns[:4]
        self._last, self._bursts = columns[4:6] or (np.full(n, np.nan), np.ones(n))
        slow = columns[6:] or [np.zeros((n, _CELLS), np.float32) for _ in (0, *_LATELY)]
        self._slow, self._late = slow[0], slow[1:]
        self._slot = {(service, peer): i for i, (service, peer) in enumerate(keys)}


def _too_few(events: F64, usual: F64, weight: F64, known: F64, sigmas: float = _SIGMAS) -> B1:
    """Whether means of so many events are less than usual beyond chance. `weight`: of how many events of a Poisson process one tells;
    `known`: the variance of what is usual, in parts of it."""
    apart = 2 * (np.sqrt(usual * weight + 0.375) - np.sqrt(np.fmax(events, 0.0) * weight + 0.375))
    found: B1 = (events < usual / LESS) & (apart > sigmas * np.sqrt(1 + known * weight))
    return found


def _at_least(cells: NDArray[np.float32]) -> F64:
    """Events that took as long as those of each cell, or longer."""
    found: F64 = np.maximum(np.cumsum(cells[:, ::-1].astype(np.float64), axis=1)[:, ::-1], 0.0)
    return found


def _cells(latencies: F64) -> I64:
    """In which cell each latency is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        cell = np.floor(np.log(latencies / _SHORTEST_S) / np.log(_CELL))
    found: I64 = np.clip(np.nan_to_num(cell, nan=0.0, neginf=0.0), 0, _CELLS - 1).astype(np.int64)
    return found


def _masses(events: F64, latencies: F64) -> F64:
    """About how many of these events took how long, by their quantiles (the median, the 95th and the 99th, or a high one alone), (rows,
    cells): the highest is that of one event at least, and of those between two most are near the lower one."""
    rows, found = np.arange(len(events)), np.zeros((len(events), _CELLS))
    left = np.where(np.isfinite(latencies[:, -1]), np.nan_to_num(events), 0.0)
    lower = latencies[:, 0] if latencies.shape[1] > 1 else np.zeros(len(events))
    upper = latencies[:, -2] if latencies.shape[1] > 1 else lower
    between = np.fmin(np.sqrt(lower * upper), _CELL * lower)
    second = np.where(events >= _TWO, 1.0, 0.0)
    parts = ((_TAIL, 1.0, latencies[:, -1]), (0.02, second, upper), (0.2, 0.0, between), (1.0, 0.0, lower))
    for share, least, at in parts:
        some = np.minimum(left, np.maximum(share * events, least)) * (left > 0)
        np.add.at(found, (rows, _cells(at)), some)
        left = left - some
    return found
