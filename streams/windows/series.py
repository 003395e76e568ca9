"""Metric points to numbers per window: counters to rates with resets, histograms to differences, gauges as they are.

A reset is a value below the previous one or another start time; what was counted since then is the new value itself
(Prometheus' rule for `rate`, and OpenTelemetry's metrics data model, "Resets and Gaps").
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from contracts.capacity import ROOMY
from contracts.features import BY_SIGNAL, METRIC_REQUEST_RATE, Signal
from contracts.frames.decoded import B1, F64, I64
from contracts.units import SECOND
from streams.windows.grouping import Column, run_starts
from streams.windows.preference import Preference
from streams.windows.tables import Rows

GAUGE, CUMULATIVE, DELTA, SHAPED = 0, 1, 2, 3
FEATURES: Final = BY_SIGNAL[Signal.METRICS]
POINT = np.dtype(
    [
        *(("series", "<u8"), ("start", "<i8"), ("time", "<i8"), ("value", "<f8")),
        *(("entity", "<i4"), ("feature", "<i4"), ("mode", "i1")),
    ]
)
"""A point as it came."""
PART = np.dtype(
    [("series", "<u8"), ("entity", "<i4"), ("feature", "<i4"), ("time", "<i8"), ("value", "<f8"), ("span", "<f8")]
)
"""What a point says about its window: a level (span 0) at `time`, or an increase over `span` seconds."""
HISTO = np.dtype(
    [
        *(("series", "<u8"), ("start", "<i8"), ("time", "<i8"), ("low", "<i8"), ("high", "<i8")),
        *(("entity", "<i4"), ("mode", "i1"), ("error", "?"), ("rank", "i1")),
    ]
)
"""A histogram point; `low` and `high` bound its cells."""
REQUESTS: Final = FEATURES.index(METRIC_REQUEST_RATE)
_LOOK_NS = 10 * SECOND


class SeriesBook:
    """The last point of each counter and the last state of each cumulative histogram.

    A series' first point counts only if the series began at most `fresh_ns` before it; else it is the baseline.
    """

    def __init__(self, fresh_ns: int, most: int, counters: Counter[str]) -> None:
        self.fresh_ns, self.most, self.counters = fresh_ns, most, counters
        self._looked_ns = 0
        self._slot: dict[int, int] = {}
        self._start: I64 = np.empty(0, np.int64)
        self._time: I64 = np.empty(0, np.int64)
        self._value: F64 = np.empty(0)
        self._histos: dict[int, tuple[int, int, Column, Column]] = {}
        self._views = Preference()

    def parts(self, points: Rows) -> Rows:
        """What points say about their window. Counters take part in the order of their time, each point once."""
        gauges = points[points["mode"] == GAUGE]
        levels = _parts(gauges, gauges["value"], np.zeros(len(gauges)))
        parts = np.concatenate([levels, self._increases(points[points["mode"] != GAUGE])])
        return parts[self._preferred(parts, parts["feature"].astype(np.int64))]

    def _preferred(self, rows: Rows, feature: I64) -> B1:
        """Which rows are the best view of their fact."""
        cell = rows["entity"].astype(np.int64) * len(FEATURES) + feature
        kept = self._views.preferred(cell, rows["series"], rows["time"])
        self.counters["other_view"] += int(np.count_nonzero(~kept))
        return kept

    def _increases(self, points: Rows) -> Rows:
        points = points[np.lexsort((points["time"], points["series"]))]
        slot = self._slots(points["series"])
        again = (points["series"][1:] == points["series"][:-1]) & (points["time"][1:] == points["time"][:-1])
        stale = (points["time"] <= self._time[slot]) | np.concatenate([[False], again])
        self.counters["stale_points"] += int(np.count_nonzero(stale))
        points, slot = points[~stale], slot[~stale]
        if not len(points):
            return np.empty(0, PART)
        start, time, value = self._previous(points, slot)
        increase, span_ns = _increase(points, start, time, value, self.fresh_ns)
        last = np.append(run_starts(points["series"])[1:] - 1, len(points) - 1)
        self._start[slot[last]], self._time[slot[last]] = points["start"][last], points["time"][last]
        self._value[slot[last]] = points["value"][last]
        usable = (span_ns > 0) & np.isfinite(increase)
        return _parts(points[usable], increase[usable], span_ns[usable] / SECOND)

    def _previous(self, points: Rows, slot: I64) -> tuple[I64, I64, F64]:
        """Start, time and value of the point before each, in the same series; time 0 where there is none."""
        first = run_starts(points["series"])
        found = []
        for field, kept in (("start", self._start), ("time", self._time), ("value", self._value)):
            previous = np.roll(points[field], 1)
            previous[first] = kept[slot[first]]
            found.append(previous)
        return found[0], found[1], found[2]

    def _slots(self, series: Column) -> I64:
        known = self._slot
        size = len(known)
        slots = [known.setdefault(s, len(known)) for s in series.tolist()]
        if len(known) > len(self._time):
            more = max(64, 2 * len(known)) - len(self._time)
            self._start = np.concatenate([self._start, np.zeros(more, np.int64)])
            self._time = np.concatenate([self._time, np.zeros(more, np.int64)])
            self._value = np.concatenate([self._value, np.zeros(more)])
        if len(known) > self.most and size < len(known):
            self.counters["series_over_limit"] += len(known) - size
        return np.array(slots, np.int64)

    def differences(self, histos: Rows, bucket: Column, count: Column) -> list[tuple[Any, Column, Column, float]]:
        """Per histogram point, in the order of time: the point, the buckets and counts since the one before, and the
        seconds they cover."""
        found = []
        preferred = self._preferred(histos, np.full(len(histos), REQUESTS, np.int64))
        for i in np.lexsort((histos["series"], histos["time"])).tolist():
            point = histos[i]
            buckets, counts = bucket[point["low"] : point["high"]], count[point["low"] : point["high"]]
            difference = self._difference(point, buckets, counts)
            if difference is not None and preferred[i]:
                found.append((point, *difference))
        return found

    def _difference(self, point: Any, buckets: Column, counts: Column) -> tuple[Column, Column, float] | None:
        series, start, time = int(point["series"]), int(point["start"]), int(point["time"])
        known = self._histos.get(series)
        if known is not None and time <= known[1]:
            self.counters["stale_points"] += 1
            return None
        if known is None and len(self._histos) >= self.most:
            self.counters["series_over_limit"] += 1
            return None
        cumulative = point["mode"] != DELTA
        nothing = np.empty(0, np.int64)
        self._histos[series] = (start, time, buckets, counts) if cumulative else (start, time, nothing, nothing)
        own_ns = time - start if 0 < start < time else 0
        if not cumulative:
            return buckets, counts, (own_ns or (time - known[1] if known else 0)) / SECOND
        if known is None:
            return (buckets, counts, own_ns / SECOND) if 0 < own_ns <= self.fresh_ns else None
        span_s, before = (time - known[1]) / SECOND, int(known[3].sum())
        if int(counts.sum()) < before or (start != known[0] and start and known[0]):
            return buckets, counts, span_s
        if point["mode"] == SHAPED:
            return *_shaped(buckets, counts, int(counts.sum()) - before), span_s
        return *_subtract(buckets, counts, known[2], known[3]), span_s

    def expire(self, before_ns: int) -> None:
        """Once there are too many series, forget those without a point since `before_ns`; if there are many still, those whose last
        point is oldest. It is looked at every ten seconds, as that takes time where there are many."""
        if max(len(self._histos), len(self._slot)) < self.most or 0 <= before_ns - self._looked_ns < _LOOK_NS:
            return
        self._looked_ns = before_ns
        histos = {k: v[1] for k, v in self._histos.items()}
        kept = self._newest(histos, before_ns)
        self._histos = {k: v for k, v in self._histos.items() if k in kept}
        kept = self._newest({s: int(self._time[i]) for s, i in self._slot.items()}, before_ns)
        keep = [(s, i) for s, i in self._slot.items() if s in kept]
        at = np.array([i for _, i in keep], np.int64)
        self._slot = {s: i for i, (s, _) in enumerate(keep)}
        self._start, self._time, self._value = self._start[at], self._time[at], self._value[at]

    def _newest(self, last_ns: dict[int, int], before_ns: int) -> set[int]:
        """The series to keep, where the last point of each was at `last_ns`."""
        if len(last_ns) < self.most:
            return set(last_ns)
        lively = sorted((s for s, at in last_ns.items() if at >= before_ns), key=lambda s: (-last_ns[s], s))
        self.counters["series_left"] += len(last_ns) - min(len(lively), int(ROOMY * self.most))
        return set(lively[: int(ROOMY * self.most)])

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        n = len(self._slot)
        return {
            "series": np.array(list(self._slot), np.uint64),
            "points": [a[:n] for a in (self._start, self._time, self._value)],
            "histos": [[k, *v] for k, v in self._histos.items()],
            "views": self._views.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take the state of a snapshot."""
        self._slot = {s: i for i, s in enumerate(state["series"].tolist())}
        self._start, self._time, self._value = state["points"]
        self._histos = {k: (a, b, c, d) for k, a, b, c, d in state["histos"]}
        self._views.load(state.get("views", []))


def _parts(points: Rows, value: Column, span_s: Column) -> Rows:
    parts = np.empty(len(points), PART)
    for field in ("series", "entity", "feature", "time"):
        parts[field] = points[field]
    parts["value"], parts["span"] = value, span_s
    return parts


def _increase(points: Rows, start: I64, time: I64, value: F64, fresh_ns: int) -> tuple[F64, I64]:
    """Increase since the previous point and the nanoseconds it covers; 0 ns where it can't be known."""
    seen, cumulative = time > 0, points["mode"] == CUMULATIVE
    restarted = (points["start"] != start) & (points["start"] > 0) & (start > 0)
    reset = (points["value"] < value) | restarted
    increase = np.where(cumulative & seen & ~reset, points["value"] - value, points["value"])
    own_ns = np.where((points["start"] > 0) & (points["start"] < points["time"]), points["time"] - points["start"], 0)
    since_ns = np.where(seen, points["time"] - time, 0)
    first_ns = np.where(own_ns <= fresh_ns, own_ns, 0)
    span_ns = np.where(cumulative, np.where(seen, since_ns, first_ns), np.where(own_ns > 0, own_ns, since_ns))
    return increase, span_ns


def _subtract(buckets: Column, counts: Column, old_buckets: Column, old_counts: Column) -> tuple[Column, Column]:
    both = np.union1d(buckets, old_buckets)
    difference = np.zeros(len(both), np.int64)
    np.add.at(difference, np.searchsorted(both, buckets), counts)
    np.subtract.at(difference, np.searchsorted(both, old_buckets), old_counts)
    return both[difference > 0], difference[difference > 0]


def _shaped(buckets: Column, counts: Column, total: int) -> tuple[Column, Column]:
    """So many observations, spread over buckets as `counts` are."""
    upto = np.cumsum(counts)
    dealt = (
        np.diff(np.round(upto * (total / max(int(upto[-1]), 1))).astype(np.int64), prepend=0) if len(upto) else counts
    )
    return buckets[dealt > 0], dealt[dealt > 0]
