"""Histograms of request durations, re-bucketed on the latency grid.

Re-bucketing must keep a cumulative histogram cumulative: the count of a grid bucket may never fall when a source bucket's
count grows. So the observations of an explicit bucket are dealt out in turn to eight places inside it (each observation
goes to one place, whatever comes after it), which approximates the usual linear interpolation within a bucket; an
exponential bucket goes whole to its geometric middle. What lies in a bucket that is too wide to tell is placed later, by the sum of all durations
(`contracts.frames.latency.placed`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from connectors.otlp.failures import FailureJudge
from connectors.otlp.flatten import DecodeContext
from connectors.otlp.identity import hash64
from connectors.otlp.metric_calls import CALLING, call_of
from connectors.otlp.metric_data import DELTA, EXPONENTIAL, SUMMARY, MetricData
from connectors.otlp.reasons import (
    BAD_TIME,
    LONG_LIVED,
    NO_BUCKETS,
    NO_RECORDED_VALUE,
    NO_SUBJECT,
    NOT_SERVED,
    UNUSED_METRIC,
)
from connectors.otlp.reasons import SUMMARY as SUMMARY_POINT
from connectors.otlp.streaming import is_long_lived, is_stream, route_of
from connectors.otlp.summaries import shape_of
from connectors.otlp.values import Plain, cached, text_of
from contracts.frames.decoded import F64, I32, I64, HistogramBatch
from contracts.frames.latency import (
    BASE,
    BUCKETS,
    FAILED_ONLY,
    GAMMA,
    SUM_US,
    UNBOUNDED,
    UNPLACED,
    bucket_of,
    dealt,
    evenly,
    wide_bucket,
)
from contracts.frames.views import series_id

if TYPE_CHECKING:
    from connectors.otlp.metrics import MetricSource

CUMULATIVE_HISTOGRAM, DELTA_HISTOGRAM, SHAPED_SUMMARY = 1, 2, 3
_SERVED_KINDS: Final = frozenset({"SERVER", "CONSUMER", "2", "5"})
MAX_COUNT: Final = 1 << 53
_MAX_TIME: Final = (1 << 63) - 1
_LARGEST: Final = 1e300
"""Some write the largest double for infinity."""
_MAX_SCALE: Final = 32
_MAX_OFFSET: Final = 1 << 31
WIDE_TIMES: Final = 6.0
WIDE_FROM_S: Final = 0.02
"""A bucket is too wide to tell if it ends at more than so many times its beginning (the usual bounds go up by 2 to 5), and beyond so many
seconds: below that nobody minds."""
_LOG_BASE: Final = math.log(BASE)
_LOG_GAMMA: Final = math.log(GAMMA)


class _Rows:
    """Rows of one batch in the making."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, int, int, bool, int, int]] = []
        self._buckets: list[tuple[I32, I64]] = []

    def add(self, row: tuple[int, int, int, int, int, bool, int, int], buckets: tuple[I32, I64]) -> None:
        """One more: resource, series, mode, start, time, error, rank, peer; and its buckets."""
        self._rows.append(row)
        self._buckets.append(buckets)

    def batch(self) -> HistogramBatch | None:
        """The rows as columns; None where there are none."""
        if not self._rows:
            return None
        types = (np.int32, np.uint64, np.int8, np.int64, np.int64, np.bool_, np.int8, np.int32)
        columns: Any = zip(zip(*self._rows, strict=True), types, strict=True)
        made: list[Any] = [np.array(c, t) for c, t in columns]
        resource, series, mode, start, time, error, rank, peer = made
        sizes = [len(b) for b, _ in self._buckets]
        return HistogramBatch(
            resource=resource,
            series=series,
            mode=mode,
            start_ns=start,
            time_ns=time,
            error=error,
            offset=np.concatenate(([0], np.cumsum(sizes))).astype(np.int32),
            bucket=np.concatenate([b for b, _ in self._buckets]),
            count=np.concatenate([c for _, c in self._buckets]),
            rank=rank,
            peer=peer,
        )


class HistogramRows:
    """Points of metrics that tell of requests: of those that a service served, and of calls by caller and callee."""

    def __init__(self, context: DecodeContext, judge: FailureJudge) -> None:
        self.added = 0
        """Points that are of calls alone."""
        self._context, self._judge = context, judge
        self._kind_keys = context.conventions.point_keys("span_kind")
        self._served, self._calls = _Rows(), _Rows()

    def add(self, data: MetricData, source: MetricSource) -> None:
        """Take in the points of one metric."""
        codec, skips = self._context.codec, self._context.skips
        for i, point in enumerate(codec.points(data, skips, source)):
            attributes = codec.attributes(point.attributes) if point.attributes else {}
            reason = self._unusable(point, attributes, source)
            if reason:
                skips.add(reason)
                continue
            try:
                buckets = (
                    self._count_of(point, source)
                    if source.rule.kind != "duration"
                    else _buckets_of(point, data, source)
                )
            except ValueError as e:
                skips.invalid(f"{source.place}.dataPoints[{i}]", str(e))
                continue
            if buckets is None:
                skips.add(SUMMARY_POINT if data.kind == SUMMARY else NO_BUCKETS)
            else:
                self._add(point, data, source, attributes, buckets)

    def batch(self) -> HistogramBatch | None:
        """Requests served, as columns; None where there are none."""
        return self._served.batch()

    def calls(self) -> HistogramBatch | None:
        """Calls as columns; None where there are none."""
        return self._calls.batch()

    def _add(
        self,
        point: Any,
        data: MetricData,
        source: MetricSource,
        attributes: Mapping[str, Plain],
        buckets: tuple[I32, I64],
    ) -> None:
        rule = source.rule
        served = not rule.calls_only and self._is_served(attributes, source)
        resource = source.resource_of(attributes) if served else None
        call = call_of(source, attributes, self._kind_of(attributes)) if rule.calls else None
        if resource is None and call is None:
            self._context.skips.add(NO_SUBJECT if served or rule.calls == "graph" else NOT_SERVED)
            return
        mode = DELTA_HISTOGRAM if data.temporality == DELTA else CUMULATIVE_HISTOGRAM
        if data.kind == SUMMARY and (buckets[0] != UNPLACED).any():
            mode = SHAPED_SUMMARY
        start = point.start_time_unix_nano if point.start_time_unix_nano <= _MAX_TIME else 0
        pairs = sorted((k, text_of(v)) for k, v in attributes.items())
        # A changed layout starts a new series: its counts cannot be compared with those before.
        layout = _layout(point, data, mode, source.factor) if rule.kind == "duration" else rule.kind
        hashed = hash64(f"{source.identity}\x1f{layout}" + "".join(f"\x1f{k}\x1e{v}" for k, v in pairs))
        series = series_id(hashed, rule.view)
        error, time = self._judge.failed(attributes), point.time_unix_nano
        if resource is not None:
            self._served.add((resource, series, mode, start, time, error, rule.rank, 0), buckets)
        if call is not None:
            caller, callee = self._context.resources.index(call[0]), self._context.strings.index(call[1])
            self._calls.add((caller, series, mode, start, time, error, rule.calls_rank, callee), buckets)
            self.added += resource is None

    def _unusable(self, point: Any, attributes: Mapping[str, Plain], source: MetricSource) -> str:
        if point.flags & 1:
            return NO_RECORDED_VALUE
        if not 0 < point.time_unix_nano <= _MAX_TIME:
            return BAD_TIME
        rule = source.rule
        if not rule.calls and not self._is_served(attributes, source):
            return NOT_SERVED
        if (
            rule.calls == "spans"
            and not self._is_served(attributes, source)
            and self._kind_of(attributes) not in CALLING
        ):
            return NOT_SERVED
        if rule.kind == "failures" and any(attributes.get(k) is not None for k in self._judge.keys):
            return UNUSED_METRIC  # then those beside them say it, too
        route, patterns = route_of(attributes), self._context.long_lived
        return LONG_LIVED if is_stream(attributes) or (route and is_long_lived(route, patterns)) else ""

    def _is_served(self, attributes: Mapping[str, Plain], source: MetricSource) -> bool:
        """Whether a duration is of work that was served. Meshes tell of both sides of a call; metrics made from spans carry the span's
        kind, and where it is missing and must not be, the point can't be judged."""
        match = source.rule.served
        if match is not None:
            return any(match.takes(text_of(attributes.get(k))) for k in match.keys)
        kind = self._kind_of(attributes)
        return kind in _SERVED_KINDS if kind else not source.rule.kind_required

    def _kind_of(self, attributes: Mapping[str, Plain]) -> str:
        """The kind of the span that a point was made of, in capitals; "" where it says none."""
        said = next((text_of(attributes[k]) for k in self._kind_keys if attributes.get(k) not in (None, "")), "")
        return said.strip().upper().removeprefix("SPAN_KIND_")

    def _count_of(self, point: Any, source: MetricSource) -> tuple[I32, I64] | None:
        """The bucket of a number of requests, of which nobody knows how long they took."""
        value = self._context.codec.number(point)
        if value is None or not math.isfinite(value):
            return None
        if not 0 <= value <= MAX_COUNT:
            raise ValueError(f"{value} is no number of requests")
        bucket = FAILED_ONLY if source.rule.kind == "failures" else UNPLACED
        return np.array([bucket], np.int32), np.array([round(value * source.factor)], np.int64)


def _buckets_of(point: Any, data: MetricData, source: MetricSource) -> tuple[I32, I64] | None:
    """Grid buckets of a point; None where it says nothing of any request."""
    if data.kind == EXPONENTIAL:
        return _exponential(point, source)
    if data.kind == SUMMARY:
        said = point.count or any(math.isfinite(q.value) for q in point.quantile_values)
        if point.count > MAX_COUNT:
            raise ValueError("a count is out of range")
        return shape_of(point, source.factor) if said else None
    return _explicit(point, data, source)


def _layout(point: Any, data: MetricData, mode: int, factor: float) -> Any:
    if data.kind == SUMMARY:
        return f"summary {mode}"
    if data.kind == EXPONENTIAL:
        return point.scale
    bounds = _bounds(point)
    return bounds if _wide(bounds, factor) is None else ("wide", bounds)


def _bounds(point: Any) -> tuple[float, ...]:
    """The bounds of an explicit histogram, which JSON may have as texts."""
    return tuple(float(bound) for bound in point.explicit_bounds)


def _explicit(point: Any, data: MetricData, source: MetricSource) -> tuple[I32, I64] | None:
    """Grid buckets of a histogram with explicit bounds; None where it has no buckets that can be used."""
    counts, bounds = _finite(_counts(point.bucket_counts), _bounds(point))
    if len(counts) <= 1:
        return _from_mean(point, data, source.factor)
    if len(bounds) != len(counts) - 1:
        raise ValueError(f"{len(counts)} bucketCounts for {len(bounds)} explicitBounds")
    at, wide = _places(bounds, source.factor), _wide(bounds, source.factor)
    told = counts if wide is None else np.where(wide < 0, 0, counts)
    cells = _merge(at.ravel(), dealt(told).ravel())
    return cells if wide is None else _with_wide(cells, wide, counts, _sum_us(point.sum, source.factor))


def _with_wide(cells: tuple[I32, I64], wide: I32, counts: I64, sum_us: int) -> tuple[I32, I64]:
    """Grid buckets with those before them that are too wide to tell, and what tells of these: the sum of all durations, and how many lie
    beyond the last bound, of which there may be much in it."""
    apart = [(int(b), int(n)) for b, n in zip(wide.tolist(), counts.tolist(), strict=True) if b < 0 and n]
    apart += [(UNBOUNDED, int(counts[-1]))] if counts[-1] else []
    apart += [(SUM_US, sum_us)] if sum_us else []
    bucket, count = (np.array([x[i] for x in sorted(apart)], np.int64) for i in (0, 1))
    return np.concatenate((bucket, cells[0])).astype(np.int32), np.concatenate((count, cells[1]))


def _sum_us(total: float | None, factor: float) -> int:
    """A sum of durations in microseconds; 0 where none is told."""
    if total is None or not math.isfinite(total) or not 0 < total * factor * 1e6 <= MAX_COUNT:
        return 0
    return round(total * factor * 1e6)


def _finite(counts: I64, bounds: tuple[float, ...]) -> tuple[I64, tuple[float, ...]]:
    """Counts and bounds without bounds at infinity: the last bucket has no end anyway. Who writes one there may give it a bucket, which
    then is the last, or also one beyond, in which nothing can be."""
    if bounds and bounds[-1] >= _LARGEST:
        if len(counts) == len(bounds) + 1:
            counts = np.append(counts[:-2], counts[-2:].sum())
        bounds = bounds[:-1]
    if bounds and bounds[0] <= -_LARGEST and len(counts) == len(bounds) + 1:
        counts, bounds = np.append(counts[:2].sum(), counts[2:]), bounds[1:]
    return counts, bounds


def _exponential(point: Any, source: MetricSource) -> tuple[I32, I64]:
    """Grid buckets of an exponential histogram: bucket i of scale s is (b^i, b^(i+1)] with b = 2^(2^−s)."""
    if abs(point.scale) > _MAX_SCALE:
        raise ValueError(f"scale {point.scale} is out of range")
    if abs(point.positive.offset) > _MAX_OFFSET:
        raise ValueError(f"offset {point.positive.offset} is out of range")
    if any(point.negative.bucket_counts):
        raise ValueError("a negative duration")
    counts = _counts([point.zero_count, *point.positive.bucket_counts])
    middle = point.positive.offset + np.arange(len(counts) - 1) + 0.5
    log_seconds = middle * (math.log(2.0) * 2.0**-point.scale) + math.log(source.factor)
    grid = np.clip(np.floor((log_seconds - _LOG_BASE) / _LOG_GAMMA), 0, BUCKETS - 1).astype(np.int32)
    return _merge(np.concatenate((np.zeros(1, np.int32), grid)), counts)


def _from_mean(point: Any, data: MetricData, factor: float) -> tuple[I32, I64] | None:
    """All observations of a delta at their mean. The mean of a cumulative histogram moves: of those only the number is known."""
    if not point.count or point.count > MAX_COUNT:
        return None
    total, count = point.sum, np.array([point.count], np.int64)
    if data.temporality != DELTA or total is None or not math.isfinite(total) or total < 0:
        return np.array([UNPLACED], np.int32), count
    return bucket_of(np.array([total / point.count * factor])), count


def _counts(counts: Any) -> I64:
    values = list(counts)
    if any(c > MAX_COUNT for c in values):
        raise ValueError("a bucket count is out of range")
    return np.array(values, np.int64)


@cached(1024, 512)
def _places(bounds: tuple[float, ...], factor: float) -> I32:
    """Grid buckets of eight places in each explicit bucket, in the order in which they get observations.

    The first bucket starts at 0; all of the last one, which has no end, lies at its lower bound.
    """
    edges: F64 = np.array(bounds, np.float64) * factor
    if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise ValueError("explicitBounds are not increasing finite numbers")
    low = np.maximum(np.concatenate(([0.0], edges)), 0.0)
    high = np.maximum(np.concatenate((edges, edges[-1:])), 0.0)
    return bucket_of(evenly(low, high))


@cached(1024, 512)
def _wide(bounds: tuple[float, ...], factor: float) -> I32 | None:
    """Of each explicit bucket its number among those that are too wide to tell, 0 where it is not; None where none is."""
    edges = [0.0, *(min(max(b, 0.0), _LARGEST) * factor for b in bounds)]
    ends = [(a, b if b < _LARGEST * factor else 0.0) for a, b in pairwise(edges)]
    found = [wide_bucket(a, b) if b > WIDE_FROM_S and b > WIDE_TIMES * a else 0 for a, b in ends]
    return np.array([*found, 0], np.int32) if any(found) else None


def _merge(bucket: I32, count: I64) -> tuple[I32, I64]:
    """Sorted buckets, each once, without empty ones."""
    total = np.bincount(bucket[count > 0], weights=count[count > 0], minlength=0).astype(np.int64)
    filled = np.flatnonzero(total)
    return filled.astype(np.int32), total[filled]
