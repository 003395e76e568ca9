"""What a window knows from metrics, and which of several metrics that count the same requests counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from contracts.features import METRIC_ERROR_RATE, METRIC_LATENCY_P50
from contracts.frames import PartialFrame
from contracts.frames.decoded import B1, F64, I64
from contracts.frames.latency import FAILED_ONLY, placed, requests_in
from contracts.units import SECOND
from streams.windows.grouping import Column, run_starts
from streams.windows.series import FEATURES, HISTO, PART, POINT, REQUESTS, SeriesBook
from streams.windows.tables import Rows, ranges
from streams.windows.window import Sums

_WITHOUT_RANKS = np.dtype([(name, HISTO[name]) for name in HISTO.names or () if name != "rank"])
"""As in snapshots of before there were ranks."""
_ERRORS, _P50 = FEATURES.index(METRIC_ERROR_RATE), FEATURES.index(METRIC_LATENCY_P50)
_QUANTILES = (0.5, 0.95, 0.99)
_OLD_STATE: Final = 4
"""Parts of the state of a window before there were ranks."""
_HEARD_NS: Final = 300 * SECOND


class Ranks:
    """Which of several metrics that count the same requests counts, per key (a service, or who calls): the one of the lowest rank
    that was heard of lately."""

    def __init__(self, key_of: Callable[[int], int] = lambda entity: entity) -> None:
        """`key_of`: the key of an entity."""
        self._key_of = key_of
        self._best: dict[int, tuple[int, int]] = {}

    def hear(self, histos: Rows, failures: B1) -> None:
        """Points came; `failures` are those that only tell what failed."""
        found = histos[~failures]
        for entity, rank in sorted({*zip(found["entity"].tolist(), found["rank"].tolist(), strict=True)}):
            if entity < 0:
                continue
            key, time = (
                self._key_of(entity),
                int(found["time"][(found["entity"] == entity) & (found["rank"] == rank)].max()),
            )
            best = self._best.get(key)
            if best is None or rank <= best[0] or time - best[1] > _HEARD_NS:
                self._best[key] = rank, time if best is None or rank != best[0] else max(time, best[1])

    def counts(self, point: Any, bucket: Column) -> bool:
        """Whether a point is of the metric that counts."""
        best = self._best.get(self._key_of(int(point["entity"])))
        if best is None:
            return True
        own = int(point["rank"])
        return own // 2 == best[0] // 2 if (bucket == FAILED_ONLY).any() else own == best[0]

    def forget(self, key: int) -> None:
        """It has left."""
        self._best.pop(key, None)

    def state(self) -> list[list[int]]:
        """For a snapshot."""
        return [[key, *best] for key, best in self._best.items()]

    def load(self, state: list[list[int]]) -> None:
        """Take the state of a snapshot."""
        self._best = {key: (rank, time) for key, rank, time in state}


class MetricWindow:
    """What a window knows from metrics: points and histograms to be looked at when rows are due, and what became of them."""

    def __init__(self) -> None:
        self.points: Rows = np.empty(0, POINT)
        self.histos: Rows = np.empty(0, HISTO)
        self.bucket: Column = np.empty(0, np.int64)
        self.count: Column = np.empty(0, np.int64)
        self.parts: Rows = np.empty(0, PART)
        self.requests: Rows = np.empty(0, PART)
        self.sums = Sums(2)
        self.counted: list[tuple[int, int, int, float, float]] = []
        """Requests that were counted since this was last emptied: entity, begin and end of the interval, requests, failed ones."""

    def add(self, points: Rows, histos: Rows, frame: PartialFrame) -> None:
        """Take the points of this window in, with the buckets of its histograms, whose `low` and `high` index into the frame's."""
        self.points = np.concatenate([self.points, points])
        which, cell = ranges(histos["low"], histos["high"])
        size = np.bincount(which, minlength=len(histos))
        end = np.cumsum(size) + len(self.bucket)
        histos["low"], histos["high"] = end - size, end
        self.histos = np.concatenate([self.histos, histos])
        self.bucket = np.concatenate([self.bucket, frame.hist_bucket[cell].astype(np.int64)])
        self.count = np.concatenate([self.count, frame.hist_count[cell]])

    def digest(self, entity: I64, book: SeriesBook, ranks: Ranks) -> None:
        """Look at what came for these entities, in the order of its time. All series go on, those that count by rank are taken."""
        mine = np.isin(self.points["entity"], entity)
        if mine.any():
            self.parts = np.concatenate([self.parts, book.parts(self.points[mine])])
            self.points = self.points[~mine]
        mine = np.isin(self.histos["entity"], entity)
        if mine.any():
            for point, bucket, count, span_s in book.differences(self.histos[mine], self.bucket, self.count):
                if ranks.counts(point, bucket):
                    self._take(point, bucket.astype(np.int64), count, span_s)
            self.histos = self.histos[~mine]

    def _take(self, point: Any, bucket: Column, count: Column, span_s: float) -> None:
        key, failed = np.array([int(point["entity"])]), bucket == FAILED_ONLY
        total = requests_in(bucket, count)
        errors = int(count[failed].sum()) + (total if point["error"] else 0)
        self.sums.add(key, (np.array([total]), np.array([errors])))
        if span_s > 0:
            end_ns = int(point["time"])
            self.counted.append((int(point["entity"]), end_ns - round(span_s * SECOND), end_ns, total, errors))
        if failed.any():
            return
        cells, counts = placed(bucket, count)
        self.sums.add_cells(np.repeat(key, len(cells)), cells, counts)
        if span_s > 0:
            part = np.array([(point["series"], point["entity"], REQUESTS, point["time"], total, span_s)], PART)
            self.requests = np.concatenate([self.requests, part])

    def values(self, entity: I64) -> tuple[F64, I64]:
        """(entities, features) of what was looked at, NaN where nothing is known; and requests counted."""
        values = np.full((len(entity), len(FEATURES)), np.nan)
        for parts in (self.parts, self.requests):
            _fill(values, entity, parts)
        requests, errors = self.sums.of(entity)
        some = requests > 0
        values[some, _ERRORS] = np.minimum(errors[some] / requests[some], 1.0)
        values[some, _P50 : _P50 + 3] = self.sums.quantiles(entity[some], _QUANTILES)
        return values, requests

    def state(self) -> list[Any]:
        """For a snapshot."""
        tables = [a.tobytes() for a in (self.points, self.histos, self.parts, self.requests)]
        return [tables, self.bucket, self.count, self.sums.state(), True]

    def load(self, state: list[Any]) -> None:
        """Take the state of a snapshot."""
        tables, self.bucket, self.count, sums = state[:_OLD_STATE]
        kinds = (POINT, _WITHOUT_RANKS if len(state) == _OLD_STATE else HISTO, PART, PART)
        found = [np.frombuffer(b, d).copy() for b, d in zip(tables, kinds, strict=True)]
        self.points, histos, self.parts, self.requests = found
        self.histos = np.zeros(len(histos), HISTO)
        for name in histos.dtype.names or ():
            self.histos[name] = histos[name]
        self.sums.load(sums)


def _fill(values: F64, entity: I64, parts: Rows) -> None:
    """Per entity and feature: the mean over series of the latest level; where there is none, the sum of the rates."""
    order = np.lexsort((parts["time"], parts["series"], parts["feature"], parts["entity"], parts["span"] == 0))
    parts = parts[order]
    if not len(parts):
        return
    cell = parts["entity"].astype(np.int64) * len(FEATURES) + parts["feature"]
    level = parts["span"] == 0
    change = (cell[1:] != cell[:-1]) | (parts["series"][1:] != parts["series"][:-1]) | (level[1:] != level[:-1])
    starts = np.concatenate([[0], np.flatnonzero(change) + 1])
    last = np.append(starts[1:] - 1, len(parts) - 1)
    increase, span = np.add.reduceat(parts["value"], starts), np.add.reduceat(parts["span"], starts)
    is_level, cell = level[last], cell[last]
    rates = increase[~is_level] / span[~is_level]
    _put(values, entity, cell[~is_level], rates, mean=False)
    _put(values, entity, cell[is_level], parts["value"][last][is_level], mean=True)


def _put(values: F64, entity: I64, cell: I64, number: F64, *, mean: bool) -> None:
    """Put the sum (or mean) of the numbers of each cell, entity × features + feature, where it belongs."""
    runs = run_starts(cell)
    total = np.add.reduceat(number, runs)
    if mean:
        total /= np.diff(np.append(runs, len(cell)))
    row_of, column = np.divmod(cell[runs], len(FEATURES))
    at = np.minimum(np.searchsorted(entity, row_of), len(entity) - 1)
    mine = entity[at] == row_of
    values[at[mine], column[mine]] = total[mine]
