"""Points of general series: JSON of `telemetry.series`, and points of OTLP metrics that a rule of the settings names.

A JSON message is an object, an array of them, or one a line:

    {"series": "orders per minute", "value": 117, "time": "2026-01-31T10:00:00Z"}

`time` (ISO 8601, or a number of seconds, milli-, micro- or nanoseconds; the message's where it is left away), `environment`, `group`
(judged together with the others of it), `bad` (`high`, `low`, `both`) and `counter` (it only grows: its growth per second is judged)
may be left away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, NamedTuple

import msgspec
import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, MetricsData, NumberDataPoint

from connectors.encodings.raw_logs import epoch_ns, json_values
from connectors.otlp.identity import STANDARD, IdentityRules, identify_proto
from connectors.otlp.json_model import ERRORS
from connectors.otlp.reasons import BAD_TIME, EMPTY, INVALID_FIELD, NOT_FINITE, Skips, malformed_json, refuse
from contracts.frames.series_frame import SeriesFrame, SeriesMode
from contracts.settings import SeriesRule
from contracts.topics import partition_of
from contracts.units import MINUTE, SECOND

Bad = Literal["high", "low", "both"]
_DIRECTIONS: Final[Mapping[str, int]] = {"high": 1, "low": -1, "both": 0}
_AHEAD_NS: Final = 5 * MINUTE
"""A point that far after its message was written has no believable time."""
_NO_VALUE: Final = 1
_MOST_NAME: Final = 500


class SeriesPoint(NamedTuple):
    """One point: of which series, in which environment, measured when (epoch nanoseconds), and how it is judged."""

    environment: str
    series: str
    time_ns: int
    value: float
    group: str = ""
    bad: Bad = "both"
    mode: SeriesMode = SeriesMode.VALUE


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    series: str
    value: float
    time: str | float | int | None = None
    environment: str = ""
    group: str = ""
    bad: Bad = "both"
    counter: bool = False


def from_json(payload: bytes, time_ns: int, default_environment: str) -> tuple[list[SeriesPoint], Skips]:
    """The points of a message written at `time_ns`, and what was left out.

    Raises:
        UndecodableTelemetry: it is not JSON, or no point of it can be read.
    """
    if not payload.strip():
        raise refuse(EMPTY)
    try:
        values = json_values(payload)
    except ERRORS as e:
        raise malformed_json(e) from e
    points, skips = [], Skips()
    for place, value in enumerate(values):
        try:
            item = msgspec.convert(value, _Item)
        except (msgspec.ValidationError, RecursionError) as e:
            skips.invalid(f"point {place}", str(e))
            continue
        point = _point(item, time_ns, default_environment, skips)
        if point is not None:
            points.append(point)
    if not points:
        reason = next(iter(skips.counts), EMPTY)
        raise refuse(reason if reason in {EMPTY, INVALID_FIELD} else INVALID_FIELD, skips.first or reason)
    return points, skips


def _point(item: _Item, written_ns: int, default_environment: str, skips: Skips) -> SeriesPoint | None:
    time_ns = written_ns if item.time is None else epoch_ns(item.time)
    if not item.series.strip() or len(item.series) > _MOST_NAME:
        skips.invalid("series", f"no name, or one of more than {_MOST_NAME} characters")
    elif not 0 < time_ns <= written_ns + _AHEAD_NS:
        skips.add(BAD_TIME)
        skips.note(item.series, f"time {item.time!r}")
    elif not np.isfinite(item.value):
        skips.add(NOT_FINITE)
        skips.note(item.series, f"value {item.value}")
    else:
        mode = SeriesMode.COUNTER if item.counter else SeriesMode.VALUE
        environment = item.environment or default_environment
        return SeriesPoint(environment, item.series, time_ns, item.value, item.group, item.bad, mode)
    return None


def from_otlp(
    payload: bytes, chosen: Mapping[str, SeriesRule], default_environment: str, rules: IdentityRules = STANDARD
) -> list[SeriesPoint]:
    """The points of the metrics in an OTLP message (protobuf or JSON) whose names fit a pattern of `chosen`; none of what can't be read:
    who reads the message's metrics says so."""
    message = MetricsData()
    try:
        if payload[:1] == b"{":
            json_format.Parse(payload, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(payload)
    except (json_format.ParseError, DecodeError, RecursionError):
        return []
    points = []
    for resource in message.resource_metrics:
        who = identify_proto(resource.resource.SerializeToString(), default_environment, rules).resource
        for metric in (m for scope in resource.scope_metrics for m in scope.metrics):
            rule = next((r for pattern, r in chosen.items() if fnmatchcase(metric.name, pattern)), None)
            if rule is not None:
                owner = who.service or who.instance
                points += [
                    SeriesPoint(
                        who.environment, name, time_ns, value, owner if rule.group == "service" else "", rule.bad, mode
                    )
                    for name, time_ns, value, mode in _of_metric(metric, owner)
                ]
    return points


def _of_metric(metric: Metric, owner: str) -> Iterator[tuple[str, int, float, SeriesMode]]:
    kind = metric.WhichOneof("data")
    if kind == "gauge":
        data: Iterable[NumberDataPoint] = metric.gauge.data_points
        total, delta = False, False
    elif kind == "sum":
        data = metric.sum.data_points
        delta = metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        total = metric.sum.is_monotonic and not delta
    else:
        return
    for point in data:
        value = point.as_double if point.WhichOneof("value") == "as_double" else float(point.as_int)
        lasted_s = (point.time_unix_nano - point.start_time_unix_nano) / SECOND
        if point.flags & _NO_VALUE or not np.isfinite(value) or (delta and lasted_s <= 0):
            continue
        labels = ",".join(sorted(f"{a.key}={_text(a.value)}" for a in point.attributes))
        name = " ".join(part for part in (owner, metric.name) if part) + (f"{{{labels}}}" if labels else "")
        mode = SeriesMode.COUNTER if total else SeriesMode.VALUE
        yield name[:_MOST_NAME], point.time_unix_nano, value / lasted_s if delta else value, mode


def _text(value: Any) -> str:
    which = value.WhichOneof("value")
    return str(getattr(value, which)) if which else ""


def frames(points: Sequence[SeriesPoint], partitions: int) -> Iterator[tuple[int, SeriesFrame]]:
    """Frames, one for each environment and partition of `telemetry.points`: what is judged together goes to one partition."""
    by_place: dict[tuple[str, int], list[SeriesPoint]] = {}
    for point in points:
        key = f"{point.environment}\t{point.group or point.series}"
        by_place.setdefault((point.environment, partition_of(key, partitions)), []).append(point)
    for (environment, partition), theirs in by_place.items():
        latest = {p.series: p for p in theirs}
        at = {name: i for i, name in enumerate(latest)}
        yield (
            partition,
            SeriesFrame(
                environment,
                tuple(latest),
                tuple(p.group for p in latest.values()),
                np.array([_DIRECTIONS[p.bad] for p in latest.values()], dtype=np.int8),
                np.array([p.mode for p in latest.values()], dtype=np.int8),
                np.array([at[p.series] for p in theirs], dtype=np.int32),
                np.array([p.time_ns for p in theirs], dtype=np.int64),
                np.array([p.value for p in theirs], dtype=np.float64),
            ),
        )
