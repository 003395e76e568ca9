"""Metric points as columns, mapped onto features by the table of `semconv`.

Data model: https://opentelemetry.io/docs/specs/otel/metrics/data-model/
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from connectors.otlp.codecs import CUMULATIVE, DELTA, EXPONENTIAL, GAUGE, HISTOGRAM, SUM, SUMMARY, MetricData
from connectors.otlp.flatten import DecodeContext
from connectors.otlp.histograms import HistogramRows
from connectors.otlp.identity import Identified, hash64
from connectors.otlp.reasons import (
    BAD_TIME,
    DELTA_LEVEL,
    NO_RECORDED_VALUE,
    NOT_FINITE,
    OTHER_STATE,
    OTHER_TYPE,
    UNMAPPED_METRIC,
)
from connectors.otlp.reasons import SUMMARY as SUMMARY_POINT
from connectors.otlp.semconv import UNITS, MetricRule
from connectors.otlp.values import Plain, text_of
from contracts.errors import UnknownName
from contracts.features import BY_SIGNAL, Signal
from contracts.frames.decoded import PointBatch

LEVEL, CUMULATIVE_COUNTER, DELTA_COUNTER = 0, 1, 2
FEATURE_INDEX: Final = {name: i for i, name in enumerate(BY_SIGNAL[Signal.METRICS])}
_NO_RECORDED_VALUE_FLAG: Final = 1
_MAX_TIME: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class MetricSource:
    """One metric of one resource: what its points have in common. `at` is where it stands: resource, scope, metric."""

    rule: MetricRule
    resource: int
    identity: str
    factor: float
    at: tuple[int, int, int]

    @property
    def place(self) -> str:
        """Its place, for errors."""
        return place_of(self.at)


class PointRows:
    """Rows of a `PointBatch` in the making."""

    def __init__(self) -> None:
        self.added = 0
        """Points that were added to another of the same level."""
        self._rows: list[list[Any]] = []
        self._summed: dict[tuple[int, int, int], list[Any]] = {}

    def add(self, row: list[Any], summed: bool) -> None:
        """Add a row (in the order of PointBatch's columns); the parts of one level are added up."""
        if summed:
            key = (row[1], row[2], row[5])
            known = self._summed.get(key)
            if known is not None:
                known[6] += row[6]
                self.added += 1
                return
            self._summed[key] = row
        self._rows.append(row)

    def batch(self) -> PointBatch | None:
        """The rows as columns; None where there are none."""
        if not self._rows:
            return None
        types = (np.int32, np.int32, np.uint64, np.int8, np.int64, np.int64, np.float64)
        columns = zip(*self._rows, strict=True)
        return PointBatch(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))


class MetricReader:
    """Reads the ResourceMetrics messages of one message."""

    def __init__(self, context: DecodeContext, rules: Mapping[str, MetricRule]) -> None:
        self.points = PointRows()
        self.histograms = HistogramRows(context.codec, context.skips, context.long_lived)
        self._context, self._rules = context, rules

    def read(self, entries: Iterable[Any]) -> None:
        """Take in all metrics."""
        for i, entry in enumerate(entries):
            identified = self._context.codec.identify(entry.resource, self._context.environment)
            if identified is None:
                lost = sum(self._size(metric) for scope in entry.scope_metrics for metric in scope.metrics)
                self._context.skips.unreadable(f"resourceMetrics[{i}].resource", lost)
                continue
            for j, scope in enumerate(entry.scope_metrics):
                name = scope.scope.name if scope.scope is not None else ""
                for k, metric in enumerate(scope.metrics):
                    self._metric(metric, identified, name, (i, j, k))

    def _size(self, metric: Any) -> int:
        """Points of a metric; 1 where they cannot be read."""
        data = self._context.codec.data(metric)
        return 1 if data is None else len(data.points)

    def _metric(self, metric: Any, identified: Identified, scope: str, at: tuple[int, int, int]) -> None:
        context = self._context
        data = context.codec.data(metric)
        if data is None:
            context.skips.invalid(place_of(at), "no data that can be read")
            return
        rule = self._rules.get(metric.name)
        refused = _refused(rule, data)
        if rule is None or refused:
            context.skips.add(refused or UNMAPPED_METRIC, len(data.points))
            return
        source = MetricSource(
            rule=rule,
            resource=context.resources.index(identified),
            identity=f"{identified.key:016x}\x1f{scope}\x1f{metric.name}",
            factor=UNITS.get(metric.unit or rule.unit, 1.0),
            at=at,
        )
        if rule.kind == "duration":
            self.histograms.add(data, source)
        else:
            self._numbers(data, source)

    def _numbers(self, data: MetricData, source: MetricSource) -> None:
        context = self._context
        mode = _mode(data, source.rule)
        feature = feature_index(source.rule.feature)
        for point in context.codec.points(data, context.skips, source):
            attributes = context.codec.attributes(point.attributes) if point.attributes else {}
            value, reason = self._value(point, attributes, source)
            if value is None:
                context.skips.add(reason)
                continue
            summed = source.rule.summed if mode == LEVEL else ()
            series = series_of(source.identity, attributes, summed)
            start = point.start_time_unix_nano if point.start_time_unix_nano <= _MAX_TIME else 0
            row = [source.resource, feature, series, mode, start, point.time_unix_nano, value]
            self.points.add(row, bool(summed))

    def _value(self, point: Any, attributes: Mapping[str, Plain], source: MetricSource) -> tuple[float | None, str]:
        """The value of a point in its feature's unit, or None and why it is not used."""
        rule = source.rule
        if point.flags & _NO_RECORDED_VALUE_FLAG:
            return None, NO_RECORDED_VALUE
        if not 0 < point.time_unix_nano <= _MAX_TIME:
            return None, BAD_TIME
        if rule.only and not any(attributes.get(key) in rule.states for key in rule.only):
            return None, OTHER_STATE
        value = self._context.codec.number(point)
        if value is None:
            return None, NO_RECORDED_VALUE
        value *= source.factor
        if not math.isfinite(value):
            return None, NOT_FINITE
        return (1.0 - value if rule.complement else value), ""


def place_of(at: tuple[int, int, int]) -> str:
    """The place of a metric in its message."""
    return "resourceMetrics[{}].scopeMetrics[{}].metrics[{}]".format(*at)


def series_of(identity: str, attributes: Mapping[str, Plain], without: tuple[str, ...] = ()) -> int:
    """64-bit hash of a metric of a resource (`identity`) and a point's attributes, in any order."""
    if not attributes:
        return hash64(identity)
    pairs = sorted((k, text_of(v)) for k, v in attributes.items() if k not in without)
    return hash64(identity + "".join(f"\x1f{k}\x1e{v}" for k, v in pairs))


def feature_index(name: str) -> int:
    """Position of a feature among those of metrics.

    Raises:
        UnknownName: a rule names a feature that does not exist.
    """
    try:
        return FEATURE_INDEX[name]
    except KeyError:
        raise UnknownName("metric feature", name, FEATURE_INDEX) from None


def _refused(rule: MetricRule | None, data: MetricData) -> str:
    """Why a metric's points are not used; "" where they are."""
    if rule is None:
        return UNMAPPED_METRIC
    if data.kind == SUMMARY:
        return SUMMARY_POINT
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
