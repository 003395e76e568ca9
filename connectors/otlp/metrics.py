"""Metric points as columns, mapped onto features by the table of conventions.

Data model: https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np

from connectors.otlp.chosen_series import series_points
from connectors.otlp.convention_table import OF_REQUESTS, MetricRule
from connectors.otlp.conventions import Reading
from connectors.otlp.failures import FailureJudge
from connectors.otlp.flatten import DecodeContext, UnreadMetric
from connectors.otlp.histograms import HistogramRows
from connectors.otlp.identity import MAX_NAME, Identified, hash64
from connectors.otlp.metric_data import CUMULATIVE, DELTA, EXPONENTIAL, GAUGE, HISTOGRAM, SUM, SUMMARY, MetricData
from connectors.otlp.reasons import (
    BAD_TIME,
    BEYOND_SENSE,
    DELTA_LEVEL,
    NO_RECORDED_VALUE,
    NO_SUBJECT,
    NOT_FINITE,
    OTHER_STATE,
    OTHER_TYPE,
    UNMAPPED_METRIC,
    UNMAPPED_UNIT,
    UNUSED_METRIC,
)
from connectors.otlp.reasons import SUMMARY as SUMMARY_POINT
from connectors.otlp.subjects import subject_of
from connectors.otlp.values import Plain, text_of
from contracts.features import BY_SIGNAL, FEATURES, FeatureKind, Signal
from contracts.frames.decoded import PointBatch
from contracts.frames.views import series_id

LEVEL, CUMULATIVE_COUNTER, DELTA_COUNTER = 0, 1, 2
FEATURE_INDEX: Final = {name: i for i, name in enumerate(BY_SIGNAL[Signal.METRICS])}
SENSE: Final = 1.5
"""The largest share that is believed: measured in steps, use may seem a little above its limit; 320 % is another unit."""
_NO_RECORDED_VALUE_FLAG: Final = 1
_MAX_TIME: Final = (1 << 63) - 1


class MetricPlace(NamedTuple):
    """Where a metric stands in its message: numbers of its resource, scope, and of itself."""

    resource: int
    scope: int
    metric: int

    @property
    def place(self) -> str:
        """The same as errors tell it."""
        return f"resourceMetrics[{self.resource}].scopeMetrics[{self.scope}].metrics[{self.metric}]"


@dataclass(frozen=True, slots=True)
class MetricSource:
    """One metric of one resource: what its points have in common. `at` is where it stands."""

    rule: MetricRule
    factor: float
    sender: Identified
    identity: str
    at: MetricPlace
    context: DecodeContext

    @property
    def place(self) -> str:
        """Its place, for errors."""
        return self.at.place

    def resource_of(self, attributes: Mapping[str, Plain]) -> int | None:
        """Position of the resource that a point is about; None where it is about nobody."""
        found = self.subject_of(attributes)
        return None if found is None else self.context.resources.index(found)

    def subject_of(self, attributes: Mapping[str, Plain]) -> Identified | None:
        """Whom a point is about; None where it is about nobody."""
        if not self.rule.subject:
            return self.sender
        return subject_of(self.context.conventions.subjects[self.rule.subject], self.sender, attributes)


class PointRows:
    """Rows of a `PointBatch` in the making."""

    def __init__(self) -> None:
        self.added = 0
        """Points that were added to another of the same level, or gave way to a larger one."""
        self.beyond = 0
        """Sums of shares that are no share."""
        self._rows: list[list[Any]] = []
        self._summed: dict[tuple[int, int, int], list[Any]] = {}
        self._largest: dict[tuple[int, int, int], list[list[Any]]] = {}

    def add(self, row: list[Any], part: int, rule: MetricRule) -> None:
        """Add a row (in the order of PointBatch's columns). Those of one `part` (a series with its group) at one time are added up;
        of those of one series the largest is kept."""
        if row[3] == LEVEL and rule.summed:
            key = (row[1], part, row[5])
            known = self._summed.get(key)
            if known is not None:
                known[6] += row[6]
                self.added += 1
                return
            self._summed[key] = row
        if row[3] == LEVEL and rule.largest:
            self._largest.setdefault((row[1], row[2], row[5]), []).append(row)
        self._rows.append(row)

    def batch(self) -> PointBatch | None:
        """The rows as columns; None where there are none."""
        left = {id(row) for group in self._largest.values() for row in _but_the_largest(group)}
        self.added += len(left)
        rows = [row for row in self._rows if id(row) not in left]
        kept = [row for row in rows if row[1] not in _SHARES or row[6] <= SENSE]
        self.beyond += len(rows) - len(kept)
        if not kept:
            return None
        types = (np.int32, np.int32, np.uint64, np.int8, np.int64, np.int64, np.float64)
        columns = zip(*kept, strict=True)
        return PointBatch(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))


def _but_the_largest(rows: list[list[Any]]) -> list[list[Any]]:
    largest = max(rows, key=lambda row: row[6])
    return [row for row in rows if row is not largest]


class MetricReader:
    """Reads the ResourceMetrics messages of one message."""

    def __init__(self, context: DecodeContext, judge: FailureJudge) -> None:
        self.points = PointRows()
        self.histograms = HistogramRows(context, judge)
        self._context = context

    def batch(self) -> PointBatch | None:
        """The points as columns; None where there are none."""
        found = self.points.batch()
        self._context.skips.add(BEYOND_SENSE, self.points.beyond)
        return found

    def read(self, entries: Iterable[Any]) -> None:
        """Take in all metrics."""
        for i, entry in enumerate(entries):
            identified = self._context.codec.identify(entry.resource, self._context.environment, self._context.rules)
            if identified is None:
                at = MetricPlace(i, 0, 0)
                lost = sum(self._size(metric, at) for scope in entry.scope_metrics for metric in scope.metrics)
                self._context.skips.unreadable(f"resourceMetrics[{i}].resource", lost)
                continue
            for j, scope in enumerate(entry.scope_metrics):
                name = scope.scope.name if scope.scope is not None else ""
                for k, metric in enumerate(scope.metrics):
                    self._metric(metric, identified, name, MetricPlace(i, j, k))

    def _size(self, metric: Any, at: MetricPlace) -> int:
        """Points of a metric that are not counted yet."""
        data = self._context.codec.data(metric, self._context.skips, at)
        return 0 if data is None else len(data.points)

    def _metric(self, metric: Any, identified: Identified, scope: str, at: MetricPlace) -> None:
        context = self._context
        data = context.codec.data(metric, context.skips, at)
        if data is None:
            return
        chosen = context.choice.rule_of(metric.name, data) if context.choice is not None else None
        if chosen is not None:
            data = replace(data, points=list(context.codec.points(data, context.skips, at)))
            context.series += series_points(metric.name, data, chosen, identified, context.codec)
        reading = context.conventions.read(metric.name, metric.unit, scope)
        refused = _refused(reading, data)
        if isinstance(reading, str) or refused:
            context.skips.add(refused, len(data.points))
            if refused in _UNREAD:
                context.unread_of[identified.resource, metric.name[:MAX_NAME]] += len(data.points)
                if context.unread is not None:
                    unread = UnreadMetric(
                        metric.name[:MAX_NAME], metric.unit[:MAX_NAME], data.kind, scope[:MAX_NAME], refused
                    )
                    context.unread[unread] += len(data.points)
            return
        source = MetricSource(
            rule=reading.rule,
            factor=reading.factor,
            sender=identified,
            identity=f"{identified.key:016x}\x1f{scope}\x1f{metric.name}",
            at=at,
            context=context,
        )
        if reading.rule.kind in OF_REQUESTS:
            self.histograms.add(data, source)
        else:
            self._numbers(data, source)

    def _numbers(self, data: MetricData, source: MetricSource) -> None:
        context = self._context
        mode = _mode(data, source.rule)
        feature = feature_index(source.rule.feature)
        rule = source.rule
        for point in context.codec.points(data, context.skips, source):
            attributes = context.codec.attributes(point.attributes) if point.attributes else {}
            value, reason = self._value(point, attributes, source)
            resource = source.resource_of(attributes) if value is not None else None
            if value is None or resource is None:
                context.skips.add(reason or NO_SUBJECT)
                continue
            summed = rule.summed if mode == LEVEL else ()
            largest = rule.largest if mode == LEVEL else ()
            series = series_of(source.identity, attributes, (*summed, *largest), view=rule.view)
            part = series_of(source.identity, attributes, summed) if largest else series
            start = point.start_time_unix_nano if point.start_time_unix_nano <= _MAX_TIME else 0
            self.points.add([resource, feature, series, mode, start, point.time_unix_nano, value], part, rule)

    def _value(self, point: Any, attributes: Mapping[str, Plain], source: MetricSource) -> tuple[float | None, str]:
        """The value of a point in its feature's unit, or None and why it is not used."""
        rule = source.rule
        if point.flags & _NO_RECORDED_VALUE_FLAG:
            return None, NO_RECORDED_VALUE
        if not 0 < point.time_unix_nano <= _MAX_TIME:
            return None, BAD_TIME
        only = rule.only
        if only is not None and not any(only.takes(text_of(attributes.get(key))) for key in only.keys):
            return None, OTHER_STATE
        value = self._context.codec.number(point)
        if value is None:
            return None, NO_RECORDED_VALUE
        value *= source.factor
        if not math.isfinite(value):
            return None, NOT_FINITE
        if not is_sensible(rule.feature, value):
            return None, BEYOND_SENSE
        return (max(1.0 - value, 0.0) if rule.complement else value), ""


def series_of(identity: str, attributes: Mapping[str, Plain], without: tuple[str, ...] = (), *, view: int = 0) -> int:
    """Id of a series: a metric of a resource (`identity`) and a point's attributes, in any order; `view` says which view of a fact it is."""
    pairs = sorted((k, text_of(v)) for k, v in attributes.items() if k not in without)
    return series_id(hash64(identity + "".join(f"\x1f{k}\x1e{v}" for k, v in pairs)), view)


def feature_index(name: str) -> int:
    """Position of a feature among those of metrics."""
    return FEATURE_INDEX[name]


def is_sensible(feature: str, value: float) -> bool:
    """Whether a value can be one of a feature: nothing is less than nothing, and no share much more than the whole."""
    return value >= 0 and (FEATURE_INDEX[feature] not in _SHARES or value <= SENSE)


_SHARES: Final = frozenset(i for name, i in FEATURE_INDEX.items() if FEATURES[name].kind is FeatureKind.UTILIZATION)
_UNREAD: Final = frozenset({UNMAPPED_METRIC, UNMAPPED_UNIT})
_WHY: Final = {"unknown": UNMAPPED_METRIC, "unit": UNMAPPED_UNIT}


def _refused(reading: Reading | str, data: MetricData) -> str:
    """Why a metric's points are not used; "" where they are."""
    if isinstance(reading, str):
        return _WHY[reading]
    rule = reading.rule
    if rule.kind == "unused":
        return UNUSED_METRIC
    if data.kind == SUMMARY:
        return "" if rule.kind == "duration" else SUMMARY_POINT
    wanted = (HISTOGRAM, EXPONENTIAL) if rule.kind == "duration" else (GAUGE, SUM)
    if data.kind not in wanted:
        return OTHER_TYPE
    if data.kind == GAUGE:
        return ""
    if data.temporality not in (DELTA, CUMULATIVE):
        return OTHER_TYPE
    changes_of_level = data.kind == SUM and not data.monotonic and rule.kind == "level"
    return DELTA_LEVEL if changes_of_level and data.temporality == DELTA else ""


def _mode(data: MetricData, rule: MetricRule) -> int:
    if data.kind == SUM and (data.monotonic or rule.kind == "counter"):
        return DELTA_COUNTER if data.temporality == DELTA else CUMULATIVE_COUNTER
    return CUMULATIVE_COUNTER if rule.kind == "counter" else LEVEL
