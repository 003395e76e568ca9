"""How well scores of labelled series tell events from noise: event-wise F1 with thresholds of other series, and the score of the Numenta
Anomaly Benchmark (Lavin and Ahmad, ICMLA 2015)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from contracts.frames.decoded import B1, F64, I64

PROFILES: Final = {"standard": (1.0, 1.0, 0.11), "low FP": (1.0, 1.0, 0.22), "low FN": (1.0, 2.0, 0.11)}
"""What a window found, one missed and a point of false alarm weigh."""
_MERGED: Final = 10
"""Points between two alarms up to which they are one."""
_AGAIN: Final = 60
"""Points after which an alarm that lasts counts as another: always on is not free."""
_THRESHOLDS: Final = 200


@dataclass(frozen=True)
class EventCounts:
    """Labelled events found of all, false alarms, and points from each found event's beginning to its alarm."""

    found: int = 0
    events: int = 0
    false_alarms: int = 0
    delays: tuple[int, ...] = ()

    def __add__(self, other: EventCounts) -> EventCounts:
        return EventCounts(
            self.found + other.found,
            self.events + other.events,
            self.false_alarms + other.false_alarms,
            self.delays + other.delays,
        )

    @property
    def precision(self) -> float:
        """Of the alarms; 0 if there are none."""
        return self.found / max(1, self.found + self.false_alarms)

    @property
    def recall(self) -> float:
        """Of the events."""
        return self.found / max(1, self.events)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def event_counts(scores: F64, labels: B1, threshold: float) -> EventCounts:
    """Of one series. An event is found by an alarmed point within it; alarms outside of all events are false, one per run of them (gaps
    of up to 10 points merged) and per 60 points that it lasts. What goes on after an event that was found is its own for 60 points."""
    alarmed = scores >= threshold
    outside, found, delays = alarmed.copy(), 0, []
    starts, ends = _runs(labels, 0)
    for start, end in zip(starts, ends, strict=True):
        within = np.flatnonzero(alarmed[start:end])
        if len(within):
            found += 1
            delays.append(int(within[0]))
            after = outside[end : end + _AGAIN]
            lasting = int(np.argmin(after)) if not after.all() else len(after)
            outside[end : end + lasting] = False
        outside[start:end] = False
    begun, over = _runs(outside, _MERGED)
    return EventCounts(found, len(starts), int(np.ceil((over - begun) / _AGAIN).sum()), tuple(delays))


def pooled(scores: Sequence[F64], labels: Sequence[B1], threshold: float) -> EventCounts:
    """Over several series, with one threshold."""
    return sum((event_counts(s, y, threshold) for s, y in zip(scores, labels, strict=True)), start=EventCounts())


def best_threshold(scores: Sequence[F64], labels: Sequence[B1]) -> float:
    """The one with the highest F1."""
    values = np.concatenate(scores)
    loud = values[values > 0]
    tried = np.unique(np.quantile(loud if len(loud) else values, 1 - np.logspace(-5.3, -0.4, _THRESHOLDS)))
    return float(max(tried, key=lambda t: pooled(scores, labels, t).f1))


def carried_over(scores: Sequence[F64], labels: Sequence[B1]) -> EventCounts:
    """Each half of the series (every second one) with the threshold that is best for the other half."""
    total = EventCounts()
    for judged in (0, 1):
        threshold = best_threshold(scores[1 - judged :: 2], labels[1 - judged :: 2])
        total += pooled(scores[judged::2], labels[judged::2], threshold)
    return total


class NabScore:
    """The benchmark's score of a set of series. `windows`: of each, labelled index pairs, both inclusive."""

    def __init__(self, lengths: Sequence[int], windows: Sequence[Sequence[tuple[int, int]]]) -> None:
        self._windows = windows
        self._weights = [_weights(n, w) for n, w in zip(lengths, windows, strict=True)]
        self._from = [math.ceil(min(math.floor(0.15 * n), 0.15 * 5000)) for n in lengths]

    def score(self, scores: Sequence[F64], profile: str, threshold: float, of: Sequence[int]) -> float:
        """Of the series `of`, with one threshold: 0 as if nothing was told, 100 for every window found at its beginning and no false
        alarm."""
        weigh, miss, false = PROFILES[profile]
        total, windows = 0.0, 0
        for i in of:
            alarmed = scores[i] >= threshold
            alarmed[: self._from[i]] = False
            inside = np.zeros(len(alarmed), dtype=bool)
            for start, end in self._windows[i]:
                inside[start : end + 1] = True
                windows += 1
                if end < self._from[i]:
                    continue
                gains = self._weights[i][start : end + 1][alarmed[start : end + 1]]
                total += max(float(gains.max()) * weigh, -miss) if len(gains) else -miss
            total += false * float(self._weights[i][alarmed & ~inside].sum())
        nothing = -miss * windows
        return 100 * (total - nothing) / (windows * weigh - nothing) if windows else 0.0

    def best(self, scores: Sequence[F64], profile: str, of: Sequence[int]) -> float:
        """The threshold with the highest score over the series `of`."""
        values = np.concatenate([scores[i] for i in of])
        tried = np.unique(np.quantile(values, 1 - np.logspace(-5, -0.7, _THRESHOLDS)))
        return float(max([*tried, math.inf], key=lambda t: self.score(scores, profile, t, of)))


def _weights(length: int, windows: Sequence[tuple[int, int]]) -> F64:
    """What an alarm at each point counts: up to 1 in a window, the more the earlier; down to -1 after it."""
    most = _sigmoid(np.array([-1.0]))[0]
    weights = np.full(length, -1.0)
    if not windows:
        return weights
    starts = [a for a, _ in windows[1:]] + [length]
    for (start, end), following in zip(windows, starts, strict=True):
        width = end - start + 1.0
        at = np.arange(start, end + 1)
        weights[start : end + 1] = _sigmoid((at - end - 1) / width) / most
        after = np.arange(end + 1, following)
        weights[end + 1 : following] = _sigmoid((after - end) / max(1.0, width - 1.0))
    return weights


def _sigmoid(position: F64) -> F64:
    found: F64 = np.where(position > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 50.0))) - 1.0)
    return found


def _runs(marked: B1, merged: int) -> tuple[I64, I64]:
    """Beginnings and ends (exclusive) of runs of what is marked; those at most `merged` points apart are one."""
    at = np.flatnonzero(marked)
    if not len(at):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    gaps = np.flatnonzero(np.diff(at) > max(1, merged))
    return at[np.concatenate([[0], gaps + 1])], at[np.concatenate([gaps, [len(at) - 1]])] + 1
